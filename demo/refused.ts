/** Who is refused, and why: each attempt is made for real, and the reason is the one in the log of the proxy that refused. */
import type { Child, Json, Pod } from "../test/topology/cluster.ts";
import type { Leaf } from "../test/pki/pki.ts";
import { expect } from "./report.ts";
import type { Report } from "./report.ts";
import { ports } from "./stage.ts";
import type { Stage } from "./stage.ts";

const tunnelPort = 15_008;
const hour = 3_600_000;

type Attempt = {
  readonly from: string;
  readonly to: string;
  readonly how: string;
  readonly reason: string;
  /** Whose proxy refuses. */
  readonly by: string;
  readonly run: () => Promise<Json>;
};

const podOf = ({ pods }: Stage, from: string): Pod =>
  Object.values(pods).find((pod) => from === pod.name || from === `${pod.facts.project}/${pod.name}`)!;

const addressOf = (endpoint: unknown): string =>
  String(endpoint)
    .replace(/:[0-9]+$/, "")
    .replaceAll(/[[\]]/g, "");

/** The source of what the proxy logs has to be who made the attempt, if a pod did. */
async function checkAttempt(report: Report, stage: Stage, attempt: Attempt): Promise<void> {
  const { from, to, how, reason, by } = attempt;
  const proxy = stage.proxies.get(by)!;
  const position = proxy.position;
  await report.check(`${from.padEnd(9)} -> ${to.padEnd(15)} ${how}`, async () => {
    const answer = await attempt.run();
    expect(answer["bytes"] === 0 && answer["status"] !== 200, "not one byte of an answer", answer);
    const line = await proxy.event("connection_refused", () => true, { from: position, timeoutMs: 5_000 });
    const found = String(line["reason"]);
    expect(found === reason, reason, `${found} (${String(line["detail"])})`);
    const addresses = ["127.0.0.1", ...podOf(stage, from).ips];
    expect(addresses.includes(addressOf(line["source"])), `a refusal of ${from}`, line["source"]);
    return { right: found, hideTime: true };
  });
}

const clearText = { send: "GET /stolen HTTP/1.1\r\nhost: server\r\n\r\n", timeoutMs: 5_000 };
const dial = (dialer: Child, host: string, port: number): Promise<Json> =>
  dialer.request({ do: "dial", host, port, ...clearText });

function clearAttempts(stage: Stage): readonly Attempt[] {
  const { dialers } = stage.apps;
  const { server1, legacy } = stage.pods;
  const toServer = { to: `server-1:${ports.web}`, reason: "plaintext_refused", by: "server-1" };
  return [
    { from: "attacker", how: "clear text", ...toServer, run: () => dial(dialers.attacker, server1.ip, ports.web) },
    {
      from: "attacker",
      how: "clear text over IPv6",
      ...toServer,
      run: () => dial(dialers.attacker, server1.ip6, ports.web),
    },
    {
      from: "other/web",
      how: "clear text of another project",
      ...toServer,
      run: () => dial(dialers.web, server1.ip, ports.web),
    },
    {
      from: "legacy",
      how: "clear text of a pod without a proxy",
      ...toServer,
      run: () => dial(dialers.legacy, server1.ip, ports.web),
    },
    {
      from: "client",
      to: `legacy:${ports.web}`,
      how: "to a pod without a proxy",
      reason: "peer_not_enrolled",
      by: "client",
      run: () => dial(dialers.client, legacy.ip, ports.web),
    },
  ];
}

/** A CONNECT by somebody who holds that certificate and its key. */
const tunnel = (from: Child, to: string, leaf: Leaf | null, authority: string): Promise<Json> =>
  from.request({
    do: "connect",
    host: to,
    port: tunnelPort,
    authority,
    send: clearText.send,
    timeoutMs: 5_000,
    ...(leaf === null ? {} : { cert: leaf.chainPem, key: leaf.keyPem }),
  });

