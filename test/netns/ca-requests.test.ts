/**
 * A pod with a good token of its own asks the ca for what nobody may have, with requests that are malformed, that prove nothing or
 * that are huge. Each is refused and written down, nothing is issued, and it costs the ca neither memory nor descriptors;
 * meanwhile another pod gets its first certificate, and others go on. Neither tokens nor a canary are on the bridge.
 */
import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import type { Reason } from "../../lib/errors/reasons.ts";
import { general, generateKey, spki, toPem } from "../pki/certificate.ts";
import { boolean, name, sequence } from "../pki/der-writer.ts";
import { asking, askingForUri, extension, requestDer, requestPem, subjectAltName } from "../pki/request.ts";
import { anonymousMb, filesReturnTo, openFiles, reaches } from "../topology/attempts.ts";
import type { Capture, Child, Json, Pod } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { podToken } from "../topology/programs.ts";
import { watchSteady } from "../topology/steady.ts";
import type { Steady } from "../topology/steady.ts";

const options = { skip: needsRoot };
const canary = "canary-ca-requests-4e9a";
const echo = 7000;
const metricsPort = 15_090;
const caPort = 15_012;
/** Of each kind, at least. */
const times = 50;
/** Of anonymous memory of the ca. Seen: 14, and no more than 20 after four times as many. Each of 1 MB, kept, would be 50. */
const grownMb = 30;

let mesh: Mesh;
let caller: Pod;
let bridge: Capture;
let steady: Steady;
let client: Child;
let token: string;
let files: number;
/** In the ca's log. */
let start: number;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: ["caller", "server", "bystander", "late"].map((pod) => ({ name: pod, project: "shop" })),
    without: ["late"],
    // Here the limits, which others show, must not be what refuses.
    ca: {
      TENCRYPT_CA_RATE_LIMIT: "100000",
      TENCRYPT_CA_RATE_BURST: "100000",
      TENCRYPT_METRICS_PORT: `${metricsPort}`,
      // Little room for garbage, so that what is measured is what is held.
      NODE_OPTIONS: "--max-old-space-size=96 --max-semi-space-size=2",
    },
  });
  caller = mesh.pod("caller");
  token = podToken(mesh.ca, caller);
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", echo);
  // As somebody who has taken over the pod: under the proxy's uid, which is not captured.
  client = await caller.app("ca-client", [], { uid: uids.proxy });
  steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
  start = mesh.ca.child.position;
  files = openFiles(mesh.ca.child.pid);
});
after(() => mesh?.close());

const uriOf = (serviceAccount: string, project = "shop"): string =>
  `spiffe://${mesh.cluster.trustDomain}/ns/${project}/sa/${serviceAccount}`;
const ownName = (): Uint8Array => general.uri(uriOf("caller"));
/** BasicConstraints with cA true. */
const isCa = extension("2.5.29.19", true, sequence(boolean(true)));
const pem = (der: Uint8Array): string => toPem(der, "CERTIFICATE REQUEST");
const good = (): string => requestPem({ attributes: askingForUri(uriOf("caller")) });

const invalid = /^3 the request is not acceptable$/;
const forbidden = /^7 the caller may not have this$/;

type Kind = {
  readonly csr: () => string;
  readonly more?: Json;
  /** Code and text. */
  readonly answer: RegExp;
  readonly event: "certificate_refused" | "request_refused";
  readonly reason: Reason;
};
const refusedWith =
  (answer: RegExp, reason: Reason, event: Kind["event"] = "certificate_refused") =>
  (csr: () => string, more: Json = {}): Kind => ({ csr, more, answer, reason, event });
const malformed = refusedWith(invalid, "csr_malformed");
const badKey = refusedWith(invalid, "csr_bad_key");
const unproven = refusedWith(invalid, "csr_bad_signature");
const other = refusedWith(forbidden, "csr_other_identity");
const tooMuch = refusedWith(forbidden, "csr_asks_too_much");
const tooLarge = refusedWith(/^8 Received message larger than max/, "request_malformed", "request_refused");
const bomb = refusedWith(
  /^8 Received message that decompresses to a size larger/,
  "request_malformed",
  "request_refused",
);

const kinds: Readonly<Record<string, Kind>> = {
  "no request": malformed(() => ""),
  "no PEM": malformed(() => "give me a certificate"),
  "PEM around garbage": malformed(() => pem(Buffer.alloc(300, "garbage"))),
  "a request cut in half": malformed(() => pem(requestDer().subarray(0, 100))),
  "two requests": malformed(() => good() + good()),
  "a request of 15 KB, which is below the bound of a message": malformed(good, { spaces: 15_000 }),
  "the name of another account": other(() => requestPem({ attributes: askingForUri(uriOf("server")) })),
  "the name of another project's pod": other(() => requestPem({ attributes: askingForUri(uriOf("caller", "bank")) })),
  "its own name and another": tooMuch(() =>
    requestPem({ attributes: asking(subjectAltName(true, ownName(), general.uri(uriOf("server")))) }),
  ),
  "a DNS name": tooMuch(() => requestPem({ attributes: asking(subjectAltName(true, general.dns("server.shop.svc"))) })),
  "a subject": tooMuch(() => requestPem({ subject: name("server") })),
  "a certificate of a CA": tooMuch(() => requestPem({ attributes: asking(isCa) })),
  "a certificate of a CA, beside the own name": tooMuch(() =>
    requestPem({ attributes: asking(subjectAltName(true, ownName()), isCa) }),
  ),
  "an RSA key of 512 bits": badKey(() =>
    requestPem({ key: generateKey("rsa-512"), attributes: askingForUri(uriOf("caller")) }),
  ),
  "a request of 1 MB": tooLarge(good, { spaces: 1_000_000 }),
  "a request of 10 MB, compressed to 10 KB": bomb(good, { spaces: 10_000_000, gzip: true }),
  "somebody else's key": unproven(() =>
    requestPem({ publicKey: spki(createPublicKey(generateKey("p256").privateKey)) }),
  ),
};

