/** A caller that resets its streams before the application answers (CVE-2023-44487 and its kin) leaves no dial behind. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { TestContext } from "node:test";
import { parseIp } from "../../../../lib/net/address.ts";
import type { Endpoint } from "../../../../lib/net/address.ts";
import { dialApplication, dialClear } from "../../../../proxy/dial/clear.ts";
import { manualClock } from "../../../clock/manual-clock.ts";

const caller = (): Duplex => new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });

async function application(t: TestContext): Promise<Endpoint> {
  const server = createServer((socket) => socket.on("error", () => {}));
  t.after(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { ip: parseIp("127.0.0.1")!, port: (server.address() as AddressInfo).port };
}

const gone = { kind: "failed", reason: "caller_gone", detail: "before the far end had answered" };

test("a caller that goes while the application is dialled ends the dial and its timer", async (t) => {
  const endpoint = await application(t);
  const clock = manualClock();
  const stream = caller();
  const dialling = dialApplication(endpoint, stream, clock);
  // A dial waits for one turn of the loop: see the next test.
  await turn();
  assert.equal(clock.pending, 1);
  // Closes in this turn, before the kernel's answer can be read.
  stream.destroy();
  assert.deepEqual(await dialling, gone);
  assert.equal(clock.pending, 0);
});

test("a caller that goes in the turn in which it came dials nothing", async (t) => {
  const endpoint = await application(t);
  const clock = manualClock();
  const stream = caller();
  const dialling = dialApplication(endpoint, stream, clock);
  assert.equal(clock.pending, 0);
  stream.destroy();
  await turn();
  assert.equal(clock.pending, 0);
  assert.deepEqual(await dialling, gone);
});

test("a caller that is gone already dials nothing", async (t) => {
  const endpoint = await application(t);
  const clock = manualClock();
  const stream = caller();
  stream.destroy();
  assert.deepEqual(await dialApplication(endpoint, stream, clock), gone);
  assert.equal(clock.pending, 0);
});

test("a caller that stays gets its application, and nothing of the dial stays on the caller", async (t) => {
  const endpoint = await application(t);
  const stream = caller();
  const dialled = await dialApplication(endpoint, stream, manualClock());
  assert.equal(dialled.kind, "far");
  if (dialled.kind === "far") dialled.duplex.destroy();
  assert.equal(stream.listenerCount("close"), 0);
});

test("a caller that goes ends a dial to the outside too, and no further endpoint is tried", async (t) => {
  const endpoint = await application(t);
  const clock = manualClock();
  const stream = caller();
  const dialling = dialClear([endpoint, endpoint, endpoint], stream, clock);
  assert.equal(clock.pending, 1);
  stream.destroy();
  assert.deepEqual(await dialling, gone);
  assert.equal(clock.pending, 0);
  assert.deepEqual(await dialClear([endpoint], stream, clock), gone);
});
