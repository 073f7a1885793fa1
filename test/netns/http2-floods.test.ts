/**
 * A peer whose certificate is good abuses HTTP/2, in every way that has ended a proxy before, again and again and over both
 * address families. Whatever it sends: the proxy stays the same process, its memory stays below its container's, descriptors
 * come back, and everybody else is served meanwhile.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { anonymousMb, endpoint, filesReturnTo, openFiles, reaches } from "../topology/attempts.ts";
import type { Capture, Child, Json } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import { createForger, identityOf } from "../topology/forgery.ts";
import { floods } from "../topology/http2-frames.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { noteProxies } from "../topology/steady.ts";
import type { Steady } from "../topology/steady.ts";

const options = { skip: needsRoot };
const canary = "canary-floods-5b1d";
const port = 7000;
/** Of one flood, of which there is at least one in each family. */
const forMs = 750;
const served = 5;
/** The flooder gives up then, however few were served. */
const longestMs = 10_000;
/** Of the memory that the limit counts and that is not of files. Seen: up to 170 MB. */
const ceilingMb = 220;
/** Of one request beside a flood: 2 shared cores, one of them the flooder's. */
const servedWithinMs = 2_500;

let mesh: Mesh;
let bridge: Capture;
let inside: Child;
let flooder: Child;
let credentials: Json;
let files: number;
/** Of all proxies but the one that is flooded. */
let others: Steady;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "flooder", project: "shop" },
    ],
  });
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", port);
  inside = await mesh.pod("client").app("dialer");
  flooder = await mesh.pod("flooder").app("flooder", [], { uid: uids.proxy });
  const leaf = createForger(mesh.cluster, mesh.ca).leaf(identityOf(mesh.pod("flooder")));
  credentials = { cert: leaf.chainPem, key: leaf.keyPem };
  const { ips } = mesh.pod("server");
  for (const host of ips) await flood(host, "rapid reset");
  for (const host of ips) await reaches(inside, { host, port }, canary);
  files = openFiles(mesh.proxy("server").pid);
  others = noteProxies(mesh, { proxies: [mesh.proxy("client"), mesh.proxy("flooder")] });
});
after(() => mesh?.close());

const flood = (host: string, what: string, more: Json = {}): Promise<Json> =>
  flooder.request({
    do: "flood",
    host,
    port: 15_008,
    authority: endpoint({ host, port }),
    what,
    forMs,
    ...credentials,
    ...more,
  });

type Beside = {
  /** Of each flood. */
  readonly answers: readonly Json[];
  readonly served: number;
  readonly slowestMs: number;
  readonly mostMb: number;
};

/** Floods in both families, and again until another pod that talks to the same application meanwhile was served often enough. */
async function beside(flooding: (host: string) => Promise<Json>): Promise<Beside> {
  const [{ ips }, proxy] = [mesh.pod("server"), mesh.proxy("server")];
  const answers: Json[] = [];
  const seen = { served: 0, slowestMs: 0, mostMb: 0 };
  const started = performance.now();
  const isEnough = (): boolean => seen.served >= served || performance.now() - started > longestMs;
  const again = async (): Promise<void> => {
    while (answers.length < ips.length || !isEnough()) answers.push(await flooding(ips[answers.length % ips.length]!));
  };
  let over = false;
  const done = again().finally(() => (over = true));
  for (let count = 0; !over; count++) {
    const asked = performance.now();
    await reaches(inside, { host: ips[count % ips.length]!, port }, canary);
    seen.slowestMs = Math.max(seen.slowestMs, performance.now() - asked);
    seen.mostMb = Math.max(seen.mostMb, anonymousMb(proxy.pid));
    if (!over) seen.served++;
  }
  await done;
  return { answers, ...seen };
}

/** Those that the proxy ends; it may stand the others, which cost it nothing but their bytes. */
const ended: readonly string[] = [
  "CONTINUATION without end",
  "headers of 100 KB",
  "trailers without end",
  "a frame of 16 MB",
  "a header block that is none",
];

describe("a flood by a verified peer", options, () => {
  for (const what of Object.keys(floods)) {
    for (const deaf of [false, true]) {
      test(`${what}${deaf ? ", whose answers are never read" : ""}`, options, async () => {
        const proxy = mesh.proxy("server");
        const { answers, served: count, slowestMs, mostMb } = await beside((host) => flood(host, what, { deaf }));
        assert.equal(proxy.end, null, "the proxy is still there");
        for (const answer of answers) {
          assert.ok(Number(answer["frames"]) >= 64, JSON.stringify(answer));
          if (ended.includes(what)) assert.equal(answer["ended"], "closed", JSON.stringify(answer));
        }
        assert.ok(count >= served && slowestMs < servedWithinMs, `${count} served, the slowest in ${slowestMs} ms`);
        assert.ok(mostMb < ceilingMb, `${mostMb} MB`);
        await filesReturnTo(proxy.pid, files);
        await others.end();
      });
    }
  }
});

test("the canary was nowhere on the bridge", options, async () => {
  assert.equal((await bridge.stop()).count(canary), 0);
});
