/** `host:port` is read in one way, whichever setting names it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseHostPort } from "../../../../lib/net/host-port.ts";

for (const [text, host, port] of [
  ["0.0.0.0:15013", "0.0.0.0", 15_013],
  ["[::]:15013", "::", 15_013],
  ["[FD00:0::1]:0", "fd00::1", 0],
  ["tencrypt-ca.tencrypt-ca.svc:15012", "tencrypt-ca.tencrypt-ca.svc", 15_012],
  ["CA.example.:443", "CA.example.", 443],
  ["localhost:0", "localhost", 0],
] as const)
  test(text, () => assert.deepEqual(parseHostPort(text), { host, port }));

for (const text of [
  "",
  "ca",
  ":15012",
  "15012",
  "ca:",
  "ca:65536",
  "ca:015",
  "ca:-1",
  "ca:1:2",
  "::1:443",
  "[::1]",
  "[ca]:1",
  "[10.0.0.1]:1",
  "[::ffff:10.0.0.1]:1",
  "10.0.0.256:1",
  "10.0.0:1",
  "-ca:1",
  "ca..svc:1",
  "a b:1",
  "https://ca:1",
  `${"a".repeat(64)}:1`,
])
  test(`not ${JSON.stringify(text)}`, () => assert.equal(parseHostPort(text), null));
