/** The header traceparent, and which connections are traced. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  continueTrace,
  createTraceIds,
  formatTraceparent,
  never,
  parseTraceparent,
  startTrace,
} from "../../../../proxy/observe/trace-context.ts";
import type { Sampling, TraceIds } from "../../../../proxy/observe/trace-context.ts";

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const spanId = "00f067aa0ba902b7";
const header = `00-${traceId}-${spanId}-01`;
const ids: TraceIds = { traceId: () => "a".repeat(32), spanId: () => "b".repeat(16) };
const always: Sampling = { ratio: 1, followParent: true };

test("a traceparent is parsed and formatted again to the same text", () => {
  assert.deepEqual(parseTraceparent(header), { traceId, spanId, sampled: true });
  assert.deepEqual(parseTraceparent(`00-${traceId}-${spanId}-fe`), { traceId, spanId, sampled: false });
  assert.deepEqual(parseTraceparent(`cc-${traceId}-${spanId}-09`), { traceId, spanId, sampled: true });
  assert.equal(formatTraceparent({ traceId, spanId, parentSpanId: null, sampled: true }), header);
  assert.equal(
    formatTraceparent({ traceId, spanId, parentSpanId: null, sampled: false }),
    `00-${traceId}-${spanId}-00`,
  );
});

test("what is not exactly of the form is no parent", () => {
  const wrong = [
    "",
    header.slice(0, -1),
    `${header} `,
    `${header}-extra`,
    header.toUpperCase(),
    `ff-${traceId}-${spanId}-01`,
    `00-${"0".repeat(32)}-${spanId}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `00_${traceId}-${spanId}-01`,
    `00-${traceId}_${spanId}-01`,
    `00-${traceId}-${spanId}_01`,
    `00-${traceId.slice(1)}g-${spanId}-01`,
    `00-${traceId}-${spanId}-0g`,
    `0:-${traceId}-${spanId}-01`,
    `00-${traceId.slice(1)}\u0130-${spanId}-01`,
  ];
  for (const text of wrong) assert.equal(parseTraceparent(text), null, JSON.stringify(text));
});

test("every single-character change is refused or read as what it says", () => {
  for (let at = 0; at < header.length; at++) {
    for (const char of ["-", "g", "F", "\0", "/", ":", "`", "5"]) {
      const text = header.slice(0, at) + char + header.slice(at + 1);
      const parsed = parseTraceparent(text);
      if (parsed !== null) assert.equal(text.slice(3, 52), `${parsed.traceId}-${parsed.spanId}`);
      else assert.notEqual(text, header);
    }
  }
});

test("a continued trace keeps the trace, names the parent and follows its flag", () => {
  const expected = { traceId, spanId: "b".repeat(16), parentSpanId: spanId };
  assert.deepEqual(continueTrace(header, always, ids), { ...expected, sampled: true });
  assert.deepEqual(continueTrace(`00-${traceId}-${spanId}-00`, always, ids), { ...expected, sampled: false });
  assert.deepEqual(continueTrace(`00-${traceId}-${spanId}-00`, { ratio: 1, followParent: false }, ids), {
    ...expected,
    sampled: true,
  });
  assert.deepEqual(continueTrace(header, never, ids), { ...expected, sampled: false });
});

test("no header and a malformed one begin a trace", () => {
  const fresh = { traceId: "a".repeat(32), spanId: "b".repeat(16), parentSpanId: null, sampled: true };
  assert.deepEqual(continueTrace(undefined, always, ids), fresh);
  assert.deepEqual(continueTrace("00-nonsense", always, ids), fresh);
  assert.deepEqual(startTrace(never, ids), { ...fresh, sampled: false });
});

test("the ratio is drawn from the trace id, so every proxy draws the same", () => {
  const at = (hex: string): TraceIds => ({ ...ids, traceId: () => `${"1".repeat(18)}${hex}` });
  assert.equal(startTrace({ ratio: 0.25, followParent: true }, at("bfffffffffffff")).sampled, false);
  assert.equal(startTrace({ ratio: 0.25, followParent: true }, at("c0000000000000")).sampled, true);
});

test("ids come from the pool, in pieces that never overlap and are never zero", () => {
  let fills = 0;
  const drawn = createTraceIds((bytes) => {
    fills++;
    for (let at = 0; at < bytes.length; at++) bytes[at] = at < 16 ? 0 : fills;
  });
  assert.equal(drawn.traceId(), "01".repeat(16));
  assert.equal(drawn.spanId(), "01".repeat(8));
  for (let at = 0; at < 600; at++) assert.match(drawn.spanId(), /^(0[1-9]){8}$/);
  assert.equal(fills, 2);
});
