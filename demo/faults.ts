/** What happens under way: certificates are renewed while requests run, and a proxy is killed. */
import type { Json } from "../test/topology/cluster.ts";
import type { Wire } from "./encrypted.ts";
import { expect } from "./report.ts";
import type { Report } from "./report.ts";
import { ports, startProxyOf, vips } from "./stage.ts";
import type { Stage } from "./stage.ts";

/** Requests that run from here to `showRenewal`, each on a connection of its own. */
export async function startTraffic(stage: Stage, wire: Wire): Promise<void> {
  const url = `http://${vips.v4}:${vips.port}/traffic`;
  await stage.apps.http.request({
    do: "loop",
    url,
    connection: "new",
    intervalMs: 20,
    headers: { "x-canary": wire.canary },
  });
}

export async function showRenewal(report: Report, stage: Stage): Promise<void> {
  report.screen.heading("certificates renewed under traffic");
  await report.check("renewal of client and both servers, waiting for it", async () => {
    const names = ["client", "server-1", "server-2"];
    const renewals = await Promise.all(names.map((name) => renewed(stage, name)));
    // What runs on the new certificates has to work as well.
    const from = stage.apps.http.position;
    await stage.apps.http.event("progress", undefined, { from });
    const traffic = await stage.apps.http.request({ do: "stop" });
    expect(traffic["succeeded"] === traffic["total"], "no request to fail", traffic);
    return {
      left: `${String(traffic["succeeded"])}/${String(traffic["total"])} requests while ${names.length} certificates were renewed`,
      right: renewals.map(({ before, after }) => `${before} -> ${after}`).join(", "),
    };
  });
}

const serial = (line: Json): string => String(line["serial"]).slice(-6);

/** The end of the serials of the first two certificates that the pod's proxy has used. */
async function renewed(stage: Stage, name: string): Promise<{ before: string; after: string }> {
  const proxy = stage.proxies.get(name)!;
  const first = await proxy.event("certificate_received");
  const second = await proxy.event("certificate_received", (line) => line["serial"] !== first["serial"]);
  return { before: serial(first), after: serial(second) };
}

export async function showKilledProxy(report: Report, stage: Stage, wire: Wire): Promise<void> {
  report.screen.heading("the proxy of server-2 is killed (kill -9)");
  const { http, echo, dialers } = stage.apps;
  const { server2 } = stage.pods;
  await report.check("an open connection ends as a reset on both sides, not as an end", async () => {
    await dialers.client.request({ do: "open", name: "long", host: server2.ip, port: ports.echo, send: wire.canary });
    await dialers.client.request({ do: "read", name: "long", expect: wire.canary.length });
    const from = echo.position;
    stage.proxies.get("server-2")!.kill("SIGKILL");
    const client = await dialers.client.event("ended", (line) => line["name"] === "long");
    const server = await echo.event("connection_closed", undefined, { from });
    expect(client["ended"] === "reset" && server["ended"] === "reset", "RST at both applications", {
      client: client["ended"],
      server: server["ended"],
    });
    return { right: `client: ${String(client["ended"])}, server: ${String(server["ended"])}` };
  });
  await report.check("a new connection to server-2 is refused, not sent in clear", async () => {
    const answer = await dialers.client.request({ do: "dial", host: server2.ip, port: ports.web, send: wire.canary });
    expect(answer["bytes"] === 0 && answer["ended"] === "reset", "a reset", answer);
    const line = await stage.proxies
      .get("client")!
      .event("connection_refused", (fields) => fields["destination"] === `${server2.ip}:${ports.web}`);
    return { right: String(line["reason"]) };
  });
  await report.check("the Service is still served, by server-1", async () => {
    const url = `http://${vips.v4}:${vips.port}/cart`;
    const answers = await http.request({
      do: "get",
      url,
      count: 10,
      connection: "new",
      headers: { "x-canary": wire.canary },
    });
    const pods = Object.keys(answers["pods"] as Json);
    expect(answers["succeeded"] === 10 && pods.join() === "server-1", "10 answers of server-1", answers);
    return { left: `${String(answers["succeeded"])}/10 requests by VIP`, right: pods.join() };
  });
  await report.check("server-2 is back with its proxy", async () => {
    await startProxyOf(stage, server2);
    const answer = await http.request({
      do: "get",
      url: `http://${server2.ip}:${ports.web}/cart`,
      headers: { "x-canary": wire.canary },
    });
    expect(answer["succeeded"] === 1, "an answer", answer);
    return {};
  });
}
