/** A peer's proxy that does what a test tells it, over real TLS, and a pool of ours that dials it. */
import { once } from "node:events";
import { createSecureServer } from "node:http2";
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream, Settings } from "node:http2";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import type { Clock } from "../../../../lib/clock/clock.ts";
import type { Credentials } from "../../../../lib/enrolment/identity.ts";
import { hour } from "../../../pki/pki.ts";
import { credentialsOf, dialling, pki } from "./pair.ts";
import type { Dialling } from "./pair.ts";

export const ownCredentials = (): Credentials =>
  credentialsOf(pki.issueLeaf({ project: "shop", serviceAccount: "cart" }), {
    generation: 1,
    notAfter: Date.now() + hour,
  });

export type Peer = Dialling & {
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
  const { port } = server.address() as AddressInfo;
  const { pool, request } = dialling(port, { credentials, clock });
  t.after(() => {
    pool.destroy();
    server.close();
  });
  return { pool, accepted, request };
}
