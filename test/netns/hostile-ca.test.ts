/**
 * Somebody in the place of the ca who is believed over TLS and answers with a chain that is wrong: the proxy says why it
 * refuses it and never becomes ready, the kernel refuses in its place inside and outside, nothing is in clear on the bridge, and
 * pods that have their certificates do not notice.
 */
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Child, Pod } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import type { Mesh } from "../topology/mesh.ts";
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

async function hostileCa(wrong: string): Promise<{ readonly ca: Child; readonly root: string }> {
  const root = join(mesh.cluster.makeFolder("hostile", uids.ca), "root.pem");
  const { project, serviceAccount, uid } = client.facts;
  const named = { domain: mesh.cluster.trustDomain, project, account: serviceAccount, "pod-uid": uid };
  const settings = { ...named, address: `${mesh.ca.pod.ip}:${caPort}`, root, wrong };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const ca = await mesh.ca.pod.app("hostile-ca", args, { uid: uids.ca, event: "listening" });
  // The proxy reads it, which is no business of the ca's user.
  const pinned = join(mesh.cluster.makeFolder("hostile-trust", 0), "root.pem");
  copyFileSync(root, pinned);
  mesh.cluster.writeRights(pinned, 0o444);
  return { ca, root: pinned };
}

const kinds: Readonly<Record<string, RegExp>> = {
  "of a foreign root": /^the CA's answer is refused: /,
  "of another project's CA": /^the CA's answer is refused: wrong_issuer/,
  "of the control plane's CA": /^the CA's answer is refused: wrong_issuer/,
  "of another pod": /^the CA's answer is refused: wrong_pod/,
  "for another key": /not for our key/,
};

describe("a ca that is believed and answers with a chain", options, () => {
  for (const [wrong, why] of Object.entries(kinds))
    test(`${wrong}: the proxy is never ready, and nothing passes`, options, async () => {
      const { ca, root } = await hostileCa(wrong);
      const proxy = await mesh.startProxy("client", { env: { TENCRYPT_CA_ROOT_FILE: root }, wait: false });
      const failed = await proxy.event("certificate_renewal_failed");
      assert.match(String(failed["error"]), why);
      await ca.event("heard");
      await kernelRefuses(here);
      // Nor does the second answer count.
      await proxy.event("certificate_renewal_failed", undefined, { from: proxy.position });
      await kernelRefuses(here);
      assert.deepEqual([proxy.events("ready"), proxy.events("certificate_received"), proxy.end], [[], [], null]);
      await proxy.stop("SIGKILL");
      await ca.stop("SIGKILL");
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
