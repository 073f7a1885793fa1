/**
 * W3C Trace Context by hand: whether a connection is traced is decided here, once, from the header or by ratio, so that
 * what is not sampled costs no tracing library. A malformed header is as good as none and never an error. Pure; the
 * randomness is an argument.
 */
import type { TraceContext } from "./events.ts";

/** How new traces are sampled, and whether a parent's flag decides instead. */
export type Sampling = { readonly ratio: number; readonly followParent: boolean };

export const never: Sampling = { ratio: 0, followParent: false };

export type TraceIds = { traceId(): string; spanId(): string };

export type RemoteParent = { readonly traceId: string; readonly spanId: string; readonly sampled: boolean };

const headerLength = 55;
const dash = 0x2d;
const noTrace = "0".repeat(32);
const noSpan = "0".repeat(16);

/** `version-traceid-parentid-flags` in lower-case hex, exactly 55 characters; null for anything else. */
export function parseTraceparent(header: string): RemoteParent | null {
  if (header.length !== headerLength || !hasForm(header)) return null;
  const traceId = header.slice(3, 35);
  const spanId = header.slice(36, 52);
  // Version ff is forbidden, and an id of zeros means none.
  if ((header[0] === "f" && header[1] === "f") || traceId === noTrace || spanId === noSpan) return null;
  return { traceId, spanId, sampled: (hexDigit(header.charCodeAt(54)) & 1) === 1 };
}

const hasForm = (header: string): boolean =>
  header.charCodeAt(2) === dash &&
  header.charCodeAt(35) === dash &&
  header.charCodeAt(52) === dash &&
  isHex(header, 0, 2) &&
  isHex(header, 3, 35) &&
  isHex(header, 36, 52) &&
  isHex(header, 53, headerLength);

function isHex(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at);
    if (!((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66))) return false;
  }
  return true;
}

const hexDigit = (code: number): number => (code <= 0x39 ? code - 0x30 : code - 0x57);

export const formatTraceparent = (trace: TraceContext): string =>
  `00-${trace.traceId}-${trace.spanId}-${trace.sampled ? "01" : "00"}`;

/** The first span of a trace. */
export function startTrace(sampling: Sampling, ids: TraceIds): TraceContext {
  const traceId = ids.traceId();
  return { traceId, spanId: ids.spanId(), parentSpanId: null, sampled: isDrawn(traceId, sampling.ratio) };
}

/** The next span of the trace that the header names; a new trace where it names none. */
export function continueTrace(header: string | undefined, sampling: Sampling, ids: TraceIds): TraceContext {
  const parent = header === undefined ? null : parseTraceparent(header);
  if (parent === null) return startTrace(sampling, ids);
  const sampled = sampling.followParent ? parent.sampled : isDrawn(parent.traceId, sampling.ratio);
  return { traceId: parent.traceId, spanId: ids.spanId(), parentSpanId: parent.spanId, sampled };
}

/** OpenTelemetry's consistent sampling: the last 56 bits of the trace id (here the first 52 of them) are the lot. */
const isDrawn = (traceId: string, ratio: number): boolean =>
  ratio >= 1 || (ratio > 0 && Number.parseInt(traceId.slice(18, 31), 16) / 2 ** 52 >= 1 - ratio);

const poolBytes = 4_080;

/** Ids out of a pool that `fill` refills once in 170 connections. */
export function createTraceIds(fill: (bytes: Uint8Array) => void): TraceIds {
  const pool = Buffer.alloc(poolBytes);
  let at = poolBytes;
  const take = (bytes: number, none: string): string => {
    for (;;) {
      if (at + bytes > poolBytes) {
        fill(pool);
        at = 0;
      }
      const id = pool.toString("hex", at, at + bytes);
      at += bytes;
      if (id !== none) return id;
    }
  };
  return { traceId: () => take(16, noTrace), spanId: () => take(8, noSpan) };
}
