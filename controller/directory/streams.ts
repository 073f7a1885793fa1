/**
 * Open streams of the directory. Each gets the whole state or what is newer than what it has, then every change, several
 * that come at once as one. Versions of a stream start above what its caller has, whichever replica gave it that; a slow
 * reader is spared the states in between, never the newest.
 */
import type { ServerWritableStream } from "@grpc/grpc-js";
import type { Clock } from "../../lib/clock/clock.ts";
import { toOwnWorkload, toProject, toService, toWorkload } from "../../lib/directory/wire.ts";
import type { Revision, Update, WatchRequest } from "../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import type { DirectoryCaller } from "./gate.ts";
import { LookedUp } from "./looked-up.ts";
import type { ClusterState } from "./state.ts";
import { deltaFor, visibleProjects } from "./view.ts";
import type { Delta } from "./view.ts";

export type StreamParts = {
  readonly state: ClusterState;
  readonly clock: Clock;
  /** Tells this replica's numbers from those of another. */
  readonly instance: string;
  readonly revisions: () => readonly Revision[];
  readonly watching: (change: 1 | -1) => void;
};

export type WatchCall = ServerWritableStream<WatchRequest, Update>;

type Stream = {
  readonly call: WatchCall;
  readonly caller: DirectoryCaller;
  version: bigint;
  /** The newest change that was sent; null: everything is due. */
  sent: number | null;
  /** The projects that were visible then. */
  visible: string;
  /** An update is on its way to the caller: gRPC would keep sixteen of them for one that does not read. */
  sending: boolean;
  /** Something may be due once it has left. */
  missed: boolean;
  readonly looked: LookedUp;
};

/** Changes that come within this time leave together. */
const coalesceMs = 20;
/** A pod needs one, and a second while it replaces the first. */
const mostOfOnePod = 4;

export class Streams {
  readonly #parts: StreamParts;
  readonly #streams = new Set<Stream>();
  readonly #ofPod = new Map<string, Set<Stream>>();
  #flushing = false;

  constructor(parts: StreamParts) {
    this.#parts = parts;
  }

  /** False: the pod has too many. */
  open(call: WatchCall, caller: DirectoryCaller): boolean {
    const ofPod = this.#ofPod.get(caller.podUid) ?? new Set();
    if (ofPod.size >= mostOfOnePod) return false;
    const { request } = call;
    const stream: Stream = {
      call,
      caller,
      // In milliseconds, so that replicas give numbers of one order; above the caller's in any case.
      version: max(request.version, BigInt(Math.floor(this.#parts.clock.now()))),
      sent: this.#resumable(request, caller),
      visible: visibleProjects(caller.project, this.#parts.state).join(),
      sending: false,
      missed: false,
      looked: new LookedUp(),
    };
    this.#streams.add(stream);
    this.#ofPod.set(caller.podUid, ofPod.add(stream));
    this.#parts.watching(1);
    const close = (): void => {
      if (!this.#streams.delete(stream)) return;
      ofPod.delete(stream);
      if (ofPod.size === 0) this.#ofPod.delete(caller.podUid);
      this.#parts.watching(-1);
    };
    for (const event of ["cancelled", "close", "error", "finish"]) call.once(event, close);
    // Also when nothing changed: the caller learns that what it has is what holds.
    this.#send(stream, new Map(), true);
    return true;
  }

  /**
   * The caller will be told when the holder of the address changes, on the streams of the connection that it asked on. False:
   * it cannot be, and must not get the answer.
   */
  lookedUp(caller: DirectoryCaller, address: string, isHeld: boolean): boolean {
    const streams = [...(this.#ofPod.get(caller.podUid) ?? [])].filter((stream) => stream.caller === caller);
    const isFollowed = streams.map(({ looked }) => looked.add(address, isHeld)).every((added) => added);
    if (streams.some(({ looked }) => looked.isDue)) this.changed();
    return isFollowed;
  }

  /** Something changed: what is due leaves soon. */
  changed(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#parts.clock.after(coalesceMs, () => {
      this.#flushing = false;
      this.#flush();
    });
  }

  endAll(): void {
    for (const { call } of this.#streams) call.end();
  }

  #flush(): void {
    const touched = this.#parts.state.takeTouched();
    const deltas = new Map<string, Delta>();
    for (const stream of this.#streams) {
      for (const address of touched) stream.looked.moved(address);
      this.#send(stream, deltas, false);
    }
  }

  #resumable({ resume }: WatchRequest, { project }: DirectoryCaller): number | null {
    const [instance, number = "", visible = ""] = resume.split(" ");
    const change = Number(number);
    if (instance !== this.#parts.instance || !/^[0-9]{1,15}$/.test(number)) return null;
    if (visible !== visibleProjects(project, this.#parts.state).join()) return null;
    return change >= this.#parts.state.oldest && change <= this.#parts.state.change ? change : null;
  }

  /** `deltas` holds what other streams of the same flush have computed. */
  #send(stream: Stream, deltas: Map<string, Delta>, evenEmpty: boolean): void {
    stream.missed = stream.sending;
    // What is written behind the end would destroy the stream before its status is sent.
    if (stream.sending || stream.call.writableEnded) return;
    const { state } = this.#parts;
    const visible = visibleProjects(stream.caller.project, state);
    const key = visible.join();
    const isGap = stream.sent !== null && stream.sent < state.oldest;
    const since = key === stream.visible && !isGap ? stream.sent : null;
    const cached = `${key} ${since}`;
    const delta = deltas.get(cached) ?? deltaFor(visible, state, since);
    deltas.set(cached, delta);
    stream.sent = state.change;
    stream.visible = key;
    if (!evenEmpty && isEmpty(delta) && !stream.looked.isDue) return;
    stream.version += 1n;
    const update = updateOf(delta, stream.caller.podUid, {
      version: stream.version,
      resume: `${this.#parts.instance} ${state.change} ${key}`,
      revisions: [...this.#parts.revisions()],
      forget: stream.looked.take(),
    });
    stream.sending = true;
    stream.call.write(update, () => {
      stream.sending = false;
      if (stream.missed && this.#streams.has(stream)) this.#send(stream, new Map(), false);
    });
  }
}

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);

const isEmpty = (delta: Delta): boolean =>
  !delta.full &&
  delta.cluster === null &&
  [
    delta.projects,
    delta.workloads,
    delta.services,
    delta.removedProjects,
    delta.removedWorkloads,
    delta.removedServices,
  ].every((list) => list.length === 0);

type Head = Pick<Update, "version" | "resume" | "revisions" | "forget">;

const updateOf = (delta: Delta, podUid: string, head: Head): Update => ({
  ...head,
  full: delta.full,
  cluster:
    delta.cluster === null
      ? undefined
      : {
          requires: [...delta.cluster.requires],
          clusterRanges: [...delta.cluster.clusterRanges],
          lookUpRanges: [...delta.cluster.lookUpRanges],
          nodeAddresses: [...delta.cluster.nodeAddresses],
        },
  projects: delta.projects.map(toProject),
  workloads: delta.workloads.map((each) => (each.uid === podUid ? toOwnWorkload(each) : toWorkload(each))),
  services: delta.services.map(toService),
  removedProjects: [...delta.removedProjects],
  removedWorkloads: [...delta.removedWorkloads],
  removedServices: [...delta.removedServices],
});
