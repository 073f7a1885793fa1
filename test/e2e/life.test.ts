/** Namespaces that are made again, and one request as a trace of two proxies in a collector of the cluster. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { decodeSpans } from "../collector/decode.ts";
import type { DecodedSpan } from "../collector/decode.ts";
import { whyNoCluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { Mesh, valuesOfAll } from "./kit.ts";

const why = whyNoCluster();

/** Writes every export to its log, which a test reads. */
const collector = `
  require("node:http").createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => { console.log("export " + Buffer.concat(chunks).toString("base64")); response.end(); });
  }).listen(4318);
`;

let mesh: Mesh;

before(async () => {
  if (why !== null) return;
  mesh = await Mesh.start({ values: valuesOfAll });
});
after(async () => {
  await mesh?.stop();
});

describe("one request", why === null ? {} : { skip: why }, () => {
  test("is one trace of both proxies in a collector of the cluster", async () => {
    await mesh.cluster.objects.namespace("telemetry");
    const service = { selector: { app: "collector" }, ports: [{ port: 4318 }] };
    await mesh.apply("telemetry", {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "collector" },
      spec: service,
    });
    await mesh.pod("telemetry", "collector", collector);
    await mesh.project("traced");
    await mesh.deploy("traced", "web");
    await mesh.pod("traced", "client");
    assert.ok((await mesh.call("traced", "client", "http://web/")).ok);
    const spans = await eventually(async () => {
      const text = await mesh.cluster.kubectl("-n", "telemetry", "logs", "collector", "-c", "app");
      const all: DecodedSpan[] = text
        .split("\n")
        .filter((line) => line.startsWith("export "))
        .flatMap((line) => decodeSpans(Buffer.from(line.slice("export ".length), "base64")));
      const ofClient = all.find(({ name }) => name.includes("web"));
      assert.ok(ofClient !== undefined, all.map(({ name }) => name).join());
      const trace = all.filter(({ traceId }) => traceId === ofClient.traceId);
      assert.equal(trace.length, 2);
      return trace;
    }, 30_000);
    const [child, parent] = spans[0]!.parentSpanId === spans[1]!.spanId ? spans : spans.toReversed();
    assert.equal(child!.parentSpanId, parent!.spanId);
    const peer = "spiffe://cluster.local/ns/traced/sa/default";
    for (const span of spans)
      assert.ok(JSON.stringify(span.attributes).includes(peer), JSON.stringify(span.attributes));
  });
});

describe("a namespace that is deleted and made again", why === null ? {} : { skip: why }, () => {
  /** Opens a session at the pod's tunnel from its node, and resolves when the pod has closed it. */
  async function knock(node: string, ip: string, { key, chain }: { key: string; chain: string }): Promise<void> {
    const script = `
      const socket = require("node:tls").connect({ host: "${ip}", port: 15008, ALPNProtocols: ["h2"], rejectUnauthorized: false, key: process.env.KEY, cert: process.env.CHAIN });
      socket.resume().on("close", () => process.exit(0)).on("error", () => {});
    `;
    const args = ["-t", mesh.cluster.pidOf(node), "-n", "--", process.execPath, "-e", script];
    await new Promise<void>((resolve, reject) => {
      execFile("nsenter", args, { env: { KEY: key, CHAIN: chain }, timeout: 20_000 }, (error) =>
        error === null ? resolve() : reject(error),
      );
    });
  }

  const make = async (): Promise<{ readonly name: string; readonly ip: string; readonly node: string }> => {
    await eventually(() => mesh.project("again"), 60_000);
    await mesh.pod("again", "web");
    return (await mesh.pods("again", "web"))[0]!;
  };

  test("refuses the certificates of its former life", async () => {
    await make();
    const env = { CA: await mesh.caAddress(), TOKEN: await mesh.token("again", "web"), ROOT: await mesh.root() };
    const stolen = JSON.parse(
      await mesh.runAt({ namespace: "again", pod: "web" }, join(import.meta.dirname, "holder.ts"), env),
    ) as { readonly key: string; readonly chain: string };
    await mesh.cluster.kubectl("delete", "namespace", "again", "--wait", "--timeout=60s");
    const pod = await make();
    await knock(pod.node, pod.ip, stolen);
    await eventually(async () => {
      const reasons = (await mesh.log("again", pod.name))
        .filter(({ event }) => event === "connection_refused")
        .map(({ reason }) => reason);
      assert.deepEqual([...new Set(reasons)], ["wrong_issuer"]);
    });
    await mesh.deploy("again", "server");
    await eventually(async () => assert.ok((await mesh.call("again", "web", "http://server/")).ok));
  });
});
