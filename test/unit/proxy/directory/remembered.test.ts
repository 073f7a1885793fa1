/** When it is believed that nobody holds an address because nobody did. Times are in milliseconds. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { mostLookedUp } from "../../../../lib/directory/looked-up.ts";
import { Remembered } from "../../../../proxy/directory/remembered.ts";
import { ip } from "../route/world.ts";

const address = ip("10.0.0.99");
const node = { kind: "node" } as const;
const numbered = (index: number): ReturnType<typeof ip> => ip(`10.1.${index >> 8}.${index & 255}`);

describe("that nobody holds an address", () => {
  test("is believed again only once it was so for a while: a new pod's address is nobody's for a moment, too", () => {
    const remembered = new Remembered();
    remembered.unhold(address, 0);
    assert.equal(remembered.isUnheld(address, 0), false);
    remembered.unhold(address, 4_999);
    assert.equal(remembered.isUnheld(address, 4_999), false);
    remembered.unhold(address, 5_000);
    assert.equal(remembered.isUnheld(address, 5_000), true);
  });

  test("is believed for a few seconds, and after that as what was known last", () => {
    const remembered = new Remembered();
    for (const askedAt of [0, 5_000]) remembered.unhold(address, askedAt);
    assert.equal(remembered.isUnheld(address, 9_999), true);
    assert.equal(remembered.isUnheld(address, 10_000), false);
    assert.equal(remembered.wasUnheld(address), true);
  });

  test("is forgotten at once, with how long it was so, when the controller says so, a holder is named, or all is void", () => {
    const ends: readonly ((remembered: Remembered) => void)[] = [
      (remembered) => remembered.forget(address),
      (remembered) => remembered.hold(address, node),
      (remembered) => remembered.named((each) => each === address),
      (remembered) => remembered.clear(),
    ];
    for (const end of ends) {
      const remembered = new Remembered();
      for (const askedAt of [0, 5_000]) remembered.unhold(address, askedAt);
      end(remembered);
      assert.equal(remembered.wasUnheld(address), false);
      remembered.unhold(address, 5_001);
      assert.equal(remembered.wasUnheld(address), false);
    }
  });

  test("takes the place of who held it", () => {
    const remembered = new Remembered();
    remembered.hold(address, node);
    remembered.unhold(address, 0);
    assert.equal(remembered.held.size, 0);
  });
});

test("of each kind so many are remembered, the newest", () => {
  const remembered = new Remembered();
  for (let index = 0; index <= mostLookedUp; index++) {
    remembered.hold(numbered(index), node);
    for (const askedAt of [0, 5_000]) remembered.unhold(ip(`fd00::${index.toString(16)}`), askedAt);
  }
  assert.equal(remembered.held.size, mostLookedUp);
  assert.equal(remembered.held.has(numbered(0)), false);
  assert.equal(remembered.held.has(numbered(mostLookedUp)), true);
  assert.deepEqual([remembered.wasUnheld(ip("fd00::")), remembered.wasUnheld(ip("fd00::1"))], [false, true]);
});
