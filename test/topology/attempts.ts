/**
 * Attempts of an application, and what has to come of them: the bytes of the far end, or not one byte and a refusal
 * with exactly that reason in the log of the proxy that refused.
 */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { Child, Json } from "./child.ts";

export type Target = { readonly host: string; readonly port: number };

/** Far below every timeout of the proxy: a refusal is an answer, not a silence. */
const promptMs = 2_500;

export const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host);
export const endpoint = ({ host, port }: Target): string => `${bracketed(host)}:${port}`;

export const dial = (from: Child, target: Target, more: Json = {}): Promise<Json> =>
  from.request({ do: "dial", ...target, ...more });

/** An echo answers with the text, and ends when the dialer has ended. */
export async function reaches(from: Child, target: Target, text: string): Promise<void> {
  const answer = await dial(from, target, { send: text, half: true });
  assert.deepEqual([answer["text"], answer["ended"]], [text, "end"], `${endpoint(target)}: ${JSON.stringify(answer)}`);
}

/** Ended by the other side, at once and without a byte. */
export function assertRefused(answer: Json, what: string): void {
  assert.equal(answer["bytes"], 0, `${what}: ${JSON.stringify(answer)}`);
  assert.match(String(answer["ended"]), /^(?:reset|ECONNREFUSED)$/, `${what}: ${JSON.stringify(answer)}`);
  assert.ok(Number(answer["milliseconds"]) < promptMs, `${what}: it took ${String(answer["milliseconds"])} ms`);
}

export type Refusal = { readonly by: Child; readonly reason: string };

/** The dial is reset, and `by` says why in its log; gives that line. */
export async function refuses(from: Child, target: Target, text: string, { by, reason }: Refusal): Promise<Json> {
  const position = by.position;
  const what = `${from.name} -> ${endpoint(target)}`;
  assertRefused(await dial(from, target, { send: text }), what);
  return refusalLine(by, position, endpoint(target), reason);
}

/** The first refusal of that destination that the proxy logs from `from` on must have that reason. */
export async function refusalLine(by: Child, from: number, destination: string, reason: string): Promise<Json> {
  const line = await by.event("connection_refused", (fields) => fields["destination"] === destination, { from });
  assert.deepEqual([line["reason"], line["dryRun"]], [reason, false], JSON.stringify(line));
  return line;
}

/** Nobody listens: the kernel itself refuses. */
export async function nobodyListens(from: Child, target: Target, text: string): Promise<void> {
  const answer = await dial(from, target, { send: text });
  assert.deepEqual([answer["connected"], answer["error"]], [false, "ECONNREFUSED"], `${endpoint(target)}`);
}

export const openFiles = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** Memory of its own, without pages of files. */
export const anonymousMb = (pid: number): number =>
  Number(/^RssAnon:\s+([0-9]+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;

/** Waits until the process has no more open files than that. */
export async function filesReturnTo(pid: number, count: number, { timeoutMs = 10_000 } = {}): Promise<void> {
  for (const deadline = performance.now() + timeoutMs; openFiles(pid) > count; await pause(10)) {
    assert.ok(performance.now() < deadline, `process ${pid} keeps ${openFiles(pid)} open files, it had ${count}`);
  }
}
