/** Handshakes that never end are counted and timed one by one, whatever their callers' addresses look like. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { handshakeTimeoutMs, TunnelListener } from "../../../../proxy/session/accept.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import type { ManualClock } from "../../../clock/manual-clock.ts";
import { ownCredentials } from "./peer.ts";

const maxHalfOpen = 16;

/** A connection as the server sees it that never says a word. */
function silent(t: TestContext, remoteAddress: string, remotePort: number): Duplex {
  const socket = Object.assign(new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() }), {
    remoteAddress,
    remotePort,
  });
  t.after(() => socket.destroy());
  return socket;
}

function listener(): { clock: ManualClock; accept: (socket: Duplex) => void } {
  const clock = manualClock(Date.now());
  const credentials = ownCredentials();
  const { server } = new TunnelListener(credentials, {
    credentials: () => credentials,
    expected: () => ({ kind: "projects", projects: new Set(["shop"]) }),
    maxLeafLifetimeMs: 86_400_000,
    maxHalfOpen,
    clock,
    onSession: () => {},
    onClose: () => {},
  });
  return { clock, accept: (socket) => void server.emit("connection", socket) };
}

test("the end of one link-local caller does not lift the time limit of another", async (t) => {
  const { clock, accept } = listener();
  const first = silent(t, "fe80::1%eth0", 40_001);
  const second = silent(t, "fe80::1%eth0", 40_002);
  accept(first);
  accept(second);
  first.destroy();
  await once(first, "close");
  assert.equal(second.destroyed, false);
  clock.advance(handshakeTimeoutMs);
  assert.equal(second.destroyed, true);
});

test("the end of a connection does not lift the time limit of the next from the same port", async (t) => {
  const { clock, accept } = listener();
  const first = silent(t, "192.0.2.1", 40_001);
  const second = silent(t, "192.0.2.1", 40_001);
  accept(first);
  accept(second);
  await once(first, "close");
  assert.equal(second.destroyed, false);
  clock.advance(handshakeTimeoutMs);
  assert.equal(second.destroyed, true);
});

test("link-local callers count one by one: the oldest makes room", (t) => {
  const { accept } = listener();
  const callers = Array.from({ length: maxHalfOpen + 1 }, (_, index) => silent(t, "fe80::1%eth0", 40_000 + index));
  for (const caller of callers) accept(caller);
  assert.deepEqual(
    callers.map(({ destroyed }) => destroyed),
    callers.map((_, index) => index === 0),
  );
});

test("each of a burst makes room for one, though none of those that go is closed within it", (t) => {
  const { accept } = listener();
  const callers = Array.from({ length: 3 * maxHalfOpen }, (_, index) => silent(t, "192.0.2.1", 40_000 + index));
  for (const caller of callers) accept(caller);
  assert.deepEqual(
    callers.map(({ destroyed }) => destroyed),
    callers.map((_, index) => index < 2 * maxHalfOpen),
  );
});
