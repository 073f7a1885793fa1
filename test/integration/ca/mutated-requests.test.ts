/**
 * Requests of which something was changed, one after the other at the port of a ca that runs as a program of its own, with a
 * token that is good: none gets a certificate, the ca stays the same process with bounded memory, and good ones are served between them.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { status } from "@grpc/grpc-js";
import { spliced, withSignedByteChanged } from "../../property/mutated-request.ts";
import { draw } from "../../property/seed.ts";
import { generateKey, toPem } from "../../pki/certificate.ts";
import { askingForUri, requestDer } from "../../pki/request.ts";
import { tokenFor } from "../../tokens/tokens.ts";
import { eventually } from "../../cluster/eventually.ts";
import { anonymousMb } from "../../topology/attempts.ts";
import { runProgram, settingsOf } from "./program.ts";
import { cart, clientsOf, issued } from "./running-ca.ts";
import type { Clients } from "./running-ca.ts";

const count = 10_000;
const betweenGood = 1_000;
const uri = "spiffe://cluster.local/ns/shop/sa/cart";
/** The most streams of one connection are 16. */
const lanes = 12;
/** Seen: up to 4. Two kilobytes of each request, about its head and token, kept, would be 18. */
const mostGrownMb = 15;

const der = Buffer.from(requestDer({ key: generateKey("p256"), attributes: askingForUri(uri) }));
const pem = (request: Uint8Array): string => toPem(request, "CERTIFICATE REQUEST");

/** Refused by what the request says, not by a defect, a limit or a silence; the text is fixed. */
const refusals: Readonly<Record<number, string>> = {
  [status.INVALID_ARGUMENT]: "the request is not acceptable",
  [status.PERMISSION_DENIED]: "the caller may not have this",
};

async function sendAll(clients: Clients, token: string, requests: readonly Buffer[]): Promise<void> {
  const waiting = requests.values();
  const lane = async (): Promise<void> => {
    for (const request of waiting) {
      const outcome = await clients.create({ csr: pem(request) }, token);
      assert.ok(outcome.kind === "refused", `issued: ${request.toString("hex")}`);
      assert.equal(outcome.details, refusals[outcome.code], `${outcome.code}: ${request.toString("hex")}`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

test(`of ${count} mutated requests none gets a certificate, and a good one between them does`, async (t) => {
  const { env, store, key } = settingsOf(t);
  const limits = { TENCRYPT_CA_RATE_LIMIT: "100000", TENCRYPT_CA_RATE_BURST: "100000" };
  // Little room for garbage, so that what is measured is what is held.
  const room = { NODE_OPTIONS: "--max-old-space-size=96 --max-semi-space-size=2" };
  const program = runProgram(t, { ...env, ...limits, ...room });
  const port = (await program.line("listening", "ca"))["port"] as number;
  await program.line("ready");
  const clients = clientsOf(t, port, readFileSync(join(store, "root.pem"), "utf8"));
  const token = tokenFor(key, cart);
  const drawn = fc
    .sample(fc.oneof(withSignedByteChanged(der), spliced(der)), draw(count))
    .filter((each) => !each.equals(der));
  assert.ok(drawn.length > 0.99 * count, `${drawn.length} are changed`);
  const memory: number[] = [];
  for (let at = 0; at < drawn.length; at += betweenGood) {
    await sendAll(clients, token, drawn.slice(at, at + betweenGood));
    issued(await clients.create({ csr: pem(der) }, token));
    memory.push(anonymousMb(program.child.pid!));
  }
  // The first thousand loads code, which is no growth.
  const grown = Math.max(...memory) - memory[0]!;
  t.diagnostic(`grown by ${grown.toFixed(1)} MB`);
  assert.ok(grown < mostGrownMb, `${grown} MB`);
  assert.deepEqual([program.child.exitCode, program.child.signalCode], [null, null], "the ca is still there");
  const of = (event: string): typeof program.lines => program.lines.filter((line) => line.event === event);
  // The log is read a moment after the answer.
  const allOf = (): void => assert.equal(of("certificate_issued").length, memory.length);
  await eventually(() => Promise.resolve().then(allOf));
  assert.deepEqual(of("defect"), []);
  // The drawing reaches far: form, key, proof of possession and what is asked for all had something to say.
  const reasons = new Set(of("certificate_refused").map((line) => String(line["reason"])));
  assert.deepEqual(
    ["csr_malformed", "csr_bad_key", "csr_bad_signature"].filter((reason) => !reasons.has(reason)),
    [],
    [...reasons].join(", "),
  );
});
