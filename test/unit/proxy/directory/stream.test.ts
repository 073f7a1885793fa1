/**
 * When the proxy dials the controller again: for another certificate or other roots, and for nothing else in a new bundle. And
 * until when it goes by the answer of a look-up.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Credentials } from "../../../../lib/enrolment/identity.ts";
import { parseIp } from "../../../../lib/net/address.ts";
import { silent } from "../../../../lib/log/log.ts";
import type { DirectoryClient } from "../../../../proxy/directory/client.ts";
import { StreamSource } from "../../../../proxy/directory/stream.ts";
import { classify } from "../../../../proxy/route/classify.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import { self } from "../route/world.ts";
import { whole, workload } from "./updates.ts";

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

const shop = whole(1n, { workloads: [{ ...workload("cart-1", ""), ips: [...self.ips] }], services: [] });

for (const [what, takeBack] of [
  ["the controller takes it back, whatever becomes of the state that comes with that", "forget"],
  ["another stream begins, on which nobody would take it back", "begun"],
] as const) {
  test(`the answer of a look-up counts until ${what}`, async () => {
    const source = await StreamSource.start({
      connect: async () => ({
        ...client,
        watch: (_request, { onMessage }) => {
          setImmediate(onMessage, shop);
          return () => {};
        },
        lookUp: async () => ({ node: {}, revisions: [] }) as never,
      }),
      stateFolder: null,
      self,
      clock: manualClock(),
      random: () => 0,
      log: silent,
    });
    source.renew({ identity: { generation: 1 }, roots: [], bundle: null } as unknown as Credentials);
    await new Promise<void>((resolve) => source.onChange(resolve));
    const address = parseIp("10.9.9.9")!;
    const kind = (): string => classify(source.current()!, address);
    assert.equal(kind(), "unknown");
    assert.equal(await source.lookUp(address, false), "held");
    assert.equal(kind(), "node");
    if (takeBack === "forget") source.forget("10.9.9.9");
    else source.begun();
    assert.equal(kind(), "unknown");
    source.close();
  });
}
