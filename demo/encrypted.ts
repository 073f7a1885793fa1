/** What goes through, and what of it can be seen: in the pod, on the bridge, and in the proxies' own words. */
import { randomBytes } from "node:crypto";
import type { Capture, Captured, Child, Json } from "../test/topology/cluster.ts";
import { expect } from "./report.ts";
import type { Report } from "./report.ts";
import { grouped } from "./screen.ts";
import { ports, vips } from "./stage.ts";
import type { Stage } from "./stage.ts";

/** The canary is in every byte stream that an application of `shop` sends here. */
export type Wire = { readonly bridge: Capture; readonly canary: string };

const requests = 20;
const tunnelPort = 15_008;

type Answers = { succeeded: number; total: number; pods: Record<string, number>; failures: unknown; slowest: number };

async function ask(stage: Stage, canary: string, host: string, port: number): Promise<Answers> {
  const headers = { "x-canary": canary };
  const command = { do: "get", url: `http://${host}:${port}/cart`, count: requests, connection: "new", headers };
  return (await stage.apps.http.request(command)) as unknown as Answers;
}

async function checkRequests(report: Report, stage: Stage, canary: string): Promise<void> {
  const { server1 } = stage.pods;
  const ways = [
    { by: "by VIP", host: vips.v4, port: vips.port, pods: 2 },
    { by: "by VIP over IPv6", host: `[${vips.v6}]`, port: vips.port, pods: 2 },
    { by: "by pod IP", host: server1.ip, port: ports.web, pods: 1 },
    { by: "by pod IP over IPv6", host: `[${server1.ip6}]`, port: ports.web, pods: 1 },
  ];
  for (const way of ways) {
    await report.check(`requests client -> server ${way.by}`, async () => {
      const answers = await ask(stage, canary, way.host, way.port);
      expect(answers.succeeded === requests, `${requests} answers`, answers);
      const shares = Object.entries(answers.pods).toSorted(([one], [other]) => one.localeCompare(other));
      expect(shares.length === way.pods, `answers of ${way.pods} pods`, answers.pods);
      return {
        left: `${answers.succeeded}/${answers.total} requests client -> server ${way.by}`,
        right: shares.map(([pod, share]) => `${pod} ${share}`).join(", "),
      };
    });
  }
}

async function checkOtherProtocols(report: Report, stage: Stage, canary: string): Promise<void> {
  const { client } = stage.apps.dialers;
  const { server1, server2 } = stage.pods;
  await report.check("a protocol in which the server speaks first", async () => {
    const greeted = await client.request({ do: "dial", host: server1.ip, port: ports.mail, expect: 20 });
    expect(greeted["text"] === "220 server-1 ready\r\n", "the greeting before a byte was sent", greeted);
    return { right: `"${String(greeted["text"]).trim()}"` };
  });
  await report.check("an echo of 1 MiB, byte for byte, with a half-close", async () => {
    const sent = Buffer.concat([Buffer.from(canary), randomBytes(2 ** 20 - canary.length)]);
    const echoed = await client.request({
      do: "dial",
      host: server2.ip6,
      port: ports.echo,
      sendBase64: sent.toString("base64"),
      half: true,
    });
    expect(
      echoed["ended"] === "end" && sent.equals(Buffer.from(String(echoed["base64"]), "base64")),
      "the same bytes and a clean end",
      echoed["ended"],
    );
    return { right: `${grouped(sent.length)} bytes, ended by FIN` };
  });
}

/** The start of the request as the application wrote it, found in a capture of the pod's own loopback device. */
function requestIn(captured: Captured): string {
  const flow = captured.flows().find(({ pieces }) => pieces[0]?.subarray(0, 4).toString("latin1") === "GET ");
  return flow?.pieces[0]?.toString("latin1") ?? "";
}

async function checkPod(report: Report, inside: Captured, canary: string): Promise<void> {
  await report.check("what the application sent", () => {
    const [line = "", ...headers] = requestIn(inside).split("\r\n");
    const header = headers.find((text) => text.startsWith("x-canary")) ?? "";
    const count = inside.count(canary);
    expect(
      line.startsWith("GET /cart") && header.includes(canary) && count > 0,
      "the request in clear inside of the pod",
      { line, header, count },
    );
    return {
      left: `inside the pod       ${line}   ${header.slice(0, 22)}…`,
      right: `canary found ${grouped(count)} times`,
      hideTime: true,
    };
  });
}

