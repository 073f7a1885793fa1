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

  for (const name of ["proxy", "control-plane"]) {
    test(`${name} runs without root, a capability, a writable file system or a shell`, async () => {
      const script =
        'const { existsSync, readdirSync } = require("node:fs");' +
        "console.log(process.getuid(), existsSync('/bin/sh'), readdirSync('/usr/local/bin').join());";
      const { code, log } = await run(`bare-${name}`, {
        image: image(name),
        args: ["-e", script],
        securityContext: nonRoot,
      });
      assert.equal(log, "65532 false node\n");
      assert.equal(code, 0);
    });
  }

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
