/**
 * Decodes an OTLP `ExportTraceServiceRequest` by field numbers (opentelemetry/proto/trace/v1/trace.proto) into plain
 * objects. What it does not know it skips.
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";

export type AttributeValue = string | number | boolean | readonly AttributeValue[];

export type DecodedSpan = {
  readonly traceId: string;
  readonly spanId: string;
  /** Null for the first span of a trace. */
  readonly parentSpanId: string | null;
  readonly name: string;
  readonly kind: "unspecified" | "internal" | "server" | "client" | "producer" | "consumer";
  /** Nanoseconds since the epoch. */
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly status: "unset" | "ok" | "error";
  readonly statusMessage: string;
  readonly resource: Readonly<Record<string, AttributeValue>>;
  readonly scope: string;
};

const kinds = ["unspecified", "internal", "server", "client", "producer", "consumer"] as const;
const statuses = ["unset", "ok", "error"] as const;

type OnField = (field: number, reader: BinaryReader) => boolean;

/** Calls `onField` for each field; what it does not read (false) is skipped. */
function eachField(bytes: Uint8Array, onField: OnField): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (!onField(field, reader)) reader.skip(wireType, field);
  }
}

/** The sub-messages with these field numbers, in order. */
function messages(bytes: Uint8Array, wanted: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  eachField(bytes, (field, reader) => field === wanted && found.push(reader.bytes()) > 0);
  return found;
}

export function decodeSpans(body: Uint8Array): DecodedSpan[] {
  return messages(body, 1).flatMap((resourceSpans) => {
    const resource = Object.assign(
      {},
      ...messages(resourceSpans, 1).map((part) => decodeAttributes(part, 1)),
    ) as Record<string, AttributeValue>;
    return messages(resourceSpans, 2).flatMap((scopeSpans) => {
      const scope = messages(scopeSpans, 1).map((part) => Buffer.from(messages(part, 1)[0] ?? []).toString())[0] ?? "";
      return messages(scopeSpans, 2).map((span) => decodeSpan(span, resource, scope));
    });
  });
}

function decodeSpan(bytes: Uint8Array, resource: DecodedSpan["resource"], scope: string): DecodedSpan {
  const ids = { traceId: "", spanId: "", parentSpanId: "" };
  const span = { name: "", kind: 0, start: 0n, end: 0n, status: 0, statusMessage: "" };
  const hex = (reader: BinaryReader): string => Buffer.from(reader.bytes()).toString("hex");
  const fields: Readonly<Record<number, (reader: BinaryReader) => void>> = {
    1: (reader) => (ids.traceId = hex(reader)),
    2: (reader) => (ids.spanId = hex(reader)),
    4: (reader) => (ids.parentSpanId = hex(reader)),
    5: (reader) => (span.name = reader.string()),
    6: (reader) => (span.kind = reader.int32()),
    7: (reader) => (span.start = BigInt(reader.fixed64())),
    8: (reader) => (span.end = BigInt(reader.fixed64())),
    15: (reader) => Object.assign(span, decodeStatus(reader.bytes())),
  };
  eachField(bytes, (field, reader) => {
    const read = fields[field];
    read?.(reader);
    return read !== undefined;
  });
  const { name, start, end, statusMessage } = span;
  const attributes = decodeAttributes(bytes, 9);
  const parentSpanId = ids.parentSpanId === "" ? null : ids.parentSpanId;
  return {
    ...ids,
    parentSpanId,
    name,
    kind: kinds[span.kind]!,
    start,
    end,
    attributes,
    status: statuses[span.status]!,
    statusMessage,
    resource,
    scope,
  };
}

function decodeStatus(bytes: Uint8Array): { status: number; statusMessage: string } {
  const status = { status: 0, statusMessage: "" };
  eachField(bytes, (field, reader) => {
    if (field === 2) status.statusMessage = reader.string();
    else if (field === 3) status.status = reader.int32();
    return field === 2 || field === 3;
  });
  return status;
}

function decodeAttributes(bytes: Uint8Array, field: number): Record<string, AttributeValue> {
  return Object.fromEntries(
    messages(bytes, field).map((pair) => {
      const key = Buffer.from(messages(pair, 1)[0] ?? []).toString();
      return [key, decodeValue(messages(pair, 2)[0] ?? new Uint8Array())];
    }),
  );
}

/** AnyValue: string, bool, int, double or array. */
function decodeValue(bytes: Uint8Array): AttributeValue {
  let value: AttributeValue = "";
  const fields: Readonly<Record<number, (reader: BinaryReader) => AttributeValue>> = {
    1: (reader) => reader.string(),
    2: (reader) => reader.bool(),
    3: (reader) => Number(reader.int64()),
    4: (reader) => reader.double(),
    5: (reader) => messages(reader.bytes(), 1).map(decodeValue),
  };
  eachField(bytes, (field, reader) => {
    const read = fields[field];
    if (read !== undefined) value = read(reader);
    return read !== undefined;
  });
  return value;
}
