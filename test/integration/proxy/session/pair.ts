/** A pool and a tunnel listener of ours, over real TLS, on one clock; both renew their certificates when a test says so. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, Http2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { connect as connectTls } from "node:tls";
import type { TLSSocket } from "node:tls";
import type { Credentials } from "../../../../lib/enrolment/identity.ts";
import { parseIp } from "../../../../lib/net/address.ts";
import { loadBundle } from "../../../../lib/trust/bundle.ts";
import { TunnelListener } from "../../../../proxy/session/accept.ts";
import { answerReauthentication, asksReauthentication } from "../../../../proxy/session/answer-reauthentication.ts";
import { reauthenticationSetting } from "../../../../proxy/session/flow.ts";
import { openStream } from "../../../../proxy/session/open-stream.ts";
import type { StreamRequest } from "../../../../proxy/session/open-stream.ts";
import { SessionPool } from "../../../../proxy/session/pool.ts";
import { reauthenticationPath } from "../../../../proxy/session/proof.ts";
import type { ServerSession } from "../../../../proxy/session/session.ts";
import { events } from "../../../../proxy/observe/events.ts";
import type { ReauthenticationEvent } from "../../../../proxy/observe/events.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import type { ManualClock } from "../../../clock/manual-clock.ts";
import { createPki, day } from "../../../pki/pki.ts";
import type { Leaf, LeafOptions } from "../../../pki/pki.ts";

export const pki = createPki({
  projects: [
    { name: "shop", uid: "uid-shop" },
    { name: "bank", uid: "uid-bank" },
  ],
});
const loaded = loadBundle(pki.rawBundle());
assert.ok(loaded.kind === "bundle");
export const { bundle } = loaded;

/** Of every certificate in these tests, on their clock. */
export const lifetimeMs = 60_000;

export function credentialsOf(
  leaf: Leaf,
  { generation, notAfter }: { generation: number; notAfter: number },
): Credentials {
  const identity = {
    generation,
    uri: leaf.uri,
    key: leaf.key.privateKey,
    keyPem: () => leaf.keyPem,
    chainPem: leaf.chainPem,
    chain: leaf.chain,
    issuer: leaf.chain[1]!,
    serial: "01",
    notBefore: notAfter - lifetimeMs,
    notAfter,
  };
  return { identity, bundle, roots: [pki.root.pem] };
}

export type Dialling = { readonly pool: SessionPool; readonly request: StreamRequest };

/** A pool of ours, and a request for the pod server-1 behind that port of this machine. */
export function dialling(
  port: number,
  context: Pick<ConstructorParameters<typeof SessionPool>[0], "credentials" | "clock">,
): Dialling {
  const ip = parseIp("127.0.0.1")!;
  const target = { endpoint: { ip, port }, project: "shop", serviceAccount: "server", podUid: "uid-of-server-1" };
  return {
    pool: new SessionPool({ ...context, maxLeafLifetimeMs: 365 * day, random: () => 0 }),
    request: { target, authority: { ip, port: 8080 }, traceparent: null, caller: null },
  };
}

export type Party = { readonly current: () => Credentials; readonly renew: () => Credentials };

/** A pod whose certificate is renewed by hand. */
export function party(clock: ManualClock, serviceAccount: string): Party {
  let generation = 0;
  const next = (): Credentials => {
    // OpenSSL looks at the real time during the handshake, so none begins in the future of that.
    const notBefore = Math.floor(Date.now() / 1_000) * 1_000 - 1_000;
    const notAfter = Math.floor((clock.now() + lifetimeMs) / 1_000) * 1_000;
    generation++;
    return credentialsOf(leafOf({ serviceAccount, notBefore, notAfter }), { generation, notAfter });
  };
  let current = next();
  return { current: () => current, renew: () => (current = next()) };
}

export const leafOf = (options: Partial<LeafOptions>): Leaf =>
  pki.issueLeaf({ project: "shop", serviceAccount: "cart", notAfter: Date.now() + lifetimeMs, ...options });

export type Pair = {
  readonly clock: ManualClock;
  readonly client: Party;
  readonly server: Party;
  readonly pool: SessionPool;
  readonly port: number;
  readonly accepted: ServerSession[];
  /** Projects that the listener takes for welcome. */
  readonly projects: Set<string>;
  readonly request: StreamRequest;
  /** All exchanges so far. */
  readonly exchanges: ReauthenticationEvent[];
  renewBoth(): void;
};

