/**
 * A pod whose clock is behind the ca's: half a minute does not matter; with five minutes the ca's certificate is not valid yet, the
 * proxy says so and asks it for nothing, and the kernel refuses in its place, until the clocks agree. Nothing is in clear on
 * the bridge, and pods that have their certificates do not notice.
 *
 * It is the ca that is ahead: OpenSSL, which judges the ca's certificate in the proxy, has no other clock than the system's.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { reaches } from "../topology/attempts.ts";
import type { Child, Pod } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import type { Mesh } from "../topology/mesh.ts";
import { noteProxies } from "../topology/steady.ts";
import { kernelRefuses, startUncertified } from "../topology/uncertified.ts";
import type { Uncertified } from "../topology/uncertified.ts";

const options = { skip: needsRoot };
const canary = "canary-clocks-0b5c";
const echo = 7000;
const [second, minute] = [1_000, 60_000];

let here: Uncertified;
let mesh: Mesh;
let server: Pod;

before(async () => {
  if (needsRoot !== false) return;
  here = await startUncertified(canary);
  ({ mesh, server } = here);
});
after(() => mesh?.close());

/** On the same store, with a clock that is so much later. */
async function restartCa(aheadMs: number): Promise<Child> {
  await mesh.ca.child.stop();
  const later = `const{now}=Date;Date.now=()=>now()+${aheadMs}`;
  mesh.ca = await mesh.ca.restart({
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(later)}` },
  });
  const { child } = mesh.ca;
  const ahead = Date.parse(String(child.events("ready")[0]!["time"])) - Date.now();
  assert.ok(Math.abs(ahead - aheadMs) < 10 * second, `the ca's clock is ${ahead} ms ahead`);
  return child;
}

async function podsTalk(): Promise<void> {
  for (const host of server.ips) await reaches(here.inside, { host, port: echo }, canary);
}

test(
  "30 s behind: the ca starts each lifetime a minute early, the proxy gets ready, and traffic flows",
  options,
  async () => {
    await restartCa(30 * second);
    const proxy = await mesh.startProxy("client");
    assert.deepEqual(proxy.events("certificate_renewal_failed"), []);
    await podsTalk();
    await proxy.stop("SIGKILL");
  },
);

test(
  "5 min behind: the proxy says that a certificate is not valid yet, and nothing passes until the clocks agree",
  options,
  async () => {
    const ca = await restartCa(5 * minute);
    const proxy = await mesh.startProxy("client", { wait: false });
    const failed = await proxy.event("certificate_renewal_failed");
    assert.match(String(failed["error"]), /certificate is not yet valid/);
    const steady = noteProxies(mesh, { also: [proxy, ca] });
    await kernelRefuses(here);
    await proxy.event("certificate_renewal_failed", ({ attempt }) => attempt === 3);
    await kernelRefuses(here);
    await steady.end();
    assert.deepEqual([ca.events("certificate_issued"), ca.events("certificate_refused")], [[], []]);
    assert.deepEqual([proxy.events("ready"), proxy.events("certificate_received"), proxy.end], [[], [], null]);

    await restartCa(0);
    await proxy.event("ready");
    await podsTalk();
  },
);

test(
  "pods that had their certificates talked all the while, and the canary was nowhere on the bridge",
  options,
  async () => {
    await mesh.proxy("client").stop(); // with its sessions
    await here.steady.end();
    assert.equal((await here.bridge.stop()).count(canary), 0);
  },
);
