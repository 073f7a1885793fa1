/**
 * A peer whose certificate is good abuses HTTP/2, in every way that has ended a proxy before. Whatever it sends: the
 * proxy stays the same process, its memory stays below its container's, descriptors come back, and everybody else is served meanwhile.
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

const options = { skip: needsRoot };
const canary = "canary-floods-5b1d";
const port = 7000;
const forMs = 1_500;
/** A proxy's container has 256 MiB by default, of which the image gives half to the heap (Dockerfile). */
const heap = "--max-old-space-size=128";
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

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "strict" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "flooder", project: "shop" },
    ],
    without: ["server"],
  });
  await mesh.startProxy("server", { env: { NODE_OPTIONS: heap } });
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", port);
  inside = await mesh.pod("client").app("dialer");
  flooder = await mesh.pod("flooder").app("flooder", [], { uid: uids.proxy });
  const leaf = createForger(mesh.cluster, mesh.ca).leaf(identityOf(mesh.pod("flooder")));
  credentials = { cert: leaf.chainPem, key: leaf.keyPem };
  await flood("rapid reset");
  await reaches(inside, { host: mesh.pod("server").ip, port }, canary);
  await filesReturnTo(mesh.proxy("server").pid, openFiles(mesh.proxy("server").pid));
  files = openFiles(mesh.proxy("server").pid);
});
after(() => mesh?.close());

const flood = (what: string, more: Json = {}): Promise<Json> =>
  flooder.request({
    do: "flood",
    host: mesh.pod("server").ip,
    port: 15_008,
    authority: endpoint({ host: mesh.pod("server").ip, port }),
    what,
    forMs,
    ...credentials,
    ...more,
  });

type Beside = { readonly answer: Json; readonly served: number; readonly slowestMs: number; readonly mostMb: number };

/** Another pod talks to the same application until the flood is over. */
async function beside(flooding: Promise<Json>): Promise<Beside> {
  const [server, proxy] = [mesh.pod("server"), mesh.proxy("server")];
  let [served, slowestMs, mostMb, over] = [0, 0, 0, false];
  const done = flooding.finally(() => (over = true));
  while (!over) {
    const started = performance.now();
    await reaches(inside, { host: server.ip, port }, canary);
    slowestMs = Math.max(slowestMs, performance.now() - started);
    mostMb = Math.max(mostMb, anonymousMb(proxy.pid));
    served++;
  }
  return { answer: await done, served, slowestMs, mostMb };
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
        const { answer, served, slowestMs, mostMb } = await beside(flood(what, { deaf }));
        assert.equal(proxy.end, null, "the proxy is still there");
        assert.ok(Number(answer["frames"]) >= 64, JSON.stringify(answer));
        if (ended.includes(what)) assert.equal(answer["ended"], "closed", JSON.stringify(answer));
        assert.ok(served >= 1 && slowestMs < servedWithinMs, `${served} served, the slowest in ${slowestMs} ms`);
        assert.ok(mostMb < ceilingMb, `${mostMb} MB`);
        await filesReturnTo(proxy.pid, files);
      });
    }
  }
});

test("the canary was nowhere on the bridge", options, async () => {
  assert.equal((await bridge.stop()).count(canary), 0);
});
