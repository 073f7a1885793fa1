/** Which addresses the proof dials, and which of the pod's addresses count. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { neighbourAddresses, reachableAddresses, targets } from "../../../init/prove.ts";
import { parseIp } from "../../../lib/net/address.ts";

const ip = (text: string): NonNullable<ReturnType<typeof parseIp>> => parseIp(text)!;

const pairs = (own: readonly string[], family: "v4" | "v6"): readonly string[] =>
  targets(own.map(ip), family).map(({ from, to }) => `${from} > ${to}`);

test("neighbours come first, then an address of the documentation range; never an own one", () => {
  assert.deepEqual(pairs(["10.0.0.4"], "v4"), [
    "10.0.0.4 > 10.0.0.5",
    "10.0.0.4 > 10.0.0.6",
    "10.0.0.4 > 10.0.0.7",
    "10.0.0.4 > 192.0.2.1",
  ]);
  assert.deepEqual(pairs(["10.0.0.4", "10.0.0.5"], "v4"), [
    "10.0.0.4 > 10.0.0.6",
    "10.0.0.4 > 10.0.0.7",
    "10.0.0.5 > 10.0.0.7",
    "10.0.0.5 > 10.0.0.6",
    "10.0.0.4 > 192.0.2.1",
  ]);
  assert.deepEqual(pairs(["fd00::1fe"], "v6"), [
    "fd00::1fe > fd00::1ff",
    "fd00::1fe > fd00::1fc",
    "fd00::1fe > fd00::1fd",
    "fd00::1fe > 2001:db8::1",
  ]);
  assert.deepEqual(pairs([], "v6"), []);
});

test("addresses of the family that others can reach count: no loopback, no link-local, nothing unreadable", () => {
  const interfaces = {
    lo: [{ address: "127.0.0.1" }, { address: "::1" }],
    eth0: [{ address: "10.0.0.4" }, { address: "169.254.1.1" }, { address: "fd00::4" }, { address: "fe80::1" }],
    none: undefined,
  };
  assert.deepEqual(reachableAddresses(interfaces, "v4"), ["10.0.0.4"]);
  assert.deepEqual(reachableAddresses(interfaces, "v6"), ["fd00::4"]);
  assert.deepEqual(neighbourAddresses(interfaces, "v6"), ["fd00::4", "fe80::1"]);
});
