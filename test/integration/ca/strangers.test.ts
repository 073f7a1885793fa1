/**
 * Any pod of the cluster can dial the ca. What strangers do there without a token, over real connections from addresses of
 * their own, costs the ca bounded memory and keeps nobody else from being served.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { constants } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { join } from "node:path";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { systemClock } from "../../../lib/clock/clock.ts";
import type { Clock } from "../../../lib/clock/clock.ts";
import { cart, clientsOf, issued, startCa } from "./running-ca.ts";
import type { TestCa } from "./running-ca.ts";
import { runProgram, settingsOf } from "./program.ts";
import { tokenFor } from "../../tokens/tokens.ts";
import { createCertificate, headOnly, sessionFrom } from "./callers.ts";

const stranger = "127.0.0.2";
const patience = 5_000;

/** The system's, but that what waits for the end of a request waits until it is told to go on. */
function patientClock(): { readonly clock: Clock; readonly pending: () => number; readonly expire: () => void } {
  const waiting = new Set<() => void>();
  const after: Clock["after"] = (delay, callback) => {
    if (delay !== patience) return systemClock.after(delay, callback);
    waiting.add(callback);
    return { cancel: () => waiting.delete(callback) };
  };
  return { clock: { ...systemClock, after }, pending: () => waiting.size, expire: () => waiting.forEach((go) => go()) };
}

const details = (ca: TestCa): unknown[] =>
  ca.events("request_refused").map(({ reason, source, detail }) => [reason, source, detail]);

async function codeOf(stream: ClientHttp2Stream): Promise<number> {
  // Not `once` of node:events, which fails with the error that is expected here.
  if (!stream.closed) await new Promise((resolve) => stream.once("close", resolve));
  return stream.rstCode;
}

/** The ca has seen everything that was sent before. */
const ping = (session: ClientHttp2Session): Promise<void> =>
  new Promise((resolve, reject) => session.ping((error) => (error === null ? resolve() : reject(error))));

test("a request that is not complete in time is ended and written down", async (t) => {
  const { clock, pending, expire } = patientClock();
  const ca = await startCa(t, { clock });
  const session = await sessionFrom(t, stranger, ca.ca.port);
  const streams = [headOnly(session), headOnly(session)];
  streams[0]!.write(Buffer.from([0, 0, 0]));
  await ping(session);
  assert.equal(pending(), 2);
  expire();
  assert.deepEqual(await Promise.all(streams.map(codeOf)), Array(2).fill(constants.NGHTTP2_ENHANCE_YOUR_CALM));
  assert.deepEqual(details(ca), Array(2).fill(["request_incomplete", stranger, "not complete after 5 s"]));
  assert.ok(!session.destroyed);
});

test("a request for a method that there is not is answered, and does not stay either", async (t) => {
  const { clock, pending, expire } = patientClock();
  const ca = await startCa(t, { clock });
  const session = await sessionFrom(t, stranger, ca.ca.port);
  const stream = headOnly(session, "/no/Method");
  const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
  assert.equal(headers["grpc-status"], String(status.UNIMPLEMENTED));
  expire();
  await codeOf(stream);
  await ping(session);
  assert.equal(pending(), 0);
  assert.deepEqual(details(ca), [["request_incomplete", stranger, "not complete after 5 s"]], "once is enough");
});

test("what gRPC refuses without asking the ca is written down: a method that there is not, and too large a message", async (t) => {
  const ca = await startCa(t);
  const session = await sessionFrom(t, stranger, ca.ca.port);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(16_385, 1);
  for (const stream of [headOnly(session, "/no/Method"), headOnly(session)]) {
    stream.end(head);
    stream.resume();
    await codeOf(stream);
  }
  await ping(session);
  const codes = [status.UNIMPLEMENTED, status.RESOURCE_EXHAUSTED];
  assert.deepEqual(
    details(ca),
    codes.map((code) => ["request_malformed", stranger, `refused by gRPC with the code ${code}`]),
  );
});

test("a complete request is no longer waited for, however long its answer takes", async (t) => {
  const { clock, pending, expire } = patientClock();
  const ca = await startCa(t, { clock });
  const stream = ca.watch();
  assert.ok(!("kind" in (await stream.next())));
  assert.equal(pending(), 0);
  const { version } = issued(await ca.create()) && (await stream.until(({ projects }) => projects.length === 1));
  expire();
  assert.ok(version > 0n);
  assert.deepEqual(details(ca), []);
});

test("a head of more than 20 KiB is refused, also before the client knows of the bound", async (t) => {
  const ca = await startCa(t);
  const session = await sessionFrom(t, stranger, ca.ca.port);
  const padding = Object.fromEntries(Array.from({ length: 5 }, (_, index) => [`x-${index}`, "a".repeat(10_000)]));
  const early = headOnly(session, createCertificate, padding);
  assert.equal(session.remoteSettings.maxHeaderListSize, 2 ** 32 - 1, "the settings have come already");
  assert.equal(await codeOf(early), constants.NGHTTP2_ENHANCE_YOUR_CALM);
  assert.deepEqual(details(ca), [["request_incomplete", stranger, "more than 20 KiB of headers"]]);
  assert.equal(session.remoteSettings.maxHeaderListSize, 20 * 1024);
  assert.equal(session.remoteSettings.maxConcurrentStreams, 16);
});

const memoryOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;

test("60 connections with 100 heads each cost bounded memory, and another source is served meanwhile", async (t) => {
  const { env, store, key } = settingsOf(t);
  // Little room for garbage, so that what is measured is what is held.
  const program = runProgram(t, { ...env, NODE_OPTIONS: "--max-old-space-size=96 --max-semi-space-size=2" });
  const port = (await program.line("listening", "ca"))["port"] as number;
  await program.line("ready");
  const clients = clientsOf(t, port, readFileSync(join(store, "root.pem"), "utf8"));
  issued(await clients.create({}, tokenFor(key, cart)));
  const before = memoryOf(program.child.pid!);
  const padding = { "x-pad": "a".repeat(18 * 1024) };
  const sessions: ClientHttp2Session[] = [];
  for (let count = 0; count < 60; count++) {
    const session = await sessionFrom(t, stranger, port);
    // Half of them obey the bound on streams, the others do not know of it yet.
    if (count % 2 === 0) await once(session, "remoteSettings");
    for (let stream = 0; stream < 100; stream++) headOnly(session, createCertificate, padding);
    sessions.push(session);
    if (count % 10 === 9) issued(await clients.create({}, tokenFor(key, cart)));
  }
  await Promise.all(sessions.map(ping));
  const grown = memoryOf(program.child.pid!) - before;
  t.diagnostic(`grown by ${grown.toFixed(0)} MiB`);
  assert.ok(grown < 100, `${grown} MiB`);
  issued(await clients.create({}, tokenFor(key, cart)));
  await program.line("request_refused");
});
