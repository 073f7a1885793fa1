/**
 * A ca that answers wrongly, over real TLS with a certificate that is believed: whatever chain it sends, only the one for our
 * key, name and pod, of our project's CA, in its time and of a reasonable size becomes the certificate in use. And one that
 * would answer rightly, but whose own certificate is not the control plane's, is not even asked.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { systemClock } from "../../../lib/clock/clock.ts";
import { IdentityAgent } from "../../../lib/enrolment/agent.ts";
import { createCaClient } from "../../../lib/enrolment/ca-client.ts";
import { readTrust } from "../../../lib/enrolment/root-file.ts";
import type { Fields } from "../../../lib/log/log.ts";
import { startAnsweringCa } from "../../pki/answering-ca.ts";
import type { Answer } from "../../pki/answering-ca.ts";
import { createPki, day, generateKey, hour, withExtension } from "../../pki/pki.ts";
import type { Leaf, LeafOptions } from "../../pki/pki.ts";
import { cleanUp } from "../ca/running-ca.ts";

const own = { project: "shop", serviceAccount: "cart", podUid: "uid-of-cart-1" } as const;
const projects = [
  { name: "shop", uid: "uid-shop" },
  { name: "billing", uid: "uid-billing" },
];
const pki = createPki({ projects });
/** Of the same names, under a root of its own. */
const foreign = createPki({ projects });

const pems = ({ pem }: Leaf, ...more: readonly string[]): readonly string[] => [pem, ...more];
const withIssuer = (options: Partial<LeafOptions>, from = pki): Answer => {
  return (key) => pems(from.issueLeaf({ ...own, key, ...options }), from.project(options.project ?? own.project).pem);
};

const controlPlane = { project: "tencrypt-ca", serviceAccount: "tencrypt-ca" } as const;
const trueServing = (): Leaf => pki.issueControlPlane(controlPlane);

type Served = { readonly answer: Answer; readonly serving?: () => Leaf; readonly heard?: () => void };

async function startServer(t: TestContext, { serving = trueServing, ...served }: Served): Promise<number> {
  const uri = `spiffe://${pki.trustDomain}/ns/${own.project}/sa/${own.serviceAccount}`;
  const ca = await startAnsweringCa({ pki, address: "127.0.0.1:0", uri, serving: serving(), ...served });
  cleanUp(t, () => ca.stop());
  return ca.port;
}

type Outcome = { readonly event: string; readonly fields: Fields };

/** What the first answer leads to. */
async function enrol(t: TestContext, served: Served): Promise<{ agent: IdentityAgent; outcome: Outcome }> {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-answers-"));
  cleanUp(t, () => rmSync(folder, { recursive: true }));
  const [tokenFile, file] = [join(folder, "token"), join(folder, "root.pem")];
  writeFileSync(tokenFile, "a token");
  writeFileSync(file, pki.root.pem);
  const address = `127.0.0.1:${await startServer(t, served)}`;
  const { trustDomain } = pki;
  const maxLeafLifetimeMs = 2 * day;
  const outcome = Promise.withResolvers<Outcome>();
  const agent = new IdentityAgent({
    own: { trustDomain, ...own },
    maxLeafLifetimeMs,
    readTrust: () => readTrust({ file, pins: [], trustDomain }),
    connect: (trust) => createCaClient({ address, tokenFile, maxLeafLifetimeMs, clock: systemClock }, trust),
    clock: systemClock,
    random: () => 0.5,
    log: (_level, event, fields = {}) => {
      if (event.startsWith("certificate_")) outcome.resolve({ event, fields });
    },
  });
  cleanUp(t, () => agent.stop());
  agent.start();
  return { agent, outcome: await outcome.promise };
}

const large = (bytes: number): Partial<LeafOptions> => ({
  edit: (parts) => withExtension(parts, { oid: "1.3.6.1.4.1.99999.1", critical: false, value: new Uint8Array(bytes) }),
});
const now = Date.now();

