/** The two gRPC services over TLS: decodes, hands to the ca, encodes. Callers learn codes and fixed texts only. */
import { Server } from "@grpc/grpc-js";
import type { sendUnaryData, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Log } from "../../lib/log/log.ts";
import { ipFromSocket } from "../../lib/net/address.ts";
import { IstioCertificateRequest, IstioCertificateServiceService } from "../../lib/proto/gen/istio/v1/auth/ca.ts";
import type { IstioCertificateResponse } from "../../lib/proto/gen/istio/v1/auth/ca.ts";
import { TrustBundleService } from "../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import type { Bundle, WatchRequest } from "../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import type { Publisher } from "../bundle/publisher.ts";
import type { Ca, Call } from "../ca.ts";
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";
import { BundleStreams } from "./bundle-streams.ts";
import type { StreamParts } from "./bundle-streams.ts";
import { Connections } from "../../lib/grpc/connections.ts";
import type { ConnectionBounds } from "../../lib/grpc/connections.ts";
import type { HostPort } from "../../lib/net/host-port.ts";
import type { ServingCredentials } from "./credentials.ts";
import { followStreams, Requests } from "./requests.ts";
import { statusOf } from "./status.ts";

export type GrpcServer = { readonly address: string; readonly port: number; drain(deadlineMs: number): Promise<void> };
export type GrpcParts = {
  readonly ca: Ca;
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly log: Log;
  readonly watching: StreamParts["watching"];
  readonly bounds: ConnectionBounds;
};

const options = {
  "grpc.max_receive_message_length": 16_384,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.max_connection_idle_ms": 300_000,
  // In MB, of Node's http2; grpc-js lifts the limit otherwise.
  "grpc-node.max_session_memory": 10,
  "grpc.enable_channelz": 0,
};

const ofAll = 8_192;
/** A proxy needs two connections, and two more while it replaces them. */
export const sourcesArePods: ConnectionBounds = { all: ofAll, ofOneSource: 8 };
/** Where the network rewrites addresses, a source is a node with all of its pods. */
export const sourcesAreShared: ConnectionBounds = { all: ofAll, ofOneSource: 512 };

/** Where a call comes from, and what it shows; an address that is no IP stays as its text. */
export function callOf(call: { getPeer(): string; metadata: { get(name: string): (string | Buffer)[] } }): Call {
  const peer = call.getPeer();
  const host = peer.slice(0, Math.max(0, peer.lastIndexOf(":"))).replace(/^\[|\]$/g, "");
  return { source: ipFromSocket(host) ?? peer, authorization: call.metadata.get("authorization").map(String) };
}

/** Stands for bytes that are no request, so that these are refused and audited like everything else. */
const undecodable: IstioCertificateRequest = { csr: "", validityDuration: 0n, metadata: [] };

function decodeRequest(bytes: Buffer): IstioCertificateRequest {
  try {
    return IstioCertificateRequest.decode(bytes);
  } catch {
    return undecodable;
  }
}

type UnaryCall = ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;
type WatchCall = ServerWritableStream<WatchRequest, Bundle>;

export async function listen(where: HostPort, credentials: ServingCredentials, parts: GrpcParts): Promise<GrpcServer> {
  const server = new Server(options);
  const streams = new BundleStreams(parts);
  const injector = server.createConnectionInjector(credentials);
  const connections = new Connections(parts.bounds, (socket) => injector.injectConnection(socket));
  addServices(server, { parts, streams, connections });
  const bound = await connections.listen(where);
  const requests = new Requests({
    clock: parts.clock,
    refused: (source, why) => parts.ca.refuseRequest(source, why),
  });
  const unfollow = followStreams(bound.port, (stream, headers, address) =>
    requests.opened(stream, headers, ipFromSocket(address) ?? address),
  );
  const drainAll = async (deadlineMs: number): Promise<void> => {
    await drain({ server, connections, streams, clock: parts.clock }, deadlineMs);
    unfollow();
  };
  return { ...bound, drain: drainAll };
}

type Sides = { readonly parts: GrpcParts; readonly streams: BundleStreams; readonly connections: Connections };

function addServices(server: Server, { parts, streams, connections }: Sides): void {
  const defect = (error: unknown): Denial => {
    parts.log("error", "defect", { detail: error instanceof Error ? error.stack : String(error) });
    return denial("certificate_unfit", "a defect");
  };
  const create = (call: UnaryCall, respond: sendUnaryData<IstioCertificateResponse>): void => {
    parts.ca
      .createCertificate(callOf(call), call.request === undecodable ? null : call.request)
      .catch(defect)
      .then((outcome) => {
        if (outcome.kind !== "answer") return respond(statusOf(outcome.reason));
        connections.proven(call.getPeer());
        respond(null, outcome.response);
      })
      .catch(defect);
  };
  const watch = (call: WatchCall): void => {
    parts.ca
      .admitWatch(callOf(call))
      .catch(defect)
      .then((outcome) => {
        if (outcome.kind !== "caller") return void call.emit("error", statusOf(outcome.reason));
        connections.proven(call.getPeer());
        streams.open(call, outcome);
      })
      .catch(defect);
  };
  const { createCertificate } = IstioCertificateServiceService;
  const istio = { createCertificate: { ...createCertificate, requestDeserialize: decodeRequest } };
  server.addService(istio, { createCertificate: create });
  server.addService(TrustBundleService, { watch });
}

type ToDrain = {
  readonly server: Server;
  readonly connections: Connections;
  readonly streams: BundleStreams;
  readonly clock: Clock;
};

/** Takes nothing new, ends the streams, lets calls under way finish until the deadline. */
async function drain({ server, connections, streams, clock }: ToDrain, deadlineMs: number): Promise<void> {
  connections.close();
  streams.endAll();
  const deadline = clock.after(deadlineMs, () => connections.endAll());
  await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  await connections.ended();
  deadline.cancel();
}
