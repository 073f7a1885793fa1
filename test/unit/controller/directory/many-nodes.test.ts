/** Each node has a range of its own: a proxy reads what is told of a cluster, however many nodes there are. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { clusterAddresses } from "../../../../controller/directory/addresses.ts";
import type { Node } from "../../../../lib/kube/objects.ts";
import { parseIp } from "../../../../lib/net/address.ts";
import { anyContains, merged, parseCidr } from "../../../../lib/net/cidr.ts";
import { readLookUpRanges } from "../../../../proxy/route/document.ts";
import { Field, Findings } from "../../../../proxy/route/fields.ts";

/** The 24 bits before the host's. */
const rangeOf = (number: number): string => `10.${number >> 8}.${number & 255}.0/24`;

const nodesOf = (ranges: readonly string[]): readonly Node[] =>
  ranges.map((podCIDR, index) => ({
    metadata: { name: `n${index}`, uid: `uid-${index}`, resourceVersion: "1" },
    spec: { podCIDR, podCIDRs: [podCIDR] },
  }));

function isRead(ranges: readonly string[]): void {
  const findings = new Findings();
  readLookUpRanges(new Field(ranges, findings));
  assert.deepEqual(findings.lines(), []);
}

const numbers = (count: number, step = 1): readonly number[] => Array.from({ length: count }, (_, at) => at * step);

describe("ranges of a large cluster", () => {
  test("side by side are told as what they are together", () => {
    const { clusterRanges, lookUpRanges } = clusterAddresses(nodesOf(numbers(5_000).map(rangeOf)), [], []);
    isRead(clusterRanges);
    assert.deepEqual(clusterRanges, ["10.0.0.0/12", "10.16.0.0/15", "10.18.0.0/16", "10.19.0.0/17", "10.19.128.0/21"]);
    assert.deepEqual(lookUpRanges, []);
  });

  test("with gaps, of which there are too many to be told: who holds an address is asked", () => {
    const { clusterRanges, lookUpRanges } = clusterAddresses(nodesOf(numbers(3_000, 2).map(rangeOf)), [], []);
    isRead(clusterRanges);
    assert.equal(clusterRanges.length, 1_024);
    assert.ok(lookUpRanges.includes("10.0.0.0/8"));
  });
});

test("merged ranges hold the same addresses, and none of them lies beside or in another", () => {
  const range = fc.oneof(
    fc.tuple(fc.nat(63), fc.integer({ min: 24, max: 32 })).map(([last, bits]) => {
      const host = 2 ** (32 - bits);
      return `192.0.2.${Math.floor(last / host) * host}/${bits}`;
    }),
    fc.nat(15).map((last) => `fd00::${last.toString(16)}/128`),
  );
  fc.assert(
    fc.property(fc.array(range, { maxLength: 40 }), (texts) => {
      const before = texts.map((text) => parseCidr(text)!);
      const after = merged(before);
      for (let last = 0; last < 256; last++)
        for (const text of [`192.0.2.${last}`, `fd00::${last.toString(16)}`]) {
          const ip = parseIp(text)!;
          assert.equal(anyContains(after, ip), anyContains(before, ip), text);
        }
      assert.deepEqual(merged(after.toReversed()), after);
      for (const { text, bytes, bits } of after) assert.deepEqual(parseCidr(text), { text, bytes, bits });
    }),
  );
});
