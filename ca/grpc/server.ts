/** The two gRPC services over TLS: decodes, hands to the ca, encodes. Callers learn codes and fixed texts only. */
import { Server } from "@grpc/grpc-js";
import type { sendUnaryData, ServerUnaryCall, ServerWritableStream, UntypedServiceImplementation } from "@grpc/grpc-js";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Log } from "../../lib/log/log.ts";
import { ipFromSocket } from "../../lib/net/address.ts";
import { IstioCertificateServiceService } from "../../lib/proto/gen/istio/v1/auth/ca.ts";
import type { IstioCertificateRequest, IstioCertificateResponse } from "../../lib/proto/gen/istio/v1/auth/ca.ts";
import { TrustBundleService } from "../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import type { Bundle, WatchRequest } from "../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import type { Publisher } from "../bundle/publisher.ts";
import type { Ca, Call } from "../ca.ts";
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";
import { statusOf } from "./status.ts";
import type { ServingCredentials } from "./credentials.ts";
import { BundleStreams } from "./bundle-streams.ts";
import type { StreamParts } from "./bundle-streams.ts";

export type Listen = { readonly host: string; readonly port: number };
export type GrpcServer = { readonly address: string; readonly port: number; drain(deadlineMs: number): Promise<void> };
export type GrpcParts = { readonly ca: Ca; readonly publisher: Publisher; readonly clock: Clock; readonly log: Log; readonly watching: StreamParts["watching"] };

const options = {
  "grpc.max_receive_message_length": 16_384,
  "grpc.max_concurrent_streams": 100,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.max_connection_idle_ms": 300_000,
  // In MB, of Node's http2; grpc-js lifts the limit otherwise.
  "grpc-node.max_session_memory": 10,
  "grpc.enable_channelz": 0,
};

/** Where a call comes from, and what it shows; an address that is no IP stays as its text. */
export function callOf(call: { getPeer(): string; metadata: { get(name: string): (string | Buffer)[] } }): Call {
  const peer = call.getPeer();
  const host = peer.slice(0, Math.max(0, peer.lastIndexOf(":"))).replace(/^\[|\]$/g, "");
  return { source: ipFromSocket(host) ?? peer, authorization: call.metadata.get("authorization").map(String) };
}

/** Undecodable bytes become null, so that they are refused and audited like everything else. */
function tolerant<T>(decode: (bytes: Buffer) => T): (bytes: Buffer) => T {
  return (bytes) => {
    try {
      return decode(bytes);
    } catch {
      return null as T;
    }
  };
}

type UnaryCall = ServerUnaryCall<IstioCertificateRequest | null, IstioCertificateResponse>;
type WatchCall = ServerWritableStream<WatchRequest, Bundle>;

export async function listen(where: Listen, credentials: ServingCredentials, parts: GrpcParts): Promise<GrpcServer> {
  const server = new Server(options);
  const streams = new BundleStreams(parts);
  const defect = (error: unknown): Denial => {
    parts.log("error", "defect", { detail: error instanceof Error ? error.stack : String(error) });
    return denial("certificate_unfit", "a defect");
  };
  const create = (call: UnaryCall, respond: sendUnaryData<IstioCertificateResponse>): void => {
    parts.ca
      .createCertificate(callOf(call), call.request)
      .catch(defect)
      .then((outcome) => (outcome.kind === "answer" ? respond(null, outcome.response) : respond(statusOf(outcome.reason))))
      .catch(defect);
  };
  const watch = (call: WatchCall): void => {
    parts.ca
      .admitWatch(callOf(call))
      .catch(defect)
      .then((outcome) => (outcome.kind === "caller" ? streams.open(call, outcome) : void call.emit("error", statusOf(outcome.reason))))
      .catch(defect);
  };
  const { createCertificate } = IstioCertificateServiceService;
  const istio = { createCertificate: { ...createCertificate, requestDeserialize: tolerant(createCertificate.requestDeserialize) } };
  server.addService(istio, { createCertificate: create } as UntypedServiceImplementation);
  server.addService(TrustBundleService, { watch });

  const host = where.host.includes(":") ? `[${where.host}]` : where.host;
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${where.port}`, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  return { address: where.host, port, drain: (deadlineMs) => drain(server, streams, parts.clock, deadlineMs) };
}

/** Takes nothing new, ends the streams, lets calls under way finish until the deadline. */
async function drain(server: Server, streams: BundleStreams, clock: Clock, deadlineMs: number): Promise<void> {
  streams.endAll();
  const deadline = clock.after(deadlineMs, () => server.forceShutdown());
  await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  deadline.cancel();
}
