/** The images of the Dockerfile as a kubelet runs them: small, without a shell, and content with least privilege. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Json } from "./client.ts";
import { Cluster, whyNoCluster } from "./cluster.ts";
import { eventually } from "./eventually.ts";

const why = whyNoCluster();
const image = (name: string): string => `ghcr.io/tencrypt/${name}:0.1.0`;
const restricted = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
  seccompProfile: { type: "RuntimeDefault" },
};
const nonRoot = { ...restricted, runAsNonRoot: true };

type Ended = { readonly code: number; readonly log: string };
type Status = {
  readonly containerStatuses?: readonly { readonly state: { readonly terminated?: { readonly exitCode: number } } }[];
};

describe("the images", why === null ? {} : { skip: why }, () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await Cluster.start();
  });
  after(() => cluster?.stop());

  const run = async (name: string, container: Json, more: Json = {}): Promise<Ended> => {
    const path = "/api/v1/namespaces/default/pods";
    await eventually(() => cluster.admin.get("/api/v1/namespaces/default/serviceaccounts/default"));
    await cluster.admin.create(path, {
      metadata: { name },
      spec: { restartPolicy: "Never", containers: [{ name: "it", imagePullPolicy: "Never", ...container }], ...more },
    });
    const code = await eventually(async () => {
      const { containerStatuses } = (await cluster.admin.get(`${path}/${name}`))["status"] as Status;
      return containerStatuses?.[0]?.state.terminated?.exitCode ?? assert.fail(`${name} has not ended`);
    });
    return { code, log: await cluster.kubectl("logs", name) };
  };

  test("are smaller than 90 MB compressed, each", async () => {
    const { stdout } = await cluster.inNode("n1", "ctr", "-n", "k8s.io", "images", "ls");
    for (const name of ["proxy", "init", "control-plane"]) {
      const line = stdout.split("\n").find((each) => each.startsWith(image(name))) ?? assert.fail(`no image ${name}`);
      const [, size, unit] = / ([0-9.]+) (MiB|KiB|GiB) /.exec(line) ?? assert.fail(line);
      assert.equal(unit, "MiB", line);
      assert.ok(Number(size) * 1.048576 < 90, line);
    }
  });

  /** Every file that can be run, wherever it is, but for libraries. */
  const programs = `
    const { accessSync, constants, readdirSync, statSync } = require("node:fs");
    const canRun = (path) => { try { accessSync(path, constants.X_OK); return statSync(path).isFile(); } catch { return false; } };
    const found = [];
    const look = (folder) => {
      for (const entry of readdirSync(folder + "/", { withFileTypes: true })) {
        const path = folder + "/" + entry.name;
        if (entry.isDirectory() && !["/proc", "/sys", "/dev"].includes(path)) look(path);
        else if (!entry.isDirectory() && canRun(path) && !/\\.(?:so|node)\\b/.test(entry.name)) found.push(path);
      }
    };
    look("");
    console.log(JSON.stringify({ uid: process.getuid(), found }));
  `;

  for (const name of ["proxy", "control-plane"]) {
    test(`${name} runs without root, a capability or a writable file system, and holds no program but Node: no shell, no iptables`, async () => {
      const { code, log } = await run(`bare-${name}`, {
        image: image(name),
        args: ["-e", programs],
        securityContext: nonRoot,
      });
      assert.equal(code, 0, log);
      assert.deepEqual(JSON.parse(log), { uid: 65532, found: ["/usr/local/bin/node"] });
    });
  }

  test("init alone holds iptables, and no shell", async () => {
    const { code, log } = await run("bare-init", {
      image: image("init"),
      args: ["-e", programs],
      securityContext: restricted,
    });
    assert.equal(code, 0, log);
    const { found } = JSON.parse(log) as { readonly found: readonly string[] };
    for (const path of ["iptables-restore", "ip6tables-restore", "ip"].map((each) => `/usr/sbin/${each}`))
      assert.ok(found.includes(path), log);
    const others = found.filter(
      (path) => !/^\/(?:usr\/sbin|etc\/alternatives)\/(?:ip6?tables|xtables|ip)(?:-|$)/.test(path),
    );
    assert.deepEqual(others, ["/usr/local/bin/node"]);
  });

  test("proxy and ca start, and say what they lack", async () => {
    const started = { proxy: "proxy", "control-plane": "ca" };
    for (const [name, program] of Object.entries(started)) {
      const command = ["node", `dist/${program}/main.js`];
      const { code, log } = await run(`start-${program}`, { image: image(name), command, securityContext: nonRoot });
      assert.match(log, /"event":"bad_configuration".*TENCRYPT_TRUST_DOMAIN is missing/);
      assert.equal(code, 64);
    }
  });

  test("init writes and proves the rules with NET_ADMIN alone", async () => {
    const { code, log } = await run("rules", {
      image: image("init"),
      env: [{ name: "TENCRYPT_PROXY_UID", value: "1337" }],
      securityContext: { ...restricted, capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] } },
    });
    assert.match(log, /"event":"done"/);
    assert.equal(code, 0, log);
  });

  test("init cuts IPv6 off by the routing policy where ip6tables does not work, with the `ip` of its own image", async () => {
    // All that the image has on its PATH but ip6tables.
    const script =
      'const { readdirSync, symlinkSync } = require("node:fs");' +
      'for (const name of readdirSync("/usr/sbin"))' +
      "  if (!name.startsWith('ip6')) symlinkSync(`/usr/sbin/${name}`, `/path/${name}`);" +
      'const { spawnSync } = require("node:child_process");' +
      'const env = { ...process.env, PATH: "/path" };' +
      'const { status } = spawnSync(process.execPath, ["dist/init/main.js"], { env, stdio: "inherit" });' +
      "process.exitCode = status;";
    const { code, log } = await run(
      "no-ip6tables",
      {
        image: image("init"),
        args: ["-e", script],
        env: [{ name: "TENCRYPT_PROXY_UID", value: "1337" }],
        securityContext: { ...restricted, capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] } },
        volumeMounts: [{ name: "path", mountPath: "/path" }],
      },
      { volumes: [{ name: "path", emptyDir: {} }] },
    );
    assert.match(log, /"event":"ipv6_unreachable","by":"routing"/);
    assert.equal(code, 0, log);
  });
});