/** Bytes that a listener would see in place of the request: the head of the first record of application data. */
function firstSecretBytes(captured: Captured): string {
  const bytes = captured.tls(tunnelPort).flatMap(({ flow }) => flow.pieces)[0] ?? Buffer.alloc(0);
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
    if (bytes[at] === 23)
      return bytes
        .subarray(at, at + 20)
        .toString("hex")
        .replace(/../g, "$& ")
        .trim();
  }
  return "none";
}

async function checkBridge(report: Report, onBridge: Captured, canary: string): Promise<void> {
  await report.check("what crossed the bridge", () => {
    const count = onBridge.count(canary);
    expect(count === 0, "the canary nowhere on the bridge", `${count} times`);
    return {
      left: `on the bridge        ${firstSecretBytes(onBridge).slice(0, 41)} …`,
      right: `canary found 0 times in ${grouped(onBridge.bytes)} bytes`,
      hideTime: true,
    };
  });
  await report.check("TLS 1.3 and nothing else", () => {
    const tls = onBridge.tls(tunnelPort);
    const hellos = tls.flatMap(({ serverHello }) => (serverHello === null ? [] : [serverHello]));
    const texts = new Set(hellos.map(({ group, cipher }) => `${group}, ${cipher}`));
    expect(
      tls.every(({ recordsOnly }) => recordsOnly),
      "only TLS records to and from the tunnel port",
      tls.length,
    );
    expect(
      hellos.length > 0 && hellos.every(({ version }) => version === "TLS 1.3"),
      "TLS 1.3 in supported_versions of each ServerHello",
      hellos,
    );
    expect(
      hellos.every(({ group }) => group === "X25519MLKEM768"),
      "a post-quantum key exchange",
      [...texts],
    );
    return {
      left: "                     TLS 1.3, says supported_versions",
      right: `${[...texts].join("; ")}, ${hellos.length} handshakes`,
      hideTime: true,
    };
  });
}

const tunnelled = (line: Json): boolean => line["transport"] === "tunnel" && typeof line["peer"] === "string";
const short = (identity: unknown): string => String(identity).replace(/^spiffe:\/\/[^/]+\//, "");

async function checkIdentities(report: Report, stage: Stage): Promise<void> {
  const proxy = (name: string): Child => stage.proxies.get(name)!;
  await report.check("who talked to whom", async () => {
    const seenByClient = await proxy("client").event("connection_closed", tunnelled);
    const seenByServer = await proxy("server-1").event("connection_closed", tunnelled);
    const [client, server] = [short(seenByServer["peer"]), short(seenByClient["peer"])];
    expect(client === "ns/shop/sa/client" && server === "ns/shop/sa/server", "both sides to know the other by name", {
      client,
      server,
    });
    return {
      left: `who talked to whom   ${client}  <->  ${server}`,
      right: "each verified by the other's proxy",
      hideTime: true,
    };
  });
}

export async function showEncrypted(report: Report, stage: Stage, wire: Wire): Promise<void> {
  report.screen.heading("encrypted");
  const inside = await stage.cluster.capture(stage.pods.client);
  await checkRequests(report, stage, wire.canary);
  await checkOtherProtocols(report, stage, wire.canary);
  report.screen.heading("the same requests, seen from inside and from outside");
  await checkPod(report, await inside.stop(), wire.canary);
  await checkBridge(report, await wire.bridge.snapshot(), wire.canary);
  await checkIdentities(report, stage);
}

/** At the very end: nothing of the whole run, refusals, renewals and killed proxies included, was in clear. */
export async function checkWholeRun(report: Report, wire: Wire): Promise<void> {
  report.screen.heading("all in all");
  await report.check("the whole run", async () => {
    const captured = await wire.bridge.stop();
    const count = captured.count(wire.canary);
    expect(count === 0, "the canary nowhere on the bridge", `${count} times`);
    return {
      left: `canary found ${count} times in the ${grouped(captured.bytes)} bytes of the whole run`,
      right: `${grouped(captured.packets.length)} packets`,
    };
  });
}
