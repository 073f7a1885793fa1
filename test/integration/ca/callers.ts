/** Strangers at the ca's port: HTTP/2 over TLS from an address of their own, without a token. */
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { connect as connectTcp } from "node:net";
import type { Socket } from "node:net";
import type { TestContext } from "node:test";
import { connect as connectTls } from "node:tls";
import { cleanUp } from "./running-ca.ts";

export const createCertificate = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

export async function dialFrom(t: TestContext, localAddress: string, port: number): Promise<Socket> {
  const socket = connectTcp({ host: "127.0.0.1", port, localAddress });
  socket.on("error", () => {});
  cleanUp(t, () => socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** The session is there, and nothing has come from the other side yet: its settings are not known. */
export async function sessionFrom(t: TestContext, localAddress: string, port: number): Promise<ClientHttp2Session> {
  const socket = await dialFrom(t, localAddress, port);
  const tls = connectTls({ socket, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  tls.on("error", () => {});
  await once(tls, "secureConnect");
  const session = connectHttp2("https://localhost", { createConnection: () => tls });
  session.on("error", () => {});
  return session;
}

/** A call of which only the head is sent. */
export function headOnly(
  session: ClientHttp2Session,
  path = createCertificate,
  headers: OutgoingHttpHeaders = {},
): ClientHttp2Stream {
  const head = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers };
  const stream = session.request(head, { endStream: false });
  stream.on("error", () => {});
  return stream;
}
