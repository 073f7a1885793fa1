/**
 * Carries bytes both ways between the application's socket and the far side, byte-exact, with backpressure, half-close
 * and resets, until both sides are done.
 *
 * Guarantees
 * - An end is passed on as an end only if it was one. A killed peer, a reset and a lost session reach the application
 *   as RST, never as a clean end (truncation must not look like completion).
 * - The application's socket carries SO_LINGER {1, 0} for as long as its stream is incomplete, so that also the death
 *   of this process is an RST. It is taken away just before a clean close, which would otherwise throw data away.
 * - Nothing is allocated per chunk and nothing is awaited. The handlers are the same functions for all connections, which
 *   find their side by a property of the emitter: a closure for each event was 1 KB of an idle connection.
 */
import type { Http2Stream } from "node:http2";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import type { Duplex } from "node:stream";
import { cancelled } from "../../lib/net/cancelled.ts";
import type { ClosedBy } from "../observe/events.ts";
import { gather, gatherFrom } from "./gather.ts";
import { readNothingAhead } from "./high-water-marks.ts";
import { readsBefore, shareReads } from "./shared-reads.ts";
import { pushGathered, release } from "./small-pieces.ts";

export type RelayOutcome = {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly closedBy: ClosedBy;
  readonly reset: boolean;
};

const isStream = (duplex: Duplex): duplex is Http2Stream & Duplex => "rstCode" in duplex;

/** Ends a connection at once so that the far end sees a reset, never an end. */
export const reset = (duplex: Duplex): void => void duplex.destroy(isStream(duplex) ? cancelled : undefined);

/** A stream that has carried more than this is bulk: its session is left to it, so that small requests do not queue behind it. */
export const bulkBytes = 8 * 1024 * 1024;

export type RelayEnds = {
  /** The side that accepted the connection from: its bytes are `sent`. */
  readonly client: Duplex;
  readonly server: Duplex;
};

export type RelayOwner = {
  /** Takes SO_LINGER {1, 0} away from a socket; only one file may touch socket options. */
  disarm(socket: Socket): void;
  done(outcome: RelayOutcome): void;
  /** Called each time that one side does not take what comes from the other. */
  waits(): void;
  /** Called once when the relay turns out to be a bulk transfer. */
  bulk(): void;
};

/** One direction's state lives in the side it reads from. */
class Side {
  readonly relay: Relay;
  readonly duplex: Duplex;
  /** The same, where it is a stream of a session; null for a socket. */
  readonly stream: (Http2Stream & Duplex) | null;
  readonly name: ClosedBy;
  bytes = 0;
  reads = 0;
  ended = false;
  finished = false;
  closed = false;
  /** Since the last piece that went Node's way, which alone lets Node read on. */
  paused = false;
  /** Of a stream: END_STREAM has come, read or not. */
  complete = false;
  constructor(relay: Relay, duplex: Duplex, name: ClosedBy) {
    this.relay = relay;
    this.duplex = duplex;
    this.name = name;
    this.stream = isStream(duplex) ? duplex : null;
  }
  get far(): Side {
    const { client, server } = this.relay;
    return this === client ? server : client;
  }
}

const sideOf = Symbol("side of a relay");
type Carried = Duplex & { [sideOf]: Side };

function onData(this: Carried, chunk: Buffer): void {
  const from = this[sideOf];
  const sink = from.far.duplex;
  from.bytes += chunk.length;
  if (++from.reads === readsBefore && from.stream === null) shareReads(this);
  if (from.bytes > bulkBytes) from.relay.becomeBulk();
  if (from.stream !== null && chunk.length >= gatherFrom) gather(sink);
  if (sink.write(chunk)) return;
  from.paused = true;
  this.pause();
  from.relay.owner.waits();
}

function onDrain(this: Carried): void {
  readOn(this[sideOf].far.duplex);
}

function readOn(duplex: Duplex): void {
  release(duplex);
  duplex.resume();
}

function onEnd(this: Carried): void {
  this[sideOf].relay.ended(this[sideOf]);
}

function onFinish(this: Carried): void {
  this[sideOf].relay.finished(this[sideOf]);
}

function onError(this: Carried): void {
  this[sideOf].relay.failed(this[sideOf]);
}

function onClose(this: Carried): void {
  this[sideOf].relay.closed(this[sideOf]);
}

/**
 * Node ends the reading side of a stream itself when it is reset or its session dies, and emits `end` as if END_STREAM had
 * come. Only the order tells: what Node ends is closed already, what the far end completes is not. Nothing public says that
 * END_STREAM has come before it is read (`state.remoteClose` is 1 after any reset too). Costs 5 ns a chunk.
 *
 * The same place hands on at once what nothing waits before: Node's way there also asks the session for more in a tick of its
 * own, though it never stopped reading.
 */
function watchEnd(side: Side, stream: Http2Stream): void {
  // Before the relay began. Were the field gone, such an end would look like a reset, never the other way round.
  const state = (stream as { _readableState?: { ended?: boolean } })._readableState;
  side.complete = state?.ended === true && isOpen(stream);
  stream.push = pushWatched;
}

const nothing = Buffer.alloc(0);