const refused: Readonly<Record<string, readonly [Answer, RegExp]>> = {
  "no certificate": [() => [], /not for our key/],
  "no PEM": [() => ["-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n"], /./],
  "one for somebody else's key": [() => withIssuer({})(generateKey("p256")), /not for our key/],
  "another pod's": [withIssuer({ podUid: "uid-of-cart-2" }), /wrong_pod/],
  "another account's": [withIssuer({ serviceAccount: "web" }), /refused/],
  "another project's": [withIssuer({ project: "billing" }), /refused/],
  "one of an earlier namespace": [withIssuer({ namespaceUid: "uid-earlier" }), /refused/],
  "our name by another project's CA": [withIssuer({ issuer: pki.project("billing") }), /refused/],
  "our name by the control plane's CA": [
    (key) => pems(pki.issueLeaf({ ...own, key, issuer: pki.controlPlane }), pki.controlPlane.pem),
    /refused/,
  ],
  "one of a foreign root": [withIssuer({}, foreign), /refused/],
  "one that has ended": [withIssuer({ notBefore: now - 3 * hour, notAfter: now - hour }), /expired/],
  "one that is not valid yet": [withIssuer({ notBefore: now + hour, notAfter: now + 2 * hour }), /not_yet_valid/],
  "one that is valid for too long": [withIssuer({ notAfter: now + 3 * day }), /refused/],
  "the leaf alone": [(key) => pems(pki.issueLeaf({ ...own, key })), /refused/],
  "a hundred certificates": [
    (key) => pems(pki.issueLeaf({ ...own, key }), ...Array.from({ length: 99 }, () => pki.project("shop").pem)),
    /refused/,
  ],
  "a leaf of 1 MB": [withIssuer(large(1_000_000)), /refused/],
  "more than a message may hold": [withIssuer(large(4_000_000)), /RESOURCE_EXHAUSTED/],
};

test("the chain that it should send is taken", async (t) => {
  const { agent, outcome } = await enrol(t, { answer: withIssuer({}) });
  assert.equal(outcome.event, "certificate_received", JSON.stringify(outcome));
  assert.ok(agent.current() !== null);
});

for (const [what, [answer, why]] of Object.entries(refused))
  test(`${what} is refused, and the log says why`, async (t) => {
    const { agent, outcome } = await enrol(t, { answer });
    assert.equal(outcome.event, "certificate_renewal_failed", JSON.stringify(outcome));
    assert.match(String(outcome.fields["error"]), why);
    assert.equal(agent.current(), null);
  });

const notControlPlane = /the CA's certificate is refused: wrong_issuer: not the control-plane CA/;
const otherName = /the CA's certificate is refused: identity_mismatch/;

/** The names are the ca's, or are good ones of the project: who signed them decides. */
const impostors: Readonly<Record<string, readonly [() => Leaf, RegExp]>> = {
  "the ca's name by our project's CA": [
    () => pki.issueControlPlane({ ...controlPlane, issuer: pki.project("shop") }),
    notControlPlane,
  ],
  "the ca's name by another project's CA": [
    () => pki.issueControlPlane({ ...controlPlane, issuer: pki.project("billing") }),
    notControlPlane,
  ],
  "the ca's name by the root itself": [
    () => pki.issueControlPlane({ ...controlPlane, issuer: pki.root }),
    notControlPlane,
  ],
  "the ca's name under a foreign root": [() => foreign.issueControlPlane(controlPlane), /local issuer certificate/],
  "our own name by our project's CA": [() => pki.issueLeaf(own), otherName],
  "another name by the control plane's CA": [
    () => pki.issueControlPlane({ project: "tencrypt-system", serviceAccount: "tencrypt-controller" }),
    otherName,
  ],
};

for (const [what, [serving, why]] of Object.entries(impostors))
  test(`a ca that shows ${what} is told nothing, though its answer would be right`, async (t) => {
    let heard = 0;
    const { agent, outcome } = await enrol(t, { answer: withIssuer({}), serving, heard: () => heard++ });
    assert.equal(outcome.event, "certificate_renewal_failed", JSON.stringify(outcome));
    assert.match(String(outcome.fields["error"]), why);
    assert.deepEqual([agent.current(), heard], [null, 0]);
  });