/** What can be shown in place of a good certificate, and what has to be wrong with each. */
function forgeries({
  forger,
  pods,
}: Stage): readonly (Pick<Attempt, "from" | "how" | "reason"> & { readonly leaf: () => Leaf | null })[] {
  const { client, web } = pods;
  const asClient = { project: "shop", serviceAccount: "client", pod: "client", podUid: client.facts.uid };
  const asWeb = { project: "other", serviceAccount: "web", pod: "web", podUid: web.facts.uid };
  const past = { notBefore: Date.now() - 2 * hour, notAfter: Date.now() - hour };
  return [
    { from: "attacker", how: "no certificate", reason: "no_certificate", leaf: () => null },
    {
      from: "attacker",
      how: "client's name, self-signed",
      reason: "untrusted_chain",
      leaf: () => forger.selfSigned(asClient),
    },
    {
      from: "other/web",
      how: "a certificate of project other",
      reason: "identity_mismatch",
      leaf: () => forger.leaf(asWeb),
    },
    {
      from: "other/web",
      how: "client's name, signed by other's CA",
      reason: "wrong_issuer",
      leaf: () => forger.leaf({ ...asClient, by: "other" }),
    },
    {
      from: "attacker",
      how: "client's own certificate, stolen",
      reason: "wrong_pod",
      leaf: () => forger.leaf(asClient),
    },
    {
      from: "client",
      how: "its own certificate, but expired",
      reason: "expired",
      leaf: () => forger.leaf({ ...asClient, ...past }),
    },
  ];
}

function certificateAttempts(stage: Stage): readonly Attempt[] {
  const { client, server1, legacy } = stage.pods;
  const { tunnels } = stage.apps;
  const from: Readonly<Record<string, Child>> = {
    attacker: tunnels.attacker,
    "other/web": tunnels.web,
    client: tunnels.client,
  };
  const toServer = { to: `server-1:${tunnelPort}`, by: "server-1" };
  const authority = `${server1.ip}:${ports.web}`;
  const attempts = forgeries(stage).map(({ leaf, ...rest }) => ({
    ...rest,
    ...toServer,
    run: () => tunnel(from[rest.from]!, server1.ip, leaf(), authority),
  }));
  const good = (): Leaf =>
    stage.forger.leaf({ project: "shop", serviceAccount: "client", pod: "client", podUid: client.facts.uid });
  const onwards = () => tunnel(tunnels.client, server1.ip, good(), `${legacy.ip}:${ports.web}`);
  const relay = {
    from: "client",
    how: "a good one, but on to legacy: no relay",
    reason: "not_my_address",
    run: onwards,
  };
  return [...attempts, { ...relay, ...toServer }];
}

function portAttempts(stage: Stage): readonly Attempt[] {
  const { attacker, client } = stage.apps.dialers;
  const { server1 } = stage.pods;
  const captured = [15_000, 15_001, 15_006];
  const outside = captured.map((port) => ({
    from: "attacker",
    to: `server-1:${port}`,
    how: "a port of its proxy",
    reason: "proxy_port",
    by: "server-1",
    run: () => dial(attacker, server1.ip, port),
  }));
  const through = [15_001, 15_006, 15_008].map((port) => ({
    from: "client",
    to: `server-1:${port}`,
    how: "the same, through its own proxy",
    reason: "proxy_port",
    by: "client",
    run: () => dial(client, server1.ip, port),
  }));
  const loop = {
    from: "client",
    to: "127.0.0.1:15001",
    how: "no loop",
    reason: "proxy_port",
    by: "client",
    run: () => dial(client, "127.0.0.1", 15_001),
  };
  return [...outside, ...through, loop];
}

type Question = {
  readonly port: number;
  readonly path: string;
  readonly what: string;
  readonly status: string;
  /** All that the answer may say. */
  readonly body: string;
};

/** Metrics are for whom the project names, so for nobody here; the rest of these ports knows no other path. */
const questions: readonly Question[] = [
  { port: 15_020, path: "/metrics", what: "the metrics", status: "403 Forbidden", body: "forbidden\n" },
  { port: 15_021, path: "/status", what: "anything but readiness", status: "404 Not Found", body: "not found\n" },
];

async function checkQuestion(report: Report, stage: Stage, question: Question): Promise<void> {
  const { port, path, what, status } = question;
  await report.check(`${"attacker".padEnd(9)} -> ${`server-1:${port}`.padEnd(15)} ${what}`, async () => {
    const send = `GET ${path} HTTP/1.1\r\nhost: server-1\r\nconnection: close\r\n\r\n`;
    const host = stage.pods.server1.ip;
    const answer = await stage.apps.dialers.attacker.request({ do: "dial", host, port, send, timeoutMs: 5_000 });
    const [head = "", body = ""] = String(answer["text"]).split("\r\n\r\n");
    const found = head.split("\r\n")[0]?.replace("HTTP/1.1 ", "");
    expect(found === status && body === question.body, `${status} and nothing but that`, answer["text"]);
    return { right: found!, hideTime: true };
  });
}

export async function showRefused(report: Report, stage: Stage): Promise<void> {
  report.screen.heading("refused, as it should be");
  const attempts = [...clearAttempts(stage), ...certificateAttempts(stage), ...portAttempts(stage)];
  for (const attempt of attempts) await checkAttempt(report, stage, attempt);
  for (const question of questions) await checkQuestion(report, stage, question);
}
