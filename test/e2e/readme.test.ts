/** The Kubernetes part of README.md works as it is written, on a cluster of its own in place of `npm run cluster:up`. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Cluster, whyNoCluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";

const why = whyNoCluster();
const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "README.md"), "utf8");
const section = page.split(/^## /m).find((part) => part.startsWith("On Kubernetes\n")) ?? "";
const blocks = [...section.matchAll(/^```sh\n([^`]*)```$/gm)].map((match) => match[1]!);
const clusterUp = 'eval "$(npm run --silent cluster:up)"\n';

describe("README.md, On Kubernetes", why === null ? {} : { skip: why }, () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await Cluster.start();
  });
  after(() => cluster?.stop());

  const run = async (script: string): Promise<string> => {
    const { code, stdout, stderr } = await cluster.run("sh", ["-euc", `cd ${root}\n${script}`]);
    assert.equal(code, 0, stdout + stderr);
    return stdout;
  };

  test("has three steps: a cluster and an application, Tencrypt, and a look", () => {
    assert.equal(blocks.length, 3);
    assert.ok(blocks[0]?.startsWith(clusterUp));
    assert.equal(blocks[1]?.trim().split("\n").length, 3, "three commands from nothing to encrypted");
  });

  test("its commands do what it says", async () => {
    await run(blocks[0]!.slice(clusterUp.length));
    await cluster.kubectl("-n", "shop", "rollout", "status", "deployment/server", "--timeout=60s");
    await run(blocks[1]!);
    const shown = await run(blocks[2]!);
    for (const app of ["client", "server"]) assert.match(shown, new RegExp(`^${app}-\\S+ +2/2 +Running`, "m"));
    await eventually(async () => {
      const client = ["-n", "shop", "logs", "deployment/client", "-c", "app", "--tail=1"];
      assert.match(await cluster.kubectl(...client), /^hello from server-/);
    });
    const sessions = "fetch('http://127.0.0.1:15000/status').then((r) => r.text()).then(console.log)";
    const proxy = ["-n", "shop", "exec", "deployment/client", "-c", "tencrypt-proxy", "--", "node", "-e", sessions];
    assert.match(await cluster.kubectl(...proxy), /"peer":\s*"spiffe:\/\/cluster\.local\/ns\/shop\/sa\/default"/);
  });
});
