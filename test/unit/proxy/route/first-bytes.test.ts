/** Telling a TLS ClientHello from its first bytes. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { looksLikeClientHello } from "../../../../proxy/route/first-bytes.ts";

/** What a TLS client of this Node sends first. */
async function clientHello(options: {
  minVersion: "TLSv1" | "TLSv1.2" | "TLSv1.3";
  maxVersion: "TLSv1.2" | "TLSv1.3";
  ciphers?: string;
}): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const server = createServer((socket) => socket.on("error", () => {}).once("data", resolve));
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const client = tlsConnect({ socket, servername: "example.org", ...options }).on("error", () => {});
  const bytes = await promise;
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

const hellos: readonly Uint8Array[] = [
  await clientHello({ minVersion: "TLSv1.3", maxVersion: "TLSv1.3" }),
  await clientHello({ minVersion: "TLSv1.2", maxVersion: "TLSv1.3" }),
  await clientHello({ minVersion: "TLSv1.2", maxVersion: "TLSv1.2" }),
  await clientHello({ minVersion: "TLSv1", maxVersion: "TLSv1.2", ciphers: "DEFAULT@SECLEVEL=0" }),
];

test("every prefix of a ClientHello asks for more until it is one, and stays one", () => {
  for (const hello of hellos) {
    const verdicts = Array.from({ length: hello.length + 1 }, (_, length) =>
      looksLikeClientHello(hello.subarray(0, length)),
    );
    const first = verdicts.indexOf("yes");
    assert.ok(first > 44 && first <= 5 + 4 + 2 + 32 + 1 + 32 + 2, `decided after ${first} bytes`);
    assert.ok(verdicts.slice(0, first).every((verdict) => verdict === "more"));
    assert.ok(verdicts.slice(first).every((verdict) => verdict === "yes"));
  }
});

test("bytes behind the hello change nothing", () => {
  for (const hello of hellos) assert.equal(looksLikeClientHello(Uint8Array.from([...hello, 1, 2, 3])), "yes");
});

test("a hello that goes on in further records is one", () => {
  const hello = hellos[0]!;
  const fragment = Uint8Array.from(hello.subarray(0, 5 + 100));
  fragment[3] = 0;
  fragment[4] = 100;
  assert.equal(looksLikeClientHello(fragment), "yes");
});

test("one wrong byte or length makes it none", () => {
  const base = hellos[0]!;
  const sessionId = base[43]!;
  const changes: Readonly<Record<string, readonly [number, number][]>> = {
    "record type": [[0, 21]],
    "record major version": [[1, 2]],
    "record minor version": [[2, 5]],
    "record of no length": [
      [3, 0],
      [4, 0],
    ],
    "record too short for a hello": [
      [3, 0],
      [4, 38],
    ],
    "record longer than TLS allows": [
      [3, 0x40],
      [4, 1],
    ],
    ServerHello: [[5, 2]],
    "hello of no length": [
      [6, 0],
      [7, 0],
      [8, 0],
    ],
    "hello shorter than its record": [
      [6, 0],
      [7, 0],
      [8, 60],
    ],
    "hello of megabytes": [[6, 0x10]],
    "hello major version": [[9, 2]],
    "hello minor version": [[10, 5]],
    "session id too long": [[43, 33]],
    "no cipher suite": [
      [44 + sessionId, 0],
      [45 + sessionId, 0],
    ],
    "half a cipher suite": [
      [44 + sessionId, 0],
      [45 + sessionId, 3],
    ],
    "more cipher suites than the hello has room for": [
      [44 + sessionId, 0xff],
      [45 + sessionId, 0xfe],
    ],
  };
  for (const [name, bytes] of Object.entries(changes)) {
    const hello = Uint8Array.from(base);
    for (const [offset, value] of bytes) hello[offset] = value;
    assert.equal(looksLikeClientHello(hello), "no", name);
  }
});

test("a record that ends before its cipher suites is none", () => {
  const hello = Uint8Array.from(hellos[0]!);
  hello[3] = 0;
  hello[4] = 4 + 2 + 32 + 1;
  assert.equal(looksLikeClientHello(hello), "no");
});

test("other protocols are none at their first telling byte", () => {
  const starts: readonly string[] = [
    "GET / HTTP/1.1\r\n",
    "PRI * HTTP/2.0\r\n",
    "SSH-2.0-x\r\n",
    "EHLO x\r\n",
    "\x16GET",
    "\x16\x03\x01\x00\x00",
    "\x80\x2e\x01\x00\x02",
    "\x00",
    "\x15\x03\x01\x00\x02",
  ];
  for (const start of starts)
    assert.equal(looksLikeClientHello(Buffer.from(start, "latin1")), "no", JSON.stringify(start));
});

test("nothing yet asks for more", () => assert.equal(looksLikeClientHello(new Uint8Array(0)), "more"));
