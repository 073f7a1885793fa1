/** The audit trail of the program: where nobody reads the log, nothing is issued that would not stand in it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { tokenFor } from "../../tokens/tokens.ts";
import { runProgram, settingsOf } from "./program.ts";
import { cart, clientsOf, newCsr } from "./running-ca.ts";

test("a log that nobody reads stops issuance, and every certificate has its line", async (t) => {
  const { env, store, key } = settingsOf(t);
  const unbounded = { TENCRYPT_CA_RATE_LIMIT: "100000", TENCRYPT_CA_RATE_BURST: "100000" };
  const program = runProgram(t, { ...env, ...unbounded });
  const { child, lines } = program;
  const port = Number((await program.line("listening", "ca"))["port"]);
  const clients = clientsOf(t, port, readFileSync(join(store, "root.pem"), "utf8"));
  const [csr, token] = [newCsr(), tokenFor(key, cart)];
  child.stdout!.pause();
  let issued = 0;
  let refused = 0;
  const ask = async (): Promise<void> => {
    while (refused === 0) {
      const answer = await clients.create({ csr }, token);
      if (answer.kind === "issued") issued++;
      else {
        assert.equal(answer.code, status.UNAVAILABLE);
        refused++;
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, ask));
  child.stdout!.resume();
  // What was held comes first, then the line of this one.
  while ((await clients.create({ csr }, token)).kind !== "issued") refused++;
  issued++;
  child.kill("SIGTERM");
  await program.line("stopped");
  assert.ok(refused > 0);
  assert.equal(lines.filter(({ event }) => event === "certificate_issued").length, issued);
});
