/** A clock that is behind the ca's: half a minute does not matter, five minutes end in no certificate and a reason that says so. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { systemClock } from "../../../lib/clock/clock.ts";
import { IdentityAgent } from "../../../lib/enrolment/agent.ts";
import { createCaClient } from "../../../lib/enrolment/ca-client.ts";
import { readTrust } from "../../../lib/enrolment/root-file.ts";
import type { Fields } from "../../../lib/log/log.ts";
import { cart, cleanUp, startCa, trustDomain } from "../ca/running-ca.ts";

type Line = { readonly event: string; readonly fields: Fields };

const second = 1_000;
const maxLeafLifetimeMs = 48 * 3_600 * second;

/** An agent whose ca lives so much later; resolves with the first line that says what came of it. */
async function enrol(t: TestContext, aheadMs: number): Promise<{ agent: IdentityAgent; outcome: Line }> {
  const ca = await startCa(t, { clock: { ...systemClock, now: () => Date.now() + aheadMs } });
  const tokenFile = join(ca.store, "token");
  writeFileSync(tokenFile, ca.token());
  const outcome = Promise.withResolvers<Line>();
  const agent = new IdentityAgent({
    own: { trustDomain, project: cart.project, serviceAccount: cart.serviceAccount, podUid: cart.podUid },
    maxLeafLifetimeMs,
    readTrust: () => readTrust({ file: join(ca.store, "root.pem"), pins: [], trustDomain }),
    connect: (trust) =>
      createCaClient({ address: `127.0.0.1:${ca.ca.port}`, tokenFile, maxLeafLifetimeMs, clock: systemClock }, trust),
    clock: systemClock,
    random: () => 0.5,
    log: (level, event, fields = {}) => {
      if (event === "certificate_received" || level === "warn" || level === "error") outcome.resolve({ event, fields });
    },
  });
  cleanUp(t, () => agent.stop());
  agent.start();
  return { agent, outcome: await outcome.promise };
}

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
