/** A request through the tunnel is two spans at the collector; of telemetry itself there are none. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createCluster, needsRoot } from "../topology/cluster.ts";
import type { Child, Cluster, Pod } from "../topology/cluster.ts";
import { startCa, startInit, startProxy } from "../topology/programs.ts";

const options = { skip: needsRoot };

let cluster: Cluster;

before(async () => {
  if (needsRoot !== false) return;
  cluster = await createCluster();
});
after(() => cluster?.close());

test("two proxies carry a request and tell the collector, each of its own side", options, async () => {
  cluster.project("shop", { mode: "strict" });
  const client = await cluster.pod({ name: "client", project: "shop" });
  const server = await cluster.pod({ name: "server", project: "shop" });
  await Promise.all([client, server].map((pod) => startInit(pod)));
  const ca = await startCa(cluster);
  cluster.writeDirectory();
  const collector = await server.app("collector", ["--port", "4318"], { event: "listening" });
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://${server.ip}:4318`, OTEL_BSP_SCHEDULE_DELAY: "50" };
  const start = (pod: Pod): Promise<Child> => startProxy(cluster, pod, { ca, env, mode: "strict" });
  const proxies = await Promise.all([client, server].map(start));
  const { port } = await server.serve("http-server", 0);
  const http = await client.app("http-client");

  const answer = await http.request({ do: "get", url: `http://${server.ip}:${port}/` });
  assert.equal(answer["succeeded"], 1, JSON.stringify(answer));

  const where = { "tencrypt.transport": "tunnel", "server.port": port };
  const { spans } = (await collector.request({ do: "spans", where, count: 2 })) as unknown as {
    spans: { kind: string }[];
  };
  assert.deepEqual(spans.map(({ kind }) => kind).toSorted(), ["client", "server"]);

  // Both write what they have yet to tell before they end, the server's of the client's connection to the collector too.
  for (const proxy of proxies) await proxy.stop("SIGTERM");
  const told = (await collector.request({ do: "spans", count: 2 })) as unknown as {
    spans: { attributes: Record<string, unknown> }[];
  };
  const ofTelemetry = told.spans.filter(({ attributes }) => attributes["server.port"] === 4318);
  assert.deepEqual(ofTelemetry, [], "telemetry makes no spans of itself");
});
