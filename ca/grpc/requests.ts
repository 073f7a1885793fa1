/**
 * Requests that are no calls yet, or never become any. What the ca asks of a call - its rate, its token, its place in the audit - it asks of a
 * whole request, so one that is never completed must not stay: its header block would cost memory for as long as its caller
 * likes. A request has 5 s, all of them together are bounded, and where there are too many, the source with most gives way.
 * What gRPC refuses by itself, such as a message that is too large, is told as well: the ca never hears of it.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import { status } from "@grpc/grpc-js";
import type { Clock, Timer } from "../../lib/clock/clock.ts";
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";
import { isOurs } from "./status.ts";

/** Octets of all names and values: a token has at most 16 KiB. */
export const maxHeaderList = 20 * 1024;

const patienceMs = 5_000;
/** Of a proxy's request the last byte comes with the first. */
const mostIncomplete = 256;

type Incomplete = { readonly stream: ServerHttp2Stream; readonly timer: Timer };
export type RequestParts = {
  readonly clock: Clock;
  /** A request was given up, or refused by gRPC. */
  readonly refused: (source: string, why: Denial) => void;
};

export class Requests {
  readonly #parts: RequestParts;
  /** By source, each in the order of arrival. */
  readonly #incomplete = new Map<string, Set<Incomplete>>();
  /** Were given up. */
  readonly #told = new WeakSet<ServerHttp2Stream>();
  #count = 0;

  constructor(parts: RequestParts) {
    this.#parts = parts;
  }

  opened(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, source: string): void {
    // The session bounds header blocks only once its client has confirmed the setting.
    if (sizeOf(headers) > maxHeaderList) return this.#end(stream, source, "more than 20 KiB of headers");
    if (this.#count >= mostIncomplete) this.#dropOldestOfBusiest();
    const request: Incomplete = {
      stream,
      timer: this.#parts.clock.after(patienceMs, () => this.#drop(request, source, "not complete after 5 s")),
    };
    const ofSource = this.#incomplete.get(source) ?? new Set();
    this.#incomplete.set(source, ofSource.add(request));
    this.#count++;
    for (const event of ["end", "close"]) stream.once(event, () => this.#forget(request, source));
    stream.once("close", () => {
      const code = ownRefusal(stream);
      if (code !== null && !this.#told.has(stream))
        this.#parts.refused(source, denial("request_malformed", `refused by gRPC with the code ${code}`));
    });
  }

  #dropOldestOfBusiest(): void {
    const [busiest] = [...this.#incomplete].toSorted(([, one], [, other]) => other.size - one.size);
    const [oldest] = busiest?.[1] ?? [];
    if (oldest !== undefined) this.#drop(oldest, busiest![0], `${mostIncomplete} requests are not complete`);
  }

  #drop(request: Incomplete, source: string, detail: string): void {
    this.#forget(request, source);
    this.#end(request.stream, source, detail);
  }

  #forget(request: Incomplete, source: string): void {
    const ofSource = this.#incomplete.get(source);
    if (ofSource?.delete(request) !== true) return;
    request.timer.cancel();
    this.#count--;
    if (ofSource.size === 0) this.#incomplete.delete(source);
  }

  #end(stream: ServerHttp2Stream, source: string, detail: string): void {
    this.#told.add(stream);
    this.#parts.refused(source, denial("request_incomplete", detail));
    // gRPC is told of a stream in the turn after the one in which it was made, and answers one that is destroyed with a throw.
    setImmediate(() => {
      stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      stream.destroy();
    });
  }
}

function sizeOf(headers: IncomingHttpHeaders): number {
  let size = 0;
  for (const [name, value = ""] of Object.entries(headers))
    for (const each of typeof value === "string" ? [value] : value) size += name.length + each.length;
  return size;
}

/** For a method that there is not, a message that is too large, and one that cannot be decompressed. */
const grpcRefusals: readonly number[] = [status.UNIMPLEMENTED, status.RESOURCE_EXHAUSTED, status.INTERNAL];

/** The code with which gRPC refused by itself what it was sent; null: it did not. */
function ownRefusal({ sentHeaders, sentTrailers }: ServerHttp2Stream): number | null {
  const { "grpc-status": code, "grpc-message": details } = { ...sentHeaders, ...sentTrailers };
  if (!grpcRefusals.includes(Number(code)) || isOurs(decodeURI(String(details)))) return null;
  return Number(code);
}

type Created = { readonly stream: ServerHttp2Stream; readonly headers: IncomingHttpHeaders };

/** Every request that reaches this port, also one that gRPC has no method for; gRPC keeps its sessions to itself. */
export function followStreams(
  port: number,
  opened: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, peerAddress: string) => void,
): () => void {
  const created = (message: unknown): void => {
    const { stream, headers } = message as Created;
    const socket = stream.session?.socket;
    if (socket?.localPort === port) opened(stream, headers, socket.remoteAddress ?? "");
  };
  subscribe("http2.server.stream.created", created);
  return () => void unsubscribe("http2.server.stream.created", created);
}
