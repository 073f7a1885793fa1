/** The mode that `tencrypt status` shows is the one in force: the proxy's own word, else what is certain without it. */
import assert from "node:assert/strict";
import type { PassThrough } from "node:stream";
import { describe, test } from "node:test";
import type { PortForward } from "@kubernetes/client-node";
import { askStatus } from "../../../cli/admin-port.ts";
import { askAll, told } from "../../../cli/commands/status.ts";
import { podRows } from "../../../cli/workloads.ts";
import type { Namespace, Pod } from "../../../lib/kube/objects.ts";
import { protectedSpec } from "../../cluster/protected-pod.ts";

const namespaceWith = (annotations: Readonly<Record<string, string>>): Namespace => ({
  metadata: {
    name: "shop",
    uid: "b1c0",
    resourceVersion: "1",
    labels: { "tencrypt.io/project": "enabled" },
    annotations,
  },
});

const podWith = (floor: string): Pod =>
  ({
    metadata: { name: "cart-1", namespace: "shop", uid: "9f3e", resourceVersion: "1" },
    spec: { containers: [], ...protectedSpec({ mode: floor }) },
  }) as unknown as Pod;

const rowOf = (floor: string, annotations: Readonly<Record<string, string>> = {}) =>
  podRows([namespaceWith(annotations)], [podWith(floor)])[0]!;

describe("without the proxy's answer", () => {
  const silent = { kind: "no-answer", why: "timed out" } as const;
  const cases: readonly (readonly [string, string, Readonly<Record<string, string>>, string])[] = [
    ["an installation whose projects are permissive", "permissive", {}, "permissive"],
    ["a floor above that", "project", {}, "project"],
    ["an annotation above the floor", "permissive", { "tencrypt.io/mode": "strict" }, "strict"],
    ["an annotation below the floor", "strict", { "tencrypt.io/mode": "permissive" }, "strict"],
  ];
  for (const [what, floor, annotations, expected] of cases) {
    test(`${what}: no mode is claimed, but that it is at least ${expected}`, () => {
      const { mode, modeAtLeast, certificateEnds } = told(rowOf(floor, annotations), silent);
      assert.deepEqual([mode, modeAtLeast, certificateEnds], [null, expected, "unknown: timed out"]);
    });
  }
});

test("the proxy's answer holds, also where it is looser or stricter than what the objects say now", () => {
  for (const mode of ["permissive", "project", "strict"] as const) {
    const answer = { kind: "status", status: { mode, certificate: { notAfter: "2026-11-28T12:00:00.000Z" } } } as const;
    const row = told(rowOf("permissive", { "tencrypt.io/mode": "project" }), answer);
    assert.deepEqual([row.mode, row.modeAtLeast, row.certificateEnds], [mode, "project", "2026-11-28T12:00:00.000Z"]);
  }
});

test("what is no mode is not shown as one", () => {
  const row = told(rowOf("project"), { kind: "status", status: { mode: "\u001b[2Jstrict", certificate: null } });
  assert.deepEqual([row.mode, row.modeAtLeast, row.certificateEnds], [null, "project", "none yet"]);
});

test("what is no date is not shown as one", () => {
  const ends = (certificate: unknown): string =>
    told(rowOf("project"), { kind: "status", status: { mode: "strict", certificate } }).certificateEnds;
  const forged = "2026-11-28T12:00:00.000Z\nshop  Deployment/bare  bare  yes";
  for (const notAfter of ["\u001b[2J", forged, "2026-13-41T12:00:00Z", "tomorrow", 5, null, undefined, {}])
    assert.equal(ends({ notAfter }), "unknown: what the proxy told is no date");
  for (const certificate of ["x", 5, []]) assert.match(ends(certificate), /^unknown: /);
  assert.equal(ends(undefined), "none yet");
  assert.equal(ends({ notAfter: "2026-11-28T12:00:00Z" }), "2026-11-28T12:00:00Z");
});

test("one proxy that takes long keeps nobody waiting but itself", { timeout: 10_000 }, async () => {
  const rows = Array.from({ length: 40 }, (_, index) => ({ ...rowOf("project"), pod: `cart-${index}` }));
  let others = rows.length - 1;
  const answered = Promise.withResolvers<void>();
  const done = await askAll(rows, async ({ pod }) => {
    if (pod === "cart-0") await answered.promise;
    else if (--others === 0) answered.resolve();
    return { kind: "no-answer", why: pod };
  });
  assert.deepEqual(
    done.map(({ certificateEnds }) => certificateEnds),
    rows.map(({ pod }) => `unknown: ${pod}`),
  );
});

test("what a node says of a port-forward is shown in one line", async () => {
  const failing = {
    portForward: (_namespace: string, _pod: string, _ports: number[], _out: PassThrough, errors: PassThrough) => {
      errors.end("error forwarding port 15000:\n\u001b[31m socat: E read: Broken pipe\r\n");
      return Promise.resolve({ close: () => {} });
    },
  } as unknown as PortForward;
  assert.deepEqual(await askStatus(failing, "shop", "cart-1"), {
    kind: "no-answer",
    why: "error forwarding port 15000: [31m socat: E read: Broken pipe",
  });
});

test("why a proxy cannot be asked is told in words", async () => {
  const whyOf = async (message: string): Promise<string> => {
    const failing = { portForward: () => Promise.reject(new Error(message)) } as unknown as PortForward;
    const answer = await askStatus(failing, "shop", "cart-1");
    return answer.kind === "no-answer" ? answer.why : answer.kind;
  };
  assert.equal(await whyOf("Unexpected server response: 400"), "the pod is on no node yet");
  assert.equal(await whyOf("Unexpected server response: 404"), "the pod is gone");
  assert.match(await whyOf("Unexpected server response: 403"), /^you may not forward ports/);
  const refused =
    "error forwarding port 15000 to pod daf4, uid : failed to connect to localhost:15000 inside namespace: IPv4: dial tcp4 127.0.0.1:15000: connect: connection refused IPv6 dial tcp6: address localhost: no suitable address found";
  assert.equal(await whyOf(refused), "the proxy does not run");
  assert.equal(await whyOf("Unexpected server response: 500"), "Unexpected server response: 500");
});

test("an answer that is no object is none of a proxy", async () => {
  const answering = (body: string): PortForward =>
    ({
      portForward: (_namespace: string, _pod: string, _ports: number[], out: PassThrough) => {
        out.end(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
        return Promise.resolve({ close: () => {} });
      },
    }) as unknown as PortForward;
  for (const body of ["null", "[]", "5", '"x"', "<html>"])
    assert.deepEqual(await askStatus(answering(body), "shop", "cart-1"), {
      kind: "no-answer",
      why: "what answered is no proxy",
    });
  assert.equal((await askStatus(answering("{}"), "shop", "cart-1")).kind, "status");
});
