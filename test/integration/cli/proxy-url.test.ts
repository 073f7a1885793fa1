/** A cluster behind a bastion: the kubeconfig names a proxy, as `proxy-url` of the cluster. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import { withCluster } from "../../../cli/cluster.ts";
import { startFakeApi } from "./fake-api.ts";

test("is asked through it", async (t) => {
  const { kubeconfig, server } = await startFakeApi(t, () => ({ gitVersion: "v1.36.3" }));
  const { port } = server.address() as AddressInfo;
  const dialled: string[] = [];
  const proxy = createServer().on("connect", ({ url = "" }, client: Socket) => {
    dialled.push(url);
    const upstream = connect(port, "127.0.0.1", () => client.write("HTTP/1.1 200 OK\r\n\r\n"));
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) socket.on("error", () => {});
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  t.after(() => proxy.close());
  const config = JSON.parse(readFileSync(kubeconfig, "utf8")) as { clusters: { cluster: Record<string, string> }[] };
  Object.assign(config.clusters[0]!.cluster, {
    server: "https://api.example.invalid:6443",
    "proxy-url": `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
  });
  writeFileSync(kubeconfig, JSON.stringify(config));
  const version = await withCluster({ kubeconfig }, async ({ client }) => [
    await client.get("/version"),
    await client.get("/version"),
  ]);
  assert.deepEqual(version, [{ gitVersion: "v1.36.3" }, { gitVersion: "v1.36.3" }]);
  assert.deepEqual([...new Set(dialled)], ["api.example.invalid:6443"]);
});
