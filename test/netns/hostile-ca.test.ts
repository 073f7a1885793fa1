/**
 * Somebody in the place of the ca who is believed over TLS and answers with a chain that is wrong, has ended or is far too large:
 * the proxy says why it refuses it and never becomes ready, the kernel refuses in its place inside and outside, nothing is in
 * clear on the bridge, and pods that have their certificates do not notice. Somebody whose own certificate is a project CA's is
 * not even asked. The proxy that tries again and again holds no more open files and not much more memory than at first.
 */
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Child, Pod } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import type { Mesh } from "../topology/mesh.ts";
import { noteProxies } from "../topology/steady.ts";
import { kernelRefuses, startUncertified } from "../topology/uncertified.ts";
import type { Uncertified } from "../topology/uncertified.ts";

const options = { skip: needsRoot };
const canary = "canary-hostile-ca-71d5";
const caPort = 15_012;

let here: Uncertified;
let mesh: Mesh;
let client: Pod;

before(async () => {
  if (needsRoot !== false) return;
  here = await startUncertified(canary);
  ({ mesh, client } = here);
  await mesh.ca.child.stop();
});
after(() => mesh?.close());

type Hostile = { readonly chain: string; readonly issuer?: string };

async function hostileCa(kind: Hostile): Promise<{ readonly ca: Child; readonly root: string }> {
  const root = join(mesh.cluster.makeFolder("hostile", uids.ca), "root.pem");
  const { project, serviceAccount, uid } = client.facts;
  const named = { domain: mesh.cluster.trustDomain, project, account: serviceAccount, "pod-uid": uid };
  const settings = { ...named, address: `${mesh.ca.pod.ip}:${caPort}`, root, ...kind };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const ca = await mesh.ca.pod.app("hostile-ca", args, { uid: uids.ca, event: "listening" });
  // The proxy reads it, which is no business of the ca's user.
  const pinned = join(mesh.cluster.makeFolder("hostile-trust", 0), "root.pem");
  copyFileSync(root, pinned);
  mesh.cluster.writeRights(pinned, 0o444);
  return { ca, root: pinned };
}

/** Three answers, none of which counts; gives the ca that has made them. */
async function neverReady(kind: Hostile, why: RegExp): Promise<Child> {
  const { ca, root } = await hostileCa(kind);
  const proxy = await mesh.startProxy("client", { env: { TENCRYPT_CA_ROOT_FILE: root }, wait: false });
  const failed = await proxy.event("certificate_renewal_failed");
  assert.match(String(failed["error"]), why);
  const steady = noteProxies(mesh, { also: [proxy] });
  await kernelRefuses(here);
  const third = await proxy.event("certificate_renewal_failed", ({ attempt }) => attempt === 3);
  assert.match(String(third["error"]), why);
  await kernelRefuses(here);
  await steady.end();
  assert.deepEqual([proxy.events("ready"), proxy.events("certificate_received"), proxy.end], [[], [], null]);
  await proxy.stop("SIGKILL");
  await ca.stop("SIGKILL");
  return ca;
}

const kinds: Readonly<Record<string, RegExp>> = {
  "of a foreign root": /^the CA's answer is refused: /,
  "of another project's CA": /^the CA's answer is refused: wrong_issuer/,
  "of the control plane's CA": /^the CA's answer is refused: wrong_issuer/,
  "of another pod": /^the CA's answer is refused: wrong_pod/,
  "for another key": /not for our key/,
  "that has ended": /^the CA's answer is refused: expired/,
  "that is valid in 5 minutes": /^the CA's answer is refused: not_yet_valid/,
  "of a hundred certificates": /^the CA's answer is refused: chain_too_large/,
  "with a leaf of 1 MB": /^the CA's answer is refused: chain_too_large/,
  "beyond what a message may hold": /^8 RESOURCE_EXHAUSTED/,
};

describe("a ca that is believed and answers with a chain", options, () => {
  for (const [chain, why] of Object.entries(kinds))
    test(`${chain}: the proxy is never ready, and nothing passes`, options, async () => {
      const ca = await neverReady({ chain }, why);
      const heard = ca.events("heard");
      for (const asks of ["certificate", "bundle"])
        assert.ok(
          heard.some((request) => request["asks"] === asks && request["withToken"] === true),
          asks,
        );
    });
});

describe("a ca that would answer rightly, and shows the ca's name in a certificate of", options, () => {
  for (const issuer of ["the project's CA", "another project's CA"])
    test(`${issuer}: it never hears a token, the proxy is never ready, and nothing passes`, options, async () => {
      const ca = await neverReady(
        { chain: "that is right", issuer },
        /the CA's certificate is refused: wrong_issuer: not the control-plane CA/,
      );
      assert.deepEqual(ca.events("heard"), []);
    });
});

test(
  "pods that had their certificates talked all the while, and the canary was nowhere on the bridge",
  options,
  async () => {
    await here.steady.end();
    assert.equal((await here.bridge.stop()).count(canary), 0);
  },
);