export async function pair(t: TestContext): Promise<Pair> {
  const clock = manualClock(Date.now());
  const client = party(clock, "cart");
  const server = party(clock, "server");
  const projects = new Set(["shop"]);
  const accepted: ServerSession[] = [];
  const judged = { maxLeafLifetimeMs: 365 * day, clock };
  const listener = new TunnelListener(server.current(), {
    maxHalfOpen: 256,
    credentials: server.current,
    expected: () => ({ kind: "projects", projects }),
    ...judged,
    onSession: (session) => {
      accepted.push(session);
      serve(session, { credentials: server.current, projects: () => projects, ...judged });
    },
    onClose: () => {},
  });
  await once(listener.server.listen(0, "127.0.0.1"), "listening");
  const { port } = listener.server.address() as AddressInfo;
  const { pool, request } = dialling(port, { credentials: client.current, clock });
  t.after(() => {
    pool.destroy();
    for (const session of accepted) session.destroy(null);
    listener.server.close();
  });
  return {
    clock,
    client,
    server,
    pool,
    port,
    accepted,
    projects,
    request,
    exchanges: watchExchanges(t),
    renewBoth: () => {
      listener.renew(server.renew());
      for (const session of accepted) session.certificateRenewed(server.current().identity.generation);
      pool.renew(client.renew());
    },
  };
}

/** Every stream is answered and echoed. */
function serve(session: ServerSession, context: Parameters<typeof answerReauthentication>[2]): void {
  session.facts.http2.on("stream", (each, headers) => {
    each.on("error", () => {});
    if (asksReauthentication(headers)) return void answerReauthentication(each, session, context);
    session.streamOpened();
    session.carry(each);
    each.respond({ ":status": 200 });
    each.pipe(each);
  });
}

export function watchExchanges(t: TestContext): ReauthenticationEvent[] {
  const seen: ReauthenticationEvent[] = [];
  const listen = (event: unknown): void => void seen.push(event as ReauthenticationEvent);
  events.sessionReauthenticated.subscribe(listen);
  t.after(() => events.sessionReauthenticated.unsubscribe(listen));
  return seen;
}

export async function stream({ pool, request }: Pick<Pair, "pool" | "request">): Promise<ClientHttp2Stream> {
  const opened = await openStream(pool, request);
  assert.ok(opened.kind === "stream", JSON.stringify(opened));
  opened.stream.on("error", () => {});
  return opened.stream;
}

/** With an error or without: `once` would reject with it. */
export const closed = (of: Http2Stream): Promise<void> => new Promise((resolve) => of.once("close", resolve));

/** There and back; the session has then also seen what was sent on it before. */
export async function echo(to: ClientHttp2Stream, text = "echo"): Promise<void> {
  to.write(text);
  const [chunk] = (await once(to, "data")) as [Buffer];
  assert.equal(chunk.toString(), text);
}

export type RawClient = { readonly http2: ClientHttp2Session; readonly socket: TLSSocket };

/** A peer whose certificate is good and whose program is not ours; `knows`: says that it knows re-authentication. */
export async function rawClient(
  t: TestContext,
  port: number,
  { leaf, knows }: { leaf: Leaf; knows: boolean },
): Promise<RawClient> {
  const socket = connectTls({
    host: "127.0.0.1",
    port,
    cert: leaf.chainPem,
    key: leaf.keyPem,
    ca: pki.root.pem,
    ALPNProtocols: ["h2"],
    checkServerIdentity: () => undefined,
  });
  await once(socket, "secureConnect");
  const settings = knows ? { customSettings: { [reauthenticationSetting]: 1 } } : {};
  const http2 = connectHttp2("https://peer", { settings, createConnection: () => socket });
  http2.on("error", () => {});
  t.after(() => http2.destroy());
  await once(http2, "remoteSettings");
  return { http2, socket };
}

export type Posted = { readonly status: number; readonly reason: string; readonly body: Buffer };

/** What the listener answers to such a request; `end`: whether the body is complete. */
export function post({ http2 }: RawClient, body: Uint8Array, { end = true } = {}): Promise<Posted> {
  const asked = http2.request({ ":method": "POST", ":path": reauthenticationPath }, { endStream: false });
  asked.on("error", () => {});
  if (end) asked.end(body);
  else asked.write(body);
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let status = 0;
    let reason = "";
    asked.on("response", (headers) => {
      status = headers[":status"] ?? 0;
      reason = String(headers["tencrypt-reason"] ?? "");
    });
    asked.on("data", (chunk: Buffer) => chunks.push(chunk));
    asked.on("close", () => resolve({ status, reason, body: Buffer.concat(chunks) }));
  });
}