function pushWatched(this: Duplex, chunk: unknown, encoding?: BufferEncoding): boolean {
  const stream = this as Carried & Http2Stream;
  if (chunk === null) {
    if (isOpen(stream)) stream[sideOf].complete = true;
  } else if (!stream[sideOf].paused && stream.readableFlowing === true && stream.readableLength === 0) {
    stream.emit("data", chunk);
    if (!stream[sideOf].paused) return true;
    // Node has to know that what it asked for has come: else it does not ask again.
    stream[sideOf].paused = false;
    return Readable.prototype.push.call(stream, nothing);
  }
  if (stream.readableFlowing === true) stream[sideOf].paused = false;
  return pushGathered.call(stream, chunk, encoding);
}

const isOpen = ({ closed, destroyed, session }: Http2Stream): boolean =>
  !closed && !destroyed && session?.destroyed === false;

/** Whether what says `end` really ended. */
const endedCleanly = ({ stream, complete }: Side): boolean =>
  stream === null || (complete && stream.rstCode === 0 && !stream.destroyed);

/** Our half was sent in full. A stream that both ends completed closes without ever emitting `finish`. */
const wasFinished = ({ stream, finished }: Side): boolean =>
  stream === null ? finished : stream.writableEnded && stream.rstCode === 0;

/**
 * The far end completed its half and wants nothing more of ours (RST_STREAM with NO_ERROR, RFC 9113, 8.1). Node ends our
 * half in our name then, and says `aborted`.
 */
const wasLeft = ({ stream, ended }: Side): boolean =>
  ended && stream !== null && stream.aborted && stream.rstCode === 0;

export class Relay {
  readonly client: Side;
  readonly server: Side;
  readonly owner: RelayOwner;
  #closedBy: ClosedBy = "unknown";
  #reset = false;
  #bulk = false;
  /** The stream's far end has left. */
  #left = false;

  constructor({ client, server }: RelayEnds, owner: RelayOwner) {
    this.owner = owner;
    this.client = new Side(this, client, "client");
    this.server = new Side(this, server, "server");
  }

  start(): void {
    this.#attach(this.client);
    this.#attach(this.server);
    readOn(this.client.duplex);
    readOn(this.server.duplex);
  }

  /** Ends both sides at once with RST (drain deadline, certificate at its end). */
  destroy(): void {
    if (this.#closedBy === "unknown") this.#closedBy = "proxy";
    this.#abort(this.client);
    this.#abort(this.server);
  }

  /** Who does not read from a socket, because nobody takes what came or because its end did, is not told of its reset. */
  endIfReset(isReset: (socket: Socket) => boolean): void {
    for (const side of [this.client, this.server]) {
      const { duplex, stream, closed } = side;
      if (closed || stream !== null || !(duplex.isPaused() || duplex.readableEnded)) continue;
      if (isReset(duplex as Socket)) return this.failed(side);
    }
  }

  #attach(side: Side): void {
    const duplex = side.duplex as Carried;
    duplex[sideOf] = side;
    readNothingAhead(duplex);
    duplex.on("data", onData);
    duplex.on("drain", onDrain);
    duplex.on("end", onEnd);
    if (side.stream === null) duplex.on("finish", onFinish);
    else watchEnd(side, side.stream);
    duplex.on("error", onError);
    duplex.on("close", onClose);
    // What happened while nobody listened: a side may have died, or a caller ended its half, while the other was dialled.
    if (duplex.destroyed) this.closed(side);
    else if (duplex.readableEnded) this.ended(side);
  }

  /** Of the handlers above, as all that follows. */
  becomeBulk(): void {
    if (this.#bulk) return;
    this.#bulk = true;
    this.owner.bulk();
  }

  ended(from: Side): void {
    if (!endedCleanly(from)) return this.failed(from);
    from.ended = true;
    if (this.#closedBy === "unknown") this.#closedBy = from.name;
    const { duplex } = from.far;
    if (!duplex.destroyed) duplex.end();
    this.#disarmIfComplete(from);
  }

  finished(socket: Side): void {
    socket.finished = true;
    this.#disarmIfComplete(socket);
    if (this.#left) this.#leave(socket);
  }

  failed(from: Side): void {
    if (!this.#reset) this.#closedBy = from.name;
    this.#reset = true;
    this.#abort(from.far);
    this.#abort(from);
  }

  closed(from: Side): void {
    if (from.closed) return;
    from.closed = true;
    if (wasLeft(from)) {
      this.#left = true;
      this.#leave(from.far);
    } else if (!from.ended || !wasFinished(from)) this.failed(from);
    if (this.client.closed && this.server.closed) this.#finish();
  }

  /** Both halves of this socket are complete, so the close that follows at once is a clean one. */
  #disarmIfComplete(side: Side): void {
    if (side.ended && side.finished && side.stream === null) this.owner.disarm(side.duplex as Socket);
  }

  /** As a process that closes its socket: what was sent arrives with its end, what still comes is answered with RST. */
  #leave(to: Side): void {
    this.#reset = true;
    if (to.stream !== null) return this.#abort(to);
    if (!to.finished) return;
    this.owner.disarm(to.duplex as Socket);
    to.duplex.destroy();
  }

  #abort(side: Side): void {
    if (side.duplex.destroyed) return;
    this.#reset = true;
    reset(side.duplex);
  }

  #finish(): void {
    this.owner.done({
      bytesSent: this.client.bytes,
      bytesReceived: this.server.bytes,
      closedBy: this.#closedBy,
      reset: this.#reset,
    });
  }
}
