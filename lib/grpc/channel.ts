/**
 * What a client of the control plane has in common, whichever program it asks: a channel over TLS 1.3 to a server that is
 * believed for its exact SPIFFE ID only, and one stream of messages to follow. gRPC is an argument: who asks loads it when
 * it is first used.
 */
import { createSecureContext } from "node:tls";
import type { DetailedPeerCertificate, SecureContextOptions } from "node:tls";
import type { ChannelCredentials, ChannelOptions, ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import { judgeServer } from "../enrolment/judge-server.ts";
import type { ServerExpectation } from "../enrolment/judge-server.ts";

export type Bounds = { readonly largestMessage: number; readonly longestBackoffMs: number };

export const channelOptions = (
  { who }: Pick<ServerExpectation, "who">,
  { largestMessage, longestBackoffMs }: Bounds,
): ChannelOptions => ({
  // SNI has to be a name and the address may be an IP; whom we believe is decided by judgeServer alone.
  "grpc.ssl_target_name_override": who.serviceAccount,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.max_receive_message_length": largestMessage,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": longestBackoffMs,
});

/** `context`: our own certificate, where we show one, and the roots. */
export function channelCredentials(
  grpc: typeof import("@grpc/grpc-js"),
  context: Pick<SecureContextOptions, "ca" | "cert" | "key">,
  server: ServerExpectation,
): ChannelCredentials {
  return grpc.credentials.createFromSecureContext(createSecureContext({ ...context, minVersion: "TLSv1.3" }), {
    checkServerIdentity: (_host, certificate) => judgeServer(certificate as DetailedPeerCertificate, server),
  });
}

/** `over`: the server has ended the stream itself. */
export type StreamEnd = { readonly kind: "over" } | { readonly kind: "failed"; readonly error: string };
export type StreamHandlers<T> = { readonly onMessage: (message: T) => void; readonly onEnd: (how: StreamEnd) => void };

/** Messages until `onEnd`, which is called once; the returned function cancels without calling it. */
export function follow<T>(stream: ClientReadableStream<T>, { onMessage, onEnd }: StreamHandlers<T>): () => void {
  let over = false;
  const end = (how: StreamEnd): void => {
    if (!over) onEnd(how);
    over = true;
  };
  stream.on("data", (message: T) => {
    if (!over) onMessage(message);
  });
  stream.on("error", (error: ServiceError) => end({ kind: "failed", error: error.message }));
  stream.on("end", () => end({ kind: "over" }));
  return () => {
    over = true;
    stream.cancel();
  };
}
