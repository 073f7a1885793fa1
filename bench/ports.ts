/**
 * Whether source ports run out: so many client pods open a new connection for every request, all to one port of one pod,
 * with the sysctls that a pod has unless somebody sets them. The inbound proxy dials its application from one address to
 * one port, so each of its connections needs a source port of its own. `npm run bench -- ports [pods] [seconds]`; root, wrk
 */
import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { createCluster } from "../test/topology/cluster.ts";
import { startCa, startInit, startProxy } from "../test/topology/programs.ts";

const count = Number(process.argv[2] ?? 20);
const seconds = Number(process.argv[3] ?? 120);
const port = 8080;
const application = `require("node:http").createServer((_, response) => response.end("ok"))
  .listen(${port}, () => console.log('{"event":"listening"}'))`;

const cluster = await createCluster();
try {
  cluster.project("shop", { mode: "strict" });
  const server = await cluster.pod({ name: "server", project: "shop" });
  const clients = [];
  for (let index = 0; index < count; index++)
    clients.push(await cluster.pod({ name: `client-${index}`, project: "shop" }));
  const pods = [server, ...clients];
  await Promise.all(pods.map((pod) => startInit(pod)));
  const ca = await startCa(cluster);
  cluster.writeDirectory();
  const proxies = [];
  for (const pod of pods) proxies.push(await startProxy(cluster, pod, { ca, mode: "strict" }));
  const [node = ""] = server.nodeCommand("");
  await server.spawn("application", [node, "-e", application]).event("listening");
  const sysctl = (name: string): Promise<string> => server.must("cat", [`/proc/sys/net/ipv4/${name}`]);
  const [range, reuse] = [await sysctl("ip_local_port_range"), await sysctl("tcp_tw_reuse")];
  console.log(`ports ${range.trim().replace(/\s+/, "-")}, tcp_tw_reuse ${reuse.trim()}`);
  const args = ["-t1", "-c2", `-d${seconds}s`, "--timeout", "10s", "-H", "connection: close"];
  const results = await Promise.all(
    clients.map((pod) =>
      pod.must("wrk", [...args, `http://${server.ip}:${port}/`], { timeoutMs: seconds * 1_000 + 60_000 }),
    ),
  );
  const total = results.reduce((sum, text) => sum + Number(/([0-9]+) requests in/.exec(text)?.[1] ?? Number.NaN), 0);
  const troubled = results.flatMap((text) => /^ *(?:Socket errors|Non-2xx).*$/m.exec(text)?.[0].trim() ?? []);
  const refusals = proxies.flatMap((proxy) => proxy.events("connection_refused"));
  const sockets = readFileSync(`/proc/${proxies[0]!.pid}/net/sockstat`, "utf8");
  console.log(`${count} pods, ${seconds} s, load average ${loadavg()[0]!.toFixed(1)}`);
  console.log(`${total} connections, ${(total / seconds).toFixed(0)} a second`);
  console.log(`failed at the callers: ${troubled.length === 0 ? "none" : troubled.join("; ")}`);
  console.log(`refused by proxies: ${refusals.length === 0 ? "none" : JSON.stringify(refusals.slice(0, 3))}`);
  console.log(`at the end, in the server's pod: ${/^TCP: .*$/m.exec(sockets)?.[0]}`);
} finally {
  await cluster.close();
}
