/**
 * A clock that is behind the ca's: half a minute does not matter, five minutes end in no certificate and a reason that says
 * so. And a machine that sleeps: what was to be renewed meanwhile is renewed soon after.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { systemClock } from "../../../lib/clock/clock.ts";
import type { Clock } from "../../../lib/clock/clock.ts";
import { IdentityAgent } from "../../../lib/enrolment/agent.ts";
import { createCaClient } from "../../../lib/enrolment/ca-client.ts";
import { readTrust } from "../../../lib/enrolment/root-file.ts";
import type { Fields, Log } from "../../../lib/log/log.ts";
import { cart, cleanUp, startCa, trustDomain } from "../ca/running-ca.ts";
import type { TestCa } from "../ca/running-ca.ts";
import { tokenFor } from "../../tokens/tokens.ts";

type Line = { readonly event: string; readonly fields: Fields };

const second = 1_000;
const maxLeafLifetimeMs = 48 * 3_600 * second;

const tokenFileOf = (ca: TestCa): string => join(ca.store, "token");
const writeToken = (ca: TestCa, clock: Clock): void =>
  writeFileSync(tokenFileOf(ca), tokenFor(ca.tokenKey, cart, clock.now()));

function startAgent(t: TestContext, ca: TestCa, { clock, log }: { clock: Clock; log: Log }): IdentityAgent {
  writeToken(ca, clock);
  const [address, tokenFile] = [`127.0.0.1:${ca.ca.port}`, tokenFileOf(ca)];
  const agent = new IdentityAgent({
    own: { trustDomain, project: cart.project, serviceAccount: cart.serviceAccount, podUid: cart.podUid },
    maxLeafLifetimeMs,
    readTrust: () => readTrust({ file: join(ca.store, "root.pem"), pins: [], trustDomain }),
    // gRPC counts its deadlines by the system's clock.
    connect: (trust) => createCaClient({ address, tokenFile, maxLeafLifetimeMs, clock: systemClock }, trust),
    clock,
    random: () => 0.5,
    log,
  });
  cleanUp(t, () => agent.stop());
  agent.start();
  return agent;
}

/** An agent whose ca lives so much later; resolves with the first line that says what came of it. */
async function enrol(t: TestContext, aheadMs: number): Promise<{ agent: IdentityAgent; outcome: Line }> {
  const ca = await startCa(t, { clock: { ...systemClock, now: () => Date.now() + aheadMs } });
  const outcome = Promise.withResolvers<Line>();
  const log: Log = (level, event, fields = {}) => {
    if (event === "certificate_received" || level === "warn" || level === "error") outcome.resolve({ event, fields });
  };
  const agent = startAgent(t, ca, { clock: systemClock, log });
  return { agent, outcome: await outcome.promise };
}

/** Long waits pass only when the test says so: `tick` lets half a minute pass for them. */
function sleepyClock(aheadMs: number): { clock: Clock; sleep: (ms: number) => void; tick: () => void } {
  const halfMinute = 30 * second;
  const held = new Map<() => void, number>();
  let ahead = aheadMs;
  const clock: Clock = {
    ...systemClock,
    now: () => Date.now() + ahead,
    after: (delayMs, callback) => {
      if (delayMs < 20 * second) return systemClock.after(delayMs, callback);
      held.set(callback, delayMs);
      return { cancel: () => void held.delete(callback) };
    },
  };
  const tick = (): void => {
    for (const [callback, left] of new Map(held)) {
      held.delete(callback);
      if (left > halfMinute) held.set(callback, left - halfMinute);
      else callback();
    }
  };
  return { clock, sleep: (ms) => void (ahead += ms), tick };
}

test("a machine that sleeps through the moment of a renewal: half a minute later the ca and the proxy have new certificates", async (t) => {
  // The night is over now: OpenSSL, which has no other clock, finds valid what was issued before and after it.
  const night = 13 * 3_600 * second;
  const { clock, sleep, tick } = sleepyClock(-night);
  const ca = await startCa(t, { clock });
  const came: Fields[] = [];
  let next = Promise.withResolvers<void>();
  const log: Log = (_level, event, fields = {}) => {
    if (event !== "certificate_received") return;
    came.push(fields);
    next.resolve();
  };
  const agent = startAgent(t, ca, { clock, log });
  await next.promise;
  next = Promise.withResolvers();
  sleep(night);
  writeToken(ca, clock);
  tick();
  assert.equal(ca.events("serving_certificate_renewed").length, 1);
  await next.promise;
  assert.equal(agent.current()?.identity.generation, 2);
  assert.equal(came.length, 2);
});

test("30 s behind: the ca starts each lifetime a minute early, and the proxy gets its certificate", async (t) => {
  const { agent, outcome } = await enrol(t, 30 * second);
  assert.equal(outcome.event, "certificate_received", JSON.stringify(outcome));
  assert.ok(agent.current() !== null);
});

test("5 min behind: no certificate, and the log says that one is not valid yet", async (t) => {
  const { agent, outcome } = await enrol(t, 300 * second);
  assert.match(JSON.stringify(outcome), /not[_ ]yet[_ ]valid/i);
  assert.equal(agent.current(), null);
});
