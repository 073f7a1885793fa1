/** When the proxy dials the controller again: for another certificate or other roots, and for nothing else in a new bundle. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Credentials } from "../../../../lib/enrolment/identity.ts";
import { silent } from "../../../../lib/log/log.ts";
import type { DirectoryClient } from "../../../../proxy/directory/client.ts";
import { StreamSource } from "../../../../proxy/directory/stream.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import { self } from "../route/world.ts";

const client: DirectoryClient = {
  reached: async () => {},
  watch: () => () => {},
  lookUp: async () => ({}) as never,
  close: () => {},
};

async function dials(): Promise<{ count: () => number; renew: (generation: number, roots: string[]) => void }> {
  let count = 0;
  const source = await StreamSource.start({
    connect: async () => {
      count++;
      return client;
    },
    stateFolder: null,
    self,
    clock: manualClock(),
    random: () => 0,
    log: silent,
  });
  const renew = (generation: number, roots: string[]): void =>
    source.renew({ identity: { generation }, roots, bundle: null } as unknown as Credentials);
  return { count: () => count, renew };
}

test("the first certificate, each next one, and other roots", async () => {
  const { count, renew } = await dials();
  renew(1, ["old"]);
  assert.equal(count(), 1);
  renew(2, ["old"]);
  assert.equal(count(), 2);
  renew(2, ["old", "new"]);
  assert.equal(count(), 3);
});

test("not a bundle that says something of others", async () => {
  const { count, renew } = await dials();
  for (let version = 1; version <= 5; version++) renew(1, ["old"]);
  assert.equal(count(), 1);
});
