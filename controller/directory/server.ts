/** The directory's gRPC service behind the gate: who calls comes from the connection's certificate, never from a request. */
import type { TLSSocket } from "node:tls";
import { Server, status } from "@grpc/grpc-js";
import { ServerCredentials } from "@grpc/grpc-js";
import type { sendUnaryData, ServerUnaryCall } from "@grpc/grpc-js";
import type { Clock } from "../../lib/clock/clock.ts";
import { Connections } from "../../lib/grpc/connections.ts";
import { RateLimiter } from "../../lib/limit/rate-limit.ts";
import { limitLines } from "../../lib/log/line-limit.ts";
import type { Limited } from "../../lib/log/line-limit.ts";
import type { Log } from "../../lib/log/log.ts";
import type { HostPort } from "../../lib/net/host-port.ts";
import { DirectoryService } from "../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import type {
  LookupRequest,
  LookupResponse,
  Revision,
  WatchRequest,
} from "../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { Gate } from "./gate.ts";
import type { DirectoryCaller, GateOptions } from "./gate.ts";
import type { Lookup, LookupOutcome } from "./lookup.ts";
import type { Streams, WatchCall } from "./streams.ts";

export type DirectoryParts = Omit<GateOptions, "take"> & {
  readonly streams: Streams;
  readonly lookup: Lookup;
  readonly revisions: () => readonly Revision[];
  /** Why this replica cannot say what holds now; null if it can. */
  readonly staleness: () => string | null;
  /** A caller has seen more of this kind than this replica. */
  readonly catchUp: (kind: string) => void;
  /** A look-up had this outcome: who holds the address, or why that is not said. */
  readonly lookedUp: (outcome: string) => void;
  readonly clock: Clock;
  readonly log: Log;
};

export type DirectoryServer = {
  readonly address: string;
  readonly port: number;
  readonly gate: Gate;
  drain(deadlineMs: number): Promise<void>;
};

const options = {
  "grpc.max_receive_message_length": 16_384,
  "grpc.max_concurrent_streams": 64,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc-node.max_session_memory": 64,
  "grpc.enable_channelz": 0,
};
const bounds = { all: 16_384, ofOneSource: 256 };

const refusals = {
  unauthenticated: { code: status.UNAUTHENTICATED, details: "the caller is not known" },
  stale: { code: status.UNAVAILABLE, details: "not possible now, try again" },
  tooMany: { code: status.RESOURCE_EXHAUSTED, details: "too many streams, or too much unread" },
  tooOften: { code: status.RESOURCE_EXHAUSTED, details: "too many requests" },
} as const;

/** Of one pod: what it takes of a replica's time is no more, whatever its applications dial. */
const lookUpRate = { perSecond: 100, burst: 200 };
/** A stream begins with the whole state. A proxy that is refused tries again after 0.2 s, then 0.4, and so on to 5. */
const watchRate = { perSecond: 1, burst: 8 };
/** What a caller says that it has seen is not proven, and a list of everything is dear. */
const catchUpRate = { perSecond: 0.1, burst: 2 };
const lines = { perKey: 1, perSecond: 10, keys: 256 };

type LookupCall = ServerUnaryCall<LookupRequest, LookupResponse>;

export async function listenDirectory(where: HostPort, parts: DirectoryParts): Promise<DirectoryServer> {
  const server = new Server(options);
  const take = (socket: TLSSocket): void => {
    connections.proven(`${socket.remoteAddress}:${socket.remotePort}`);
    injector.injectConnection(socket);
  };
  const gate = new Gate({ ...parts, take });
  const sides: Sides = {
    gate,
    parts,
    lookUps: new RateLimiter(lookUpRate),
    watches: new RateLimiter(watchRate),
    catchUps: new RateLimiter(catchUpRate),
    refused: limitLines(
      parts.clock,
      (event, count, merged) => writeRefused(parts.log, event, { count, merged }),
      lines,
    ),
  };
  server.addService(DirectoryService, {
    watch: (call: WatchCall) => watch(call, sides),
    lookup: (call: LookupCall, respond: sendUnaryData<LookupResponse>) => void lookUp(call, respond, sides),
  });
  // TLS is the gate's; what reaches gRPC is verified.
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const connections = new Connections(bounds, (socket) => gate.connect(socket));
  const bound = await connections.listen(where);
  const drain = async (deadlineMs: number): Promise<void> => {
    connections.close();
    parts.streams.endAll();
    const deadline = parts.clock.after(deadlineMs, () => connections.endAll());
    await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    connections.endAll();
    deadline.cancel();
    sides.refused.stop();
    gate.stop();
  };
  return { ...bound, gate, drain };
}

