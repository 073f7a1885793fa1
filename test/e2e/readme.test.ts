/**
 * The Kubernetes part of README.md works as it is written: every command of it runs in a shell, one after the other, with what the
 * ones before have set. Only which cluster `npm run cluster:up` makes is another, so that nobody's own is touched.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Cluster, whyNoCluster } from "../cluster/cluster.ts";
import type { Place } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";

const why = whyNoCluster();
const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "README.md"), "utf8");
const section = page.split(/^## /m).find((part) => part.startsWith("On Kubernetes\n")) ?? "";
const blocks = [...section.matchAll(/^```sh\n([^`]*)```$/gm)].map((match) => match[1]!);
/** In the text below the blocks. */
const inText = [...section.matchAll(/`(npm [^`]+)`/g)].map((match) => match[1]!);
const [status = "", check = "", clusterDown = ""] = inText;
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string };

type Row = {
  readonly pod: string;
  readonly workload: string;
  readonly protected: boolean;
  readonly mode: string;
  readonly version: string;
  readonly certificateEnds: string;
};

/** What the shell has exported so far. */
let environment: NodeJS.ProcessEnv;
const folder = mkdtempSync(join(tmpdir(), "readme-"));

const run = (script: string, env = environment): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile("sh", ["-euc", script], { cwd: root, env }, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`${script}\n${stdout}${stderr}`, { cause: error })),
    );
  });

async function bringUp({ name, index }: Place): Promise<void> {
  const exported = join(folder, "exported");
  await run(`${blocks[0]}\nenv -0 >${exported}`, { ...process.env, TENCRYPT_CLUSTER: `${name}/${index}` });
  const lines = readFileSync(exported, "utf8")
    .split("\0")
    .filter((line) => line !== "");
  environment = Object.fromEntries(lines.map((line) => [line.split("=", 1)[0]!, line.slice(line.indexOf("=") + 1)]));
}

describe("README.md, On Kubernetes", why === null ? {} : { skip: why }, () => {
  let cluster: Cluster;
  const hadBundles = existsSync(join(root, "dist"));

  before(async () => {
    cluster = await Cluster.start({ bringUp });
  });
  after(async () => {
    await cluster?.stop();
    rmSync(folder, { recursive: true });
    if (!hadBundles) rmSync(join(root, "dist"), { recursive: true, force: true });
  });

  test("has three steps: a cluster and an application, Tencrypt, and a look; and three commands more", () => {
    assert.equal(blocks.length, 3);
    assert.equal(blocks[1]?.trim().split("\n").length, 3, "three commands from nothing to encrypted");
    assert.match(status, /tencrypt -- status shop$/);
    assert.match(check, /tencrypt -- check$/);
    assert.equal(clusterDown, "npm run cluster:down");
    assert.equal(inText.length, 3);
  });

  test("its commands do what it says", async () => {
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

  test("`tencrypt status shop` shows which pods are protected and how long their certificates last", async () => {
    assert.match(await run(status), /^shop +Deployment\/client +client-\S+ +yes +project /m);
    const asJson = `${status.split(" && ").at(-1)!} -o json`;
    const rows = await eventually(async () => {
      const all = JSON.parse(await run(asJson)) as readonly Row[];
      assert.equal(all.length, 3, "those that were replaced are gone");
      return all;
    });
    const names = (
      await cluster.kubectl("-n", "shop", "get", "pods", "-o", "jsonpath={.items[*].metadata.name}")
    ).split(" ");
    assert.deepEqual(rows.map(({ pod }) => pod).toSorted(), names.toSorted());
    const hour = 3_600_000;
    for (const row of rows) {
      assert.deepEqual(
        { isProtected: row.protected, mode: row.mode, version: row.version },
        { isProtected: true, mode: "project", version },
      );
      const left = Date.parse(row.certificateEnds) - Date.now();
      assert.ok(left > 23 * hour && left <= 24 * hour, row.certificateEnds);
    }
  });

  test("`tencrypt check` finds nothing that is wrong, and says so by its exit status", async () => {
    assert.match(await run(check), /^0 failed, /m);
  });

  test("`npm run cluster:down` takes the cluster away", async () => {
    await run(clusterDown);
    assert.equal(existsSync(cluster.place.state), false);
  });
});
