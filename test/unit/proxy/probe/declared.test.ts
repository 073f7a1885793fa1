/** TENCRYPT_PROBES: what injection writes is read as it was declared; anything else is refused as a whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readProbes } from "../../../../proxy/probe/declared.ts";

const read = (value: unknown): unknown => {
  const actions = readProbes(JSON.stringify(value));
  return actions === null ? null : Object.fromEntries(actions);
};

const probe = { anyStatus: false };

test("each kind of action", () => {
  assert.deepEqual(
    read({
      "/probe/app/liveness": { httpGet: { port: 8080 }, timeoutSeconds: 3 },
      "/probe/app/readiness": {
        httpGet: { path: "ready", port: 8443, scheme: "HTTPS", httpHeaders: [{ name: "X-A", value: "1" }] },
      },
      "/probe/app/startup": { tcpSocket: { port: 6379 } },
      "/probe/db/readiness": { grpc: { port: 9090, service: "db.v1.Db" } },
      "/hook/app/preStop": { httpGet: { path: "/bye?x=1", port: 8080 } },
    }),
    {
      "/probe/app/liveness": {
        kind: "http",
        scheme: "http",
        port: 8080,
        path: "/",
        headers: [],
        ...probe,
        timeoutMs: 3_000,
      },
      "/probe/app/readiness": {
        kind: "http",
        scheme: "https",
        port: 8443,
        path: "/ready",
        headers: [{ name: "X-A", value: "1" }],
        ...probe,
        timeoutMs: 1_000,
      },
      "/probe/app/startup": { kind: "tcp", port: 6379, timeoutMs: 1_000 },
      "/probe/db/readiness": { kind: "grpc", port: 9090, service: "db.v1.Db", timeoutMs: 1_000 },
      "/hook/app/preStop": {
        kind: "http",
        scheme: "http",
        port: 8080,
        path: "/bye?x=1",
        headers: [],
        anyStatus: true,
        timeoutMs: 86_400_000,
      },
    },
  );
});

const wrong: Readonly<Record<string, unknown>> = {
  "a list": [],
  "another path": { "/metrics": { tcpSocket: { port: 1 } } },
  "a path with a query": { "/probe/app/liveness?x": { tcpSocket: { port: 1 } } },
  "no action": { "/probe/app/liveness": {} },
  "a named port": { "/probe/app/liveness": { httpGet: { port: "web" } } },
  "port 0": { "/probe/app/liveness": { tcpSocket: { port: 0 } } },
  "headers that are none": { "/probe/app/liveness": { httpGet: { port: 1, httpHeaders: [{ name: "a" }] } } },
  "a service that is no text": { "/probe/app/liveness": { grpc: { port: 1, service: 7 } } },
};
for (const [what, value] of Object.entries(wrong)) test(`refuses ${what}`, () => assert.equal(read(value), null));
test("refuses what is no JSON", () => assert.equal(readProbes("{"), null));