const ask = async (kind: Kind, count: number): Promise<void> => {
  const root = readFileSync(mesh.ca.rootFile, "utf8");
  const command = { do: "ask", address: mesh.ca.address, root, token, csr: kind.csr(), count, ...kind.more };
  const answers = Object.entries((await client.request(command))["answers"] as Json);
  for (const [answer] of answers) assert.match(answer, kind.answer);
  assert.deepEqual(
    answers.map(([, answered]) => answered),
    [count],
  );
};

/** How often the ca has refused a certificate or a request, by reason: its log leaves out what is too much for it. */
async function refusals(): Promise<Readonly<Record<string, number>>> {
  const page = await mesh.ca.pod.must("curl", ["-s", `http://${mesh.ca.pod.ip}:${metricsPort}/metrics`]);
  const lines = page.matchAll(/^tencrypt_ca_refusals_total\{operation="\w+",reason="(\w+)"\} ([0-9]+)$/gm);
  return Object.fromEntries([...lines].map(([, reason, count]) => [reason, Number(count)]));
}

describe("the ca refuses, and writes down whom and why", options, () => {
  for (const [what, kind] of Object.entries(kinds)) {
    test(what, options, async () => {
      const from = mesh.ca.child.position;
      await ask(kind, 1);
      const line = await mesh.ca.child.event(kind.event, undefined, { from });
      assert.deepEqual([line["reason"], line["source"]], [kind.reason, caller.ip]);
      // Of a message that is not read to its end nobody knows the token.
      const known = kind.event === "certificate_refused";
      assert.deepEqual([line["caller"], line["podUid"]], known ? [uriOf("caller"), caller.facts.uid] : [null, null]);
    });
  }
});

test(`${times} of each: the ca stays as it is, and another pod is enrolled meanwhile`, options, async (t) => {
  const { pid } = mesh.ca.child;
  const counted = await refusals();
  const megabytes = anonymousMb(pid);
  const from = mesh.ca.child.position;
  let enrolled = false;
  const late = mesh.startProxy("late").finally(() => (enrolled = true));
  let [rounds, most] = [0, 0];
  for (; rounds === 0 || !enrolled; rounds++)
    for (const kind of Object.values(kinds)) {
      await ask(kind, times);
      most = Math.max(most, anonymousMb(pid) - megabytes);
    }
  await late;
  assert.ok(most < grownMb, `the ca has had ${most} MB more than ${megabytes} MB before`);
  t.diagnostic(
    `${rounds} rounds, ${(anonymousMb(pid) - megabytes).toFixed(1)} MB more at the end, ${most.toFixed(1)} at most`,
  );
  await reaches(await mesh.pod("late").app("dialer"), { host: mesh.pod("server").ip, port: echo }, canary);
  const expected = { ...counted };
  for (const { reason } of Object.values(kinds)) expected[reason] = (expected[reason] ?? 0) + rounds * times;
  assert.deepEqual(await refusals(), expected);
  assert.deepEqual(
    mesh.ca.child.events("certificate_issued", from).map((line) => line["pod"]),
    ["late"],
  );
  assert.equal(mesh.ca.child.end, null, "the ca is still there");
});

test("nothing was issued to the caller, and no token is in the log of the ca", options, () => {
  const issued = mesh.ca.child.events("certificate_issued", start);
  assert.deepEqual(
    issued.filter((line) => line["podUid"] === caller.facts.uid),
    [],
  );
  assert.deepEqual(mesh.ca.child.events("defect"), []);
  assert.ok(!mesh.ca.child.lines.some(({ text }) => text.includes(token)));
});

test("a bystander was served all the while, and the ca has no more open files than before", options, async () => {
  await mesh.proxy("late").stop();
  await filesReturnTo(mesh.ca.child.pid, files);
  await steady.end();
});

test("the calls went over the bridge, and neither tokens nor the canary can be read there", options, async () => {
  const captured = await bridge.stop();
  const answered = captured.tls(caPort).filter(({ flow }) => flow.destination.startsWith(`${caller.ip}:`));
  const calls = answered.filter(({ serverHello, recordsOnly }) => recordsOnly && serverHello?.version === "TLS 1.3");
  assert.ok(calls.length >= 2 * Object.keys(kinds).length, `${calls.length} connections of TLS 1.3`);
  const secrets = [canary, token, podToken(mesh.ca, mesh.pod("late")).slice(0, 60)];
  assert.deepEqual(secrets.map(captured.count), [0, 0, 0]);
});
