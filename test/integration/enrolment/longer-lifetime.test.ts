/**
 * A ca that was told to issue leaves which live longer than a running proxy takes, as after an upgrade with a longer
 * `ca.leafTtl`: what a proxy takes is fixed when its pod is made. It goes on: it still believes the ca, and gets what it takes.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../lib/clock/clock.ts";
import { IdentityAgent } from "../../../lib/enrolment/agent.ts";
import { createCaClient } from "../../../lib/enrolment/ca-client.ts";
import { readTrust } from "../../../lib/enrolment/root-file.ts";
import type { Fields } from "../../../lib/log/log.ts";
import { cart, cleanUp, startCa, trustDomain } from "../ca/running-ca.ts";

const hour = 3_600_000;

for (const [issued, taken, lives] of [
  ["72h", 48, 48],
  ["30d", 48, 48],
  ["24h", 48, 24],
] as const)
  test(`of a ca with leaves of ${issued} a proxy that takes ${taken} h gets one of ${lives} h`, async (t) => {
    const ca = await startCa(t, { env: { TENCRYPT_LEAF_TTL: issued } });
    const [address, tokenFile] = [`127.0.0.1:${ca.ca.port}`, join(ca.store, "token")];
    writeFileSync(tokenFile, ca.token());
    const maxLeafLifetimeMs = taken * hour;
    const outcome = Promise.withResolvers<{ readonly event: string; readonly fields: Fields }>();
    const agent = new IdentityAgent({
      own: { trustDomain, project: cart.project, serviceAccount: cart.serviceAccount, podUid: cart.podUid },
      maxLeafLifetimeMs,
      readTrust: () => readTrust({ file: join(ca.store, "root.pem"), pins: [], trustDomain }),
      connect: (trust) => createCaClient({ address, tokenFile, maxLeafLifetimeMs, clock: systemClock }, trust),
      clock: systemClock,
      random: () => 0.5,
      log: (level, event, fields = {}) => {
        if (event === "certificate_received" || level === "warn" || level === "error")
          outcome.resolve({ event, fields });
      },
    });
    cleanUp(t, () => agent.stop());
    agent.start();
    const { event, fields } = await outcome.promise;
    assert.equal(event, "certificate_received", JSON.stringify(fields));
    const { notBefore, notAfter } = agent.current()!.identity;
    assert.equal((notAfter - notBefore) / hour, lives);
  });
