/** Which texts are addresses and endpoints, and that each has one spelling only: maps compare them as text. */
import assert from "node:assert/strict";
import { isIP } from "node:net";
import { describe, test } from "node:test";
import { formatEndpoint, ipBytes, ipFromSocket, parseEndpoint, parseIp } from "../../../../lib/net/address.ts";

describe("an IPv4 address", () => {
  for (const text of ["0.0.0.0", "10.0.0.1", "192.0.2.255", "255.255.255.255"])
    test(`is ${text}`, () => {
      assert.equal(parseIp(text), text);
      assert.equal([...ipBytes(parseIp(text)!)].join("."), text);
    });

  const others = ["", ".", "...", "1.2.3", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.5", "1.2.3.4."];
  const numbers = ["01.2.3.4", "1.2.3.04", "00.0.0.0", "1.2.3.256", "1.2.3.999999999999", "1.2.3.-4", "1.2.3.+4"];
  const letters = ["1.2.3.4 ", " 1.2.3.4", "1.2.3.4\n", "1.2.3.a", "0x1.2.3.4", "1e1.2.3.4", "1.2.3.٤", "localhost"];
  for (const text of [...others, ...numbers, ...letters])
    test(`is not ${JSON.stringify(text)}`, () => assert.equal(parseIp(text), null));

  test("is what Node takes for one, whatever the characters", () => {
    const characters = "0123456789. a";
    let seed = 7;
    const next = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    for (let round = 0; round < 20_000; round++) {
      const parts = Array.from({ length: next(20) === 0 ? 3 : 4 }, () => `${next(300)}`);
      const noise = Array.from({ length: next(9) }, () => characters[next(characters.length)]).join("");
      const text = next(2) === 0 ? parts.join(".") : parts.join(".").slice(0, next(12)) + noise;
      assert.equal(parseIp(text) !== null, isIP(text) === 4, JSON.stringify(text));
    }
  });
});

describe("an IPv6 address", () => {
  const spellings = [
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["::", "::"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
  ] as const;
  for (const [text, canonical] of spellings)
    test(`${text} is ${canonical}`, () => assert.equal(parseIp(text), canonical));
  for (const text of [
    ":",
    ":::",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7",
    "fe80::1%eth0",
    "::ffff:10.0.0.1",
    "12345::",
    "::1::",
  ])
    test(`is not ${text}`, () => assert.equal(parseIp(text), null));
});

test("a socket shows an IPv4 caller of a dual-stack listener as a mapped address", () => {
  assert.equal(ipFromSocket("::ffff:10.0.0.1"), "10.0.0.1");
  assert.equal(ipFromSocket("::ffff:10.0.0.01"), null);
  assert.equal(ipFromSocket(undefined), null);
});

describe("an endpoint", () => {
  for (const text of ["10.0.0.1:80", "[2001:db8::1]:65535"])
    test(`is ${text}`, () => assert.equal(formatEndpoint(parseEndpoint(text)!), text));
  for (const text of [
    "10.0.0.1",
    "10.0.0.1:0",
    "10.0.0.1:080",
    "10.0.0.1:65536",
    "[10.0.0.1]:80",
    "2001:db8::1:80",
    "[2001:DB8::1]:80",
  ])
    test(`is not ${text}`, () => assert.equal(parseEndpoint(text), null));
});
