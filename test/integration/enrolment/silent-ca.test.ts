/**
 * A connection to the ca on which nobody answers, as the kernel keeps one to the address of a replica that is gone: it is
 * given up within seconds, and the next one counts.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { systemClock } from "../../../lib/clock/clock.ts";
import { IdentityAgent } from "../../../lib/enrolment/agent.ts";
import { createCaClient } from "../../../lib/enrolment/ca-client.ts";
import { readTrust } from "../../../lib/enrolment/root-file.ts";
import { cart, cleanUp, startCa, trustDomain } from "../ca/running-ca.ts";

const maxLeafLifetimeMs = 48 * 3_600_000;

/** Holds the first `silent` connections without a word, and passes on the others. */
async function partlySilent(t: TestContext, to: number, silent: number): Promise<{ port: number; held: Socket[] }> {
  const held: Socket[] = [];
  const all = new Set<Socket>();
  const server = createServer((socket) => {
    all.add(socket.on("error", () => {}));
    if (held.length < silent) return void held.push(socket);
    const ca = connect(to, "127.0.0.1").on("error", () => socket.destroy());
    all.add(ca);
    socket.pipe(ca).pipe(socket);
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  cleanUp(t, () => {
    for (const socket of all) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, held };
}

test("connections that stay silent are given up, and a certificate comes over the next ones", async (t) => {
  const ca = await startCa(t);
  const tokenFile = join(ca.store, "token");
  writeFileSync(tokenFile, ca.token());
  // One for the bundle, one for the certificate, and the same once more.
  const { port, held } = await partlySilent(t, ca.ca.port, 4);
  const certified = Promise.withResolvers<void>();
  const failures: unknown[] = [];
  const agent = new IdentityAgent({
    own: { trustDomain, project: cart.project, serviceAccount: cart.serviceAccount, podUid: cart.podUid },
    maxLeafLifetimeMs,
    readTrust: () => readTrust({ file: join(ca.store, "root.pem"), pins: [], trustDomain }),
    connect: (trust) =>
      createCaClient({ address: `127.0.0.1:${port}`, tokenFile, maxLeafLifetimeMs, clock: systemClock }, trust),
    clock: systemClock,
    random: () => 0.5,
    log: (_level, event, fields = {}) => {
      if (event === "certificate_received") certified.resolve();
      if (event === "trust_bundle_unavailable") failures.push(fields["error"]);
    },
  });
  cleanUp(t, () => agent.stop());
  agent.start();
  await certified.promise;
  assert.equal(held.length, 4);
  assert.deepEqual(failures.slice(0, 2), Array(2).fill("the CA did not answer within 5000 ms"));
});
