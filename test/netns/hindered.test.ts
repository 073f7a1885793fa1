/**
 * What only watches must never stop what it watches: a proxy whose log goes to a disk that is full from the start or fills
 * meanwhile, and one whose collector takes connections and never answers, serve as any other, and hold no more for it; nor
 * does anybody else notice.
 */
import assert from "node:assert/strict";
import { readFileSync, statfsSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { proxyLaunch } from "../../build/proxy-launch.ts";
import { eventually } from "../cluster/eventually.ts";
import { anonymousMb, filesReturnTo, openFiles, reaches } from "../topology/attempts.ts";
import type { Capture, Child, Json, Pod } from "../topology/cluster.ts";
import { must } from "../topology/child.ts";
import { needsRoot, uids } from "../topology/cluster.ts";
import { startMesh } from "../topology/mesh.ts";
import type { Mesh } from "../topology/mesh.ts";
import { watchSteady } from "../topology/steady.ts";
import { proxyCommand, proxyEnvironment } from "../topology/programs.ts";

const canary = "canary-hindered-e8a5";
const port = 7000;
const collectorPort = 4318;
const requests = 300;
const grownMb = 40;
/** Less than all that a proxy logs here, more than half of it. */
const disk = "size=384k";

let mesh: Mesh;
let bridge: Capture;
let collector: Child;
let logs: string;

before(async () => {
  if (needsRoot !== false) return;
  mesh = await startMesh({
    projects: { shop: { mode: "project" } },
    pods: ["server", "full-disk", "filling-disk", "traced", "collector", "bystander"].map((name) => ({
      name,
      project: "shop",
    })),
    without: ["full-disk", "filling-disk", "traced"],
  });
  logs = mesh.cluster.makeFolder("logs", uids.proxy);
  await must(["mount", "-t", "tmpfs", "-o", `${disk},mode=0700,uid=${uids.proxy}`, "tmpfs", logs]);
  bridge = await mesh.cluster.capture();
  await mesh.pod("server").serve("echo-server", port);
  collector = (await mesh.pod("collector").serve("echo-server", collectorPort)).child;
});
after(async () => {
  if (needsRoot !== false) return;
  collector?.kill("SIGCONT");
  // The folder cannot be deleted while something is mounted in it, nor unmounted while a proxy writes there.
  if (logs !== undefined) await must(["umount", "--lazy", logs]);
  await mesh?.close();
});

const servesAll = async (pod: string, eachOf: number = requests): Promise<void> => {
  const inside = await mesh.pod(pod).app("dialer");
  const target = { host: mesh.pod("server").ip, port };
  await eventually(() => reaches(inside, target, canary));
  for (let count = 0; count < eachOf; count++) await reaches(inside, target, canary);
};

/** Started as in the image, but that its log goes to that file. */
function startLogging(pod: Pod, file: string): Child {
  const env = {
    ...proxyLaunch.env,
    ...proxyEnvironment(mesh.cluster, pod, { ca: mesh.ca, mode: "project" }),
    TENCRYPT_ACCESS_LOG: "all",
  };
  const command = ["sh", "-c", 'exec "$@" >> "$0"', file, ...proxyCommand(pod)];
  return pod.spawn("proxy", command, { uid: uids.proxy, env });
}

/** From one measurement to the other, it serves, holds no more, and is the same process. */
async function staysWell(proxy: Child, pod: string): Promise<void> {
  const [files, megabytes] = [openFiles(proxy.pid), anonymousMb(proxy.pid)];
  await servesAll(pod);
  await filesReturnTo(proxy.pid, files);
  assert.ok(anonymousMb(proxy.pid) < megabytes + grownMb, `${anonymousMb(proxy.pid)} MB, ${megabytes} MB before`);
  assert.equal(proxy.end, null);
  assert.deepEqual(proxy.lines, [], "nothing was written elsewhere");
}

describe("a proxy serves all requests", { skip: needsRoot }, () => {
  test("while its log goes to a full disk", async () => {
    const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
    const proxy = startLogging(mesh.pod("full-disk"), "/dev/full");
    await servesAll("full-disk");
    await staysWell(proxy, "full-disk");
    await steady.end({ moreFiles: 1 }); // the session with that proxy
  });

  test("while the disk of its log fills, and logs again when there is room", async () => {
    const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
    const file = join(logs, "proxy.log");
    const proxy = startLogging(mesh.pod("filling-disk"), file);
    const free = (): number => statfsSync(logs).bavail;
    await servesAll("filling-disk", requests / 2);
    assert.ok(free() > 0, "not full yet");
    await staysWell(proxy, "filling-disk");
    assert.equal(free(), 0);
    truncateSync(file, 0);
    await servesAll("filling-disk", 1);
    const last = async (): Promise<void> =>
      assert.equal(
        (JSON.parse(readFileSync(file, "utf8").trimEnd().split("\n").at(-1)!) as Json)["event"],
        "connection_closed",
      );
    await eventually(last);
    await steady.end({ moreFiles: 1 });
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
