// The ca as a program: lines on stdout, exit codes, drain, health, and renewal of its own certificate without a restart.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "node:tls";
import { manualClock } from "../../clock/manual-clock.ts";
import { claimsOf, sign, tokenFor } from "../../tokens/tokens.ts";
import { runProgram, settingsOf } from "./program.ts";
import { cart, clientsOf, issued, startCa } from "./running-ca.ts";

void test("it tells where it listens, serves, and ends with 0 on SIGTERM, its streams too", async (t) => {
  const { env, store, key } = settingsOf(t);
  const program = runProgram(t, { ...env, TENCRYPT_METRICS_PORT: "0", TENCRYPT_UNHEARD_OF: "1" });
  const [listening, metrics] = [await program.line("listening", "ca"), await program.line("listening", "metrics")];
  await program.line("ready");
  assert.equal(listening["address"], "127.0.0.1");
  assert.deepEqual((await program.line("settings_unread"))["names"], ["TENCRYPT_UNHEARD_OF"]);
  const clients = clientsOf(t, listening["port"] as number, readFileSync(join(store, "root.pem"), "utf8"));
  const token = tokenFor(key, cart);
  assert.equal((await clients.create({}, token)).kind, "issued");
  assert.equal((await clients.create({ validityDuration: -1n }, token)).kind, "refused");
  const stream = clients.watch(token);
  assert.ok(!("kind" in (await stream.next())));

  const base = `http://127.0.0.1:${metrics["port"] as number}`;
  const answers = await Promise.all(["/live", "/ready", "/metrics", "/debug"].map(async (path) => fetch(base + path)));
  assert.deepEqual(
    answers.map((answer) => answer.status),
    [200, 200, 200, 404],
  );
  const text = await answers[2]!.text();
  for (const line of [
    "tencrypt_ca_certificates_issued_total 1",
    'tencrypt_ca_refusals_total{operation="certificate",reason="bad_validity"} 1',
    "tencrypt_ca_bundle_streams 1",
    'tencrypt_ca_authority_end_timestamp_seconds{authority="project",project="shop"} ',
  ]) {
    assert.ok(text.includes(line), `${line}\n${text}`);
  }
  assert.equal((await fetch(`${base}/ready`, { method: "POST" })).status, 405);

  program.child.kill("SIGTERM");
  assert.deepEqual(await stream.next(), { kind: "end" });
  assert.equal(await program.exited, 0);
  assert.ok(program.lines.some((line) => line.event === "stopped"));
});

void test("every bad setting is named at once, exit code 64", async (t) => {
  const program = runProgram(t, { TENCRYPT_AUTHENTICATOR: "trust", TENCRYPT_CA_LISTEN: "nowhere" });
  assert.equal(await program.exited, 64);
  const problems = (await program.line("bad_configuration"))["problems"] as string[];
  assert.deepEqual(problems.map((problem) => problem.split(" ")[0]!).toSorted(), [
    "TENCRYPT_AUTHENTICATOR",
    "TENCRYPT_CA_LISTEN",
    "TENCRYPT_CA_STORE",
    "TENCRYPT_TRUST_DOMAIN",
  ]);
});

type Preparation = { env: Record<string, string>; store: string };
const hopeless: Readonly<Record<string, readonly [(preparation: Preparation) => void, RegExp]>> = {
  "half a root": [
    ({ store }) => writeFileSync(join(store, "root.key"), "x"),
    /root\.key is there but root\.pem is not: restore it, or remove both$/,
  ],
  "a store that is a file": [({ env }) => (env["TENCRYPT_CA_STORE"] = env["TENCRYPT_JWKS_FILE"]!), /ENOTDIR/],
  "no key set": [
    ({ env }) => (env["TENCRYPT_JWKS_FILE"] = "/nowhere/jwks.json"),
    /^\/nowhere\/jwks\.json cannot be read: ENOENT$/,
  ],
  "a key set that is none": [
    ({ env }) => writeFileSync(env["TENCRYPT_JWKS_FILE"]!, "{}"),
    /jwks\.json not a JSON object with a list "keys"/,
  ],
};
for (const [what, [prepare, expected]] of Object.entries(hopeless)) {
  void test(`it does not start with ${what}, says so in one line, exit code 64`, async (t) => {
    const { env, store } = settingsOf(t);
    prepare({ env, store });
    const program = runProgram(t, env);
    assert.equal(await program.exited, 64);
    assert.match((await program.line("cannot_start"))["problem"] as string, expected);
    assert.equal(
      program.lines.filter((line) => line["level"] === "error" && line.event !== "token_keys_refused").length,
      1,
    );
  });
}

void test("two processes that start on one empty store at once agree on the root", async (t) => {
  const { env, store, key } = settingsOf(t);
  const programs = [runProgram(t, env), runProgram(t, env)];
  const ports = await Promise.all(
    programs.map(async (program) => (await program.line("listening", "ca"))["port"] as number),
  );
  const root = readFileSync(join(store, "root.pem"), "utf8");
  const answers = await Promise.all(ports.map((port) => clientsOf(t, port, root).create({}, tokenFor(key, cart))));
  const above = answers.map((answer) => issued(answer).certChain.slice(1));
  assert.deepEqual(above[0], above[1]);
  for (const program of programs) program.child.kill("SIGTERM");
  assert.deepEqual(await Promise.all(programs.map((program) => program.exited)), [0, 0]);
});

function servingCertificate(port: number, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { port, host: "127.0.0.1", ca, servername: "localhost", ALPNProtocols: ["h2"], minVersion: "TLSv1.3" },
      () => {
        resolve(socket.getPeerX509Certificate()!.serialNumber);
        socket.destroy();
      },
    );
    socket.once("error", reject);
  });
}

void test("its own certificate is replaced at half of its life, open streams stay", async (t) => {
  // Half an hour behind, so that the certificates of before and after are both valid for the client, whose clock stands.
  const clock = manualClock(Date.now() - 30 * 60_000);
  const ca = await startCa(t, { clock, env: { TENCRYPT_LEAF_TTL: "1h" } });
  const token = sign(ca.tokenKey, claimsOf(cart, clock.now()));
  const before = await servingCertificate(ca.ca.port, ca.rootPem());
  const stream = ca.watch(token);
  assert.ok(!("kind" in (await stream.next())));
  clock.advance(29 * 60_000);
  assert.equal(await servingCertificate(ca.ca.port, ca.rootPem()), before);
  clock.advance(60_000);
  assert.equal(ca.events("serving_certificate_renewed").length, 1);
  assert.notEqual(await servingCertificate(ca.ca.port, ca.rootPem()), before);
  issued(await ca.create({}, token));
  assert.ok(!("kind" in (await stream.next())));
});
