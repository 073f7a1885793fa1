/**
 * A proxy whose token is not its own, good and fresh gets no certificate, says why, and binds no port that connections
 * are redirected to: the kernel refuses inside and outside, and nothing goes out in clear. With a good token in the same
 * file it goes on by itself. Other pods of the project do not notice, and the ca holds nothing of those that it has refused.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { dial, nobodyListens, reaches } from "../topology/attempts.ts";
import type { Child, Pod } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import type { Mesh } from "../topology/mesh.ts";
import { podToken } from "../topology/programs.ts";
import { noteProxies } from "../topology/steady.ts";
import type { Steady } from "../topology/steady.ts";
import { kernelRefuses, startUncertified } from "../topology/uncertified.ts";
import type { Uncertified } from "../topology/uncertified.ts";
import { claimsOf, newTokenKey, sign, tokenFor } from "../tokens/tokens.ts";
import type { Claims } from "../tokens/tokens.ts";

const options = { skip: needsRoot };
const canary = "canary-tokens-b6e3";
const echo = 7000;

let here: Uncertified;
let mesh: Mesh;
let client: Pod;
/** Of the ca, which refuses all the while. */
let held: Steady;

before(async () => {
  if (needsRoot !== false) return;
  here = await startUncertified(canary);
  ({ mesh, client } = here);
  held = noteProxies(mesh, { also: [mesh.ca.child] });
});
after(() => mesh?.close());

let proxy: Child;
afterEach(() => (needsRoot === false ? proxy.stop("SIGKILL") : undefined));

/** What the token of the client says, with a change. */
function claims(change: Claims, now?: number): Claims {
  const { project, serviceAccount, name: pod, uid: podUid, accountUid: serviceAccountUid } = client.facts;
  return { ...claimsOf({ project, serviceAccount, pod, podUid, serviceAccountUid }, now), ...change };
}

/** No port that the rules redirect to, nor the tunnel's. */
async function nothingIsBound(): Promise<void> {
  assert.deepEqual(
    proxy
      .events("listening")
      .map(({ name }) => String(name))
      .toSorted(),
    ["admin", "health", "metrics"],
  );
  await kernelRefuses(here);
  for (const host of ["127.0.0.1", "::1"]) await nobodyListens(here.inside, { host, port: 15_001 }, canary);
  const ready = await dial(
    here.outside,
    { host: client.ip, port: 15_021 },
    { send: "GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" },
  );
  assert.match(String(ready["text"]), /^HTTP\/1\.1 503 /);
}

const hour = 3_600_000;
type Case = {
  readonly what: string;
  readonly token: () => string;
  /** In the CA's audit line; null where the proxy does not get as far as asking. */
  readonly reason: string | null;
  readonly error: RegExp;
};
const unauthenticated = /^16 UNAUTHENTICATED/;

const cases: readonly Case[] = [
  {
    what: "signed by another key of the same name",
    token: () => sign(newTokenKey(), claims({})),
    reason: "token_bad_signature",
    error: unauthenticated,
  },
  {
    what: "expired",
    token: () => sign(mesh.ca.tokenKey, claims({}, Date.now() - 2 * hour)),
    reason: "token_expired",
    error: unauthenticated,
  },
  {
    what: "for a foreign audience",
    token: () => sign(mesh.ca.tokenKey, claims({ aud: ["https://kubernetes.default.svc"] })),
    reason: "token_wrong_audience",
    error: unauthenticated,
  },
  {
    what: "for a foreign audience beside the right one",
    token: () => sign(mesh.ca.tokenKey, claims({ aud: ["tencrypt-ca", "vault"] })),
    reason: "token_wrong_audience",
    error: unauthenticated,
  },
  {
    what: "of another issuer",
    token: () => sign(mesh.ca.tokenKey, claims({ iss: "https://kubernetes.other.test" })),
    reason: "token_wrong_issuer",
    error: unauthenticated,
  },
  {
    what: "of no pod",
    token: () => sign(mesh.ca.tokenKey, claims({ "kubernetes.io": { namespace: "shop" } })),
    reason: "token_not_of_a_pod",
    error: unauthenticated,
  },
  { what: "no token at all", token: () => "nonsense", reason: "token_malformed", error: unauthenticated },
];

describe("a proxy with a token that is", options, () => {
  for (const { what, token, reason, error } of cases) {
    test(what, options, async () => {
      const audit = mesh.ca.child.position;
      proxy = await mesh.startProxy("client", { token: token(), wait: false });
      const failed = await proxy.event("certificate_renewal_failed");
      assert.match(String(failed["error"]), error);
      const line = await mesh.ca.child.event("certificate_refused", undefined, { from: audit });
      assert.equal(line["reason"], reason);
      assert.deepEqual(mesh.ca.child.events("certificate_issued", audit), []);
      await nothingIsBound();
    });
  }

  test("good, but another pod's: the certificate is refused by the proxy itself", options, async () => {
    proxy = await mesh.startProxy("client", { token: podToken(mesh.ca, here.server), wait: false });
    const failed = await proxy.event("certificate_renewal_failed");
    assert.match(String(failed["error"]), /^the CA's answer is refused: (?:identity_mismatch|wrong_pod): /);
    await nothingIsBound();
  });

  test("good, but of another service account than its settings name", options, async () => {
    proxy = await mesh.startProxy("client", { env: { TENCRYPT_SERVICE_ACCOUNT: "admin" }, wait: false });
    const failed = await proxy.event("certificate_renewal_failed");
    assert.match(String(failed["error"]), /^the CA's answer is refused: identity_mismatch: /);
    await nothingIsBound();
  });

  test("of another project than its settings name: nothing of that project is had", options, async () => {
    const { accountUid: serviceAccountUid } = client.facts;
    const other = {
      project: "default",
      serviceAccount: "client",
      pod: "client",
      podUid: client.facts.uid,
      serviceAccountUid,
    };
    proxy = await mesh.startProxy("client", { token: tokenFor(mesh.ca.tokenKey, other), wait: false });
    const failed = await proxy.event("certificate_renewal_failed");
    assert.match(String(failed["error"]), /^the CA's answer is refused: /);
    await nothingIsBound();
  });

  test("expired, and then replaced in the same file: it goes on by itself", options, async () => {
    const token = join(mesh.cluster.folder, "proxy-client", "token");
    proxy = await mesh.startProxy("client", {
      token: sign(mesh.ca.tokenKey, claims({}, Date.now() - 2 * hour)),
      wait: false,
    });
    await proxy.event("certificate_renewal_failed");
    await nothingIsBound();
    mesh.cluster.writeFile(token, podToken(mesh.ca, client), 0o400, uids.proxy);
    await proxy.event("ready");
    for (const host of here.server.ips) await reaches(here.inside, { host, port: echo }, canary);
  });
});

test(
  "a bystander was served all the while, and neither the proxies nor the ca hold anything more",
  options,
  async () => {
    await here.steady.end();
    await held.end();
  },
);

test("the canary was nowhere on the bridge", options, async () => {
  assert.equal((await here.bridge.stop()).count(canary), 0);
});