type Sides = {
  readonly gate: Gate;
  readonly parts: DirectoryParts;
  /** Each by pod. */
  readonly lookUps: RateLimiter;
  readonly watches: RateLimiter;
  readonly catchUps: RateLimiter;
  readonly refused: Limited<RefusedWatch>;
};

function watch(call: WatchCall, { gate, parts, watches, catchUps, refused }: Sides): void {
  const caller = gate.callerAt(call.getPeer());
  if (caller === null) return void call.emit("error", refusals.unauthenticated);
  const now = parts.clock.monotonic();
  const refuse = (refusal: (typeof refusals)[keyof typeof refusals], detail: string): void => {
    refused.take(caller.podUid, "", { detail, caller });
    call.emit("error", refusal);
  };
  if (!watches.take(caller.podUid, now)) return refuse(refusals.tooOften, refusals.tooOften.details);
  const late = behind(call.request, parts.revisions());
  if (late.length > 0 && catchUps.take(caller.podUid, now)) for (const { kind } of late) parts.catchUp(kind);
  const stale = parts.staleness() ?? late[0]?.detail ?? null;
  if (stale !== null) return refuse(refusals.stale, stale);
  if (!parts.streams.open(call, caller)) refuse(refusals.tooMany, refusals.tooMany.details);
}

type RefusedWatch = { readonly detail: string; readonly caller: DirectoryCaller };
type Lines = { readonly count: number; readonly merged: boolean };

/** Where lines of several callers are merged, none of them is named. */
function writeRefused(log: Log, { detail, caller }: RefusedWatch, { count, merged }: Lines): void {
  const who = merged
    ? { detail: null, caller: null, podUid: null }
    : { detail, caller: caller.spiffeId, podUid: caller.podUid };
  log("warn", "directory_watch_refused", { ...who, count });
}

/** A caller that has seen more than we have would go back in time with us. */
const behind = ({ revisions }: WatchRequest, own: readonly Revision[]): readonly { kind: string; detail: string }[] =>
  own.flatMap(({ kind, resourceVersion: seen }) => {
    const claimed = revisions.find((revision) => revision.kind === kind)?.resourceVersion ?? 0n;
    return seen < claimed ? [{ kind, detail: `${kind}: seen ${seen}, the caller has ${claimed}` }] : [];
  });

async function lookUp(call: LookupCall, respond: sendUnaryData<LookupResponse>, sides: Sides): Promise<void> {
  const { gate, parts, lookUps } = sides;
  const caller = gate.callerAt(call.getPeer());
  if (caller === null) return respond(refusals.unauthenticated);
  if (!lookUps.take(caller.podUid, parts.clock.monotonic())) {
    parts.lookedUp("too_often");
    return respond(refusals.tooOften);
  }
  try {
    const outcome = await parts.lookup.find(call.request.address, caller.podUid);
    parts.lookedUp(outcomeOf(outcome));
    if (outcome.kind === "no-answer") return respond(refusals.stale);
    const isHeld = outcome.holder.nobody === undefined;
    if (!parts.streams.lookedUp(caller, call.request.address, isHeld)) return respond(refusals.tooMany);
    respond(null, { ...outcome.holder, revisions: [...parts.revisions()] });
  } catch (error) {
    parts.log("error", "defect", { detail: error instanceof Error ? error.stack : String(error) });
    respond(refusals.stale);
  }
}

function outcomeOf(outcome: LookupOutcome): string {
  if (outcome.kind === "no-answer") return "no_answer";
  const { pods, service, node } = outcome.holder;
  if (pods !== undefined) return "pods";
  if (service !== undefined) return "service";
  return node === undefined ? "nobody" : "node";
}
