/**
 * What only watches must never stop what it watches: a proxy whose log goes to a full disk, and one whose collector takes
 * connections and never answers, serve as any other, and hold no more for it; nor does anybody else notice.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually } from "../cluster/eventually.ts";
import { anonymousMb, filesReturnTo, openFiles, reaches } from "../topology/attempts.ts";
import type { Capture, Child } from "../topology/cluster.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import { scriptOf } from "../topology/enter.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";
import { proxyEnvironment } from "../topology/programs.ts";

const canary = "canary-hindered-e8a5";
const port = 7000;
const collectorPort = 4318;
const requests = 300;
const grownMb = 40;

let mesh: Mesh;
let bridge: Capture;
let collector: Child;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "project" } },
    pods: ["server", "full-disk", "traced", "collector", "bystander"].map((name) => ({ name, project: "shop" })),
    without: ["full-disk", "traced"],
  });
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", port);
  collector = (await mesh.pod("collector").serve("echo-server", collectorPort)).child;
});
after(() => {
  if (needsRoot === false) collector?.kill("SIGCONT");
  return mesh?.close();
});

const servesAll = async (pod: string): Promise<void> => {
  const inside = await mesh.pod(pod).app("dialer");
  const target = { host: mesh.pod("server").ip, port };
  await eventually(() => reaches(inside, target, canary));
  for (let count = 0; count < requests; count++) await reaches(inside, target, canary);
};

describe("a proxy serves all requests", { skip: needsRoot }, () => {
  test("while its log goes to a full disk", async () => {
    const pod = mesh.pod("full-disk");
    const env = {
      ...proxyEnvironment(mesh.cluster, pod, { ca: mesh.ca, mode: "project" }),
      TENCRYPT_ACCESS_LOG: "all",
    };
    const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
    const full = ["sh", "-c", 'exec "$@" > /dev/full', "sh", ...pod.nodeCommand(scriptOf("proxy"))];
    const proxy = pod.spawn("proxy", full, { uid: uids.proxy, env });
    await servesAll("full-disk");
    const [files, megabytes] = [openFiles(proxy.pid), anonymousMb(proxy.pid)];
    await servesAll("full-disk");
    await filesReturnTo(proxy.pid, files);
    assert.ok(anonymousMb(proxy.pid) < megabytes + grownMb, `${anonymousMb(proxy.pid)} MB, ${megabytes} MB before`);
    assert.equal(proxy.end, null);
    await steady.end({ moreFiles: 1 }); // the session with that proxy
    assert.deepEqual(proxy.lines, [], "nothing was written elsewhere");
  });

  test("while its collector takes connections and never answers", async () => {
    collector.kill("SIGSTOP");
    const url = `http://${mesh.pod("collector").ip}:${collectorPort}`;
    const proxy = await mesh.startProxy("traced", {
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_BSP_SCHEDULE_DELAY: "50", OTEL_EXPORTER_OTLP_TIMEOUT: "1000" },
    });
    await servesAll("traced");
    await servesAll("traced");
    const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
    await servesAll("traced");
    assert.equal(proxy.end, null);
    // Of spans, one connection at a time waits for the collector; it may be open now and not have been before.
    await steady.end({ moreFiles: 2, grownMb });
  });

  test("and the canary was nowhere on the bridge", async () => {
    assert.equal((await bridge.stop()).count(canary), 0);
  });
});
