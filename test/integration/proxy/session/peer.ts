/** A peer's proxy that does what a test tells it, over real TLS, and a pool of ours that dials it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createSecureServer } from "node:http2";
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream, Settings } from "node:http2";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import type { Clock } from "../../../../lib/clock/clock.ts";
import { parseIp } from "../../../../lib/net/address.ts";
import { loadBundle } from "../../../../lib/trust/bundle.ts";
import type { Credentials } from "../../../../lib/enrolment/identity.ts";
import type { StreamRequest } from "../../../../proxy/session/open-stream.ts";
import { SessionPool } from "../../../../proxy/session/pool.ts";
import { createPki, hour } from "../../../pki/pki.ts";

const pki = createPki({ projects: [{ name: "shop", uid: "uid-shop" }] });
const loaded = loadBundle(pki.rawBundle());
assert.ok(loaded.kind === "bundle");

export function ownCredentials(): Credentials {
  const leaf = pki.issueLeaf({ project: "shop", serviceAccount: "cart" });
  const identity = {
    generation: 1,
    uri: leaf.uri,
    key: leaf.key.privateKey,
    keyPem: () => leaf.keyPem,
    chainPem: leaf.chainPem,
    chain: leaf.chain,
    issuer: leaf.chain[1]!,
    serial: "01",
    notBefore: Date.now() - hour,
    notAfter: Date.now() + hour,
  };
  assert.ok(loaded.kind === "bundle");
  return { identity, bundle: loaded.bundle, roots: [pki.root.pem] };
}

export type Peer = {
  readonly pool: SessionPool;
  readonly request: StreamRequest;
  /** Sessions that the peer accepted. */
  readonly accepted: ServerHttp2Session[];
};

export type PeerOptions = {
  readonly clock: Clock;
  readonly settings?: Settings;
  readonly onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;
  /** Default: the same all the time. */
  readonly credentials?: () => Credentials;
};

export async function peer(t: TestContext, { clock, settings, onStream, ...options }: PeerOptions): Promise<Peer> {
  const leaf = pki.issueLeaf({ project: "shop", serviceAccount: "server" });
  const server = createSecureServer({
    cert: leaf.chainPem,
    key: leaf.keyPem,
    ca: pki.root.pem,
    requestCert: true,
    ...(settings === undefined ? {} : { settings }),
  });
  const accepted: ServerHttp2Session[] = [];
  server.on("session", (session) => accepted.push(session));
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => {});
    onStream(stream, headers);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const same = ownCredentials();
  const credentials = options.credentials ?? (() => same);
  const pool = new SessionPool({
    credentials,
    maxLeafLifetimeMs: 48 * hour,
    clock,
    random: () => 0,
  });
  t.after(() => {
    pool.destroy();
    server.close();
  });
  const ip = parseIp("127.0.0.1")!;
  const { port } = server.address() as AddressInfo;
  const target = { endpoint: { ip, port }, project: "shop", serviceAccount: "server", podUid: "uid-of-server-1" };
  return { pool, accepted, request: { target, authority: { ip, port: 8080 }, traceparent: null } };
}
