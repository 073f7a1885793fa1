/** The command line as a user runs it: the real program, a real API server, exit status, stdout and stderr apart. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { newRoot } from "../../../ca/issue/authority.ts";
import { runWithHelm, whyNoHelm } from "../../chart/helm.ts";
import { startApiServer, whyNoApiServer } from "../../cluster/api-server.ts";
import type { ApiServer } from "../../cluster/api-server.ts";
import type { Json } from "../../cluster/client.ts";
import { kubeconfigText } from "../../cluster/keys.ts";
import { protectedSpec } from "../../cluster/protected-pod.ts";

const main = join(import.meta.dirname, "../../../cli/main.ts");
const why = whyNoApiServer();
const { PATH, NODE_COMPILE_CACHE } = process.env;

type Run = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

function run(
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly input?: string } = {},
): Promise<Run> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [main, ...args], {
      env: { PATH, NODE_COMPILE_CACHE, HOME: tmpdir(), ...options.env },
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(options.input ?? "");
  });
}

describe("a kubeconfig that cannot be used ends with 64 and its reason", () => {
  const config = (server: string, user: string): string =>
    `apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: "${server}"}}]\nusers: [{name: a, user: ${user}}]\n` +
    "contexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n";
  const away = "https://127.0.0.1:1";
  const plugin = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: nosuchplugin, interactiveMode: Never}}";
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "tencrypt-kubeconfig-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  for (const [what, text, says] of [
    [
      "without a certificate",
      config(away, "{client-certificate: /nope.crt, client-key: /nope.key}"),
      /credentials cannot be used: .*\/nope\./,
    ],
    ["without its program", config(away, plugin), /credentials cannot be used: .*nosuchplugin/],
    ["without an address", config("not a url", "{}"), /server "not a url" is no https URL/],
    ["with another protocol", config("http://127.0.0.1:1", "{}"), /server "http:\/\/127\.0\.0\.1:1" is no https URL/],
    ["of garbage", "garbage\n", /kubeconfig /],
    ["that is empty", "", /kubeconfig /],
  ] as const)
    test(what, async () => {
      const file = join(folder, "config");
      writeFileSync(file, text);
      const { code, stdout, stderr } = await run(["check", "--kubeconfig", file]);
      assert.deepEqual([code, stdout], [64, ""], stderr);
      assert.match(stderr, says);
      assert.doesNotMatch(stderr, /does not answer|--debug/);
    });

  test("that is nowhere", async () => {
    const { code, stderr } = await run(["check"], { env: { HOME: folder } });
    assert.equal(code, 64, stderr);
    assert.match(stderr, /^error: there is no kubeconfig: /);
  });

  test("whichever command is given it, those that run Helm too", async () => {
    const file = join(folder, "config");
    writeFileSync(file, config(away, "{}"));
    for (const command of [["install"], ["upgrade", "--dry-run"], ["upgrade", "--print"], ["uninstall"]]) {
      const { code, stderr } = await run([...command, "--kubeconfig", file, "--context", "nope"]);
      assert.equal(code, 64, stderr);
      assert.match(stderr, /^error: kubeconfig has no context "nope"; it has: a\nnext: /);
    }
  });

  test("but for files of the list that are absent, as with kubectl", async () => {
    const file = join(folder, "config");
    writeFileSync(file, config(away, "{}"));
    const { code, stderr } = await run(["check"], { env: { KUBECONFIG: `/absent:${file}:/absent/too` } });
    assert.equal(code, 1);
    assert.match(stderr, /^error: the API server 127\.0\.0\.1:1 does not answer/);
    // What is known without the cluster is told all the same.
    const own = await run(["version"], { env: { KUBECONFIG: file } });
    assert.equal(own.code, 1);
    assert.match(own.stdout, /^client: [0-9.]+\n$/);
    assert.match(own.stderr, /^error: the API server 127\.0\.0\.1:1 does not answer/);
  });
});

test("explains a code, and says what is near one that there is not", async () => {
  const known = await run(["explain", "peer_not_enrolled"]);
  assert.equal(known.code, 0);
  assert.match(
    known.stdout,
    /^peer_not_enrolled: refusal \(peer\)\n\n {2}the peer is in the project but has no proxy\n\n {2}next: inject it/,
  );
  assert.equal(known.stderr, "");
  const unknown = await run(["explain", "enrolled"]);
  assert.equal(unknown.code, 2);
  assert.equal(unknown.stdout, "");
  assert.match(unknown.stderr, /^error: there is no code enrolled; do you mean .*peer_not_enrolled.*\nnext: /);
});

test("wrong usage ends with 2 and says how it is used", async () => {
  for (const args of [["nonsense"], ["explain"], ["status", "-o", "xml"], ["check", "--nope"]]) {
    const { code, stderr } = await run(args);
    assert.equal(code, 2, args.join(" "));
    assert.match(stderr, /error: /);
    assert.doesNotMatch(stderr, /at .*\.ts:/);
  }
  assert.equal((await run(["--help"])).code, 0);
});

test("a name that is empty, as of a variable that is not set, two choices of one, and no duration are wrong usage", async () => {
  for (const [args, says] of [
    [["status", ""], /'namespace'.*empty/],
    [["check", "-n", ""], /--namespace.*empty/],
    [["inject", "-", "-n", ""], /--namespace.*empty/],
    [["status", "-A", "shop"], /-A.*shop/],
    [["install", "--timeout", "soon"], /--timeout.*90s/],
  ] as const) {
    const { code, stderr } = await run(args);
    assert.equal(code, 2, `${args.join(" ")}: ${stderr}`);
    assert.match(stderr, says);
  }
});

test("a kubeconfig that is not there, and a server that is not", async () => {
  const absent = await run(["check", "--kubeconfig", "/nowhere/config"]);
  assert.equal(absent.code, 64);
  assert.match(absent.stderr, /kubeconfig cannot be read: .*\nnext: /);
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-cli-"));
  const file = join(folder, "config");
  const config = {
    clusters: [{ name: "x", cluster: { server: "https://127.0.0.1:1" } }],
    users: [{ name: "x", user: {} }],
    contexts: [{ name: "x", context: { cluster: "x", user: "x" } }],
    "current-context": "x",
  };
  writeFileSync(file, JSON.stringify(config));
  const away = await run(["status", "-A", "--kubeconfig", file]);
  rmSync(folder, { recursive: true });
  assert.equal(away.code, 1);
  assert.match(
    away.stderr,
    /^error: the API server 127.0.0.1:1 does not answer: .*ECONNREFUSED.*\nnext: kubectl cluster-info\n$/,
  );
});

test("what Helm may not do is told by the check that names the rights", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-helm-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const says = (words: string): void =>
    writeFileSync(join(folder, "helm"), `#!/bin/sh\necho '${words}' >&2\nexit 1\n`, { mode: 0o755 });
  const file = join(folder, "config");
  writeFileSync(file, kubeconfigText("https://127.0.0.1:1", "", { token: "x" }));
  for (const [words, next] of [
    [
      'Error: query: failed to query with labels: secrets is forbidden: User "dev" cannot list resource "secrets" in API group ""',
      "tencrypt check --pre: it names the rights that an installation needs",
    ],
    ["Error: the server has asked for the client to provide credentials", "kubectl auth whoami"],
    ["Error: Kubernetes cluster unreachable: dial tcp: i/o timeout", "kubectl cluster-info"],
    ["Error: something else", "tencrypt check"],
  ] as const) {
    says(words);
    const { code, stdout, stderr } = await run(["upgrade", "--dry-run", "--kubeconfig", file], {
      env: { PATH: `${folder}:/usr/bin:/bin` },
    });
    assert.deepEqual([code, stdout, stderr], [1, "", `${words}\nerror: helm get ended with status 1\nnext: ${next}\n`]);
  }
});

test("a reader that has had enough ends nothing but the writing", async () => {
  for (const [args, expected] of [
    [["--help"], 0],
    [["completion", "bash"], 0],
    [["explain", "nonsense"], 2],
  ] as const) {
    const child = spawn(process.execPath, [main, ...args], { env: { PATH, NODE_COMPILE_CACHE } });
    // The pipe is closed long before anything is written to it.
    child.stdout.destroy();
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.equal(code, expected, stderr);
    assert.doesNotMatch(stderr, /EPIPE|at .*:[0-9]+:[0-9]+/);
  }
});

test(
  "a chart that is none ends with 64, and says where it was named",
  whyNoHelm === null ? {} : { skip: whyNoHelm },
  async () => {
    const empty = mkdtempSync(join(tmpdir(), "tencrypt-cli-"));
    for (const chart of ["./nope", "nope", "some/nope", empty, main]) {
      const { code, stdout, stderr } = await runWithHelm(
        process.execPath,
        [main, "install", "--print", "--chart", chart],
        "/nowhere",
      );
      assert.deepEqual([code, stdout], [64, ""], stderr);
      assert.match(stderr, /\nnext: give --chart a folder that holds a Chart\.yaml, or a packaged chart\n$/);
    }
    const values = await runWithHelm(
      process.execPath,
      [main, "install", "--print", "--values", join(empty, "absent.yaml")],
      "/nowhere",
    );
    assert.match(values.stderr, /\nnext: mend the values: /);
    rmSync(empty, { recursive: true });
  },
);

test("inject refuses what is no manifest before it asks a cluster", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-cli-"));
  for (const [file, input, says] of [
    ["-", "hello", /document 1 of - is no object/],
    ["-", "kind: Pod\n---\n- a\n", /document 2 of - is no object/],
    ["-", "a: *x", /- is no YAML.*: .*[Aa]lias/],
    ["-", "a: [", /- is no YAML: /],
    [folder, "", /cannot be read: .*EISDIR/],
    [join(folder, "absent"), "", /cannot be read: .*ENOENT/],
  ] as const) {
    const { code, stdout, stderr } = await run(["inject", file, "--kubeconfig", "/nowhere"], { input });
    assert.deepEqual([code, stdout], [64, ""], stderr);
    assert.match(stderr, says);
    assert.match(stderr, /\nnext: mend the file\n$/);
  }
  rmSync(folder, { recursive: true });
});

test("completes its own commands", async () => {
  assert.match(
    (await run(["completion", "bash"])).stdout,
    /compgen -W "check status inject explain version install upgrade uninstall completion"/,
  );
  assert.equal((await run(["completion", "tcsh"])).code, 2);
});

const podNamed = (name: string): object => ({
  metadata: { name, namespace: "shop" },
  spec: { hostNetwork: name === "net", containers: [{ name: "a", image: "b" }] },
});
const lists = [
  {
    apiVersion: "v1",
    kind: "List",
    items: ["web", "net"].map((name) => ({ apiVersion: "v1", kind: "Pod", ...podNamed(name) })),
  },
  { apiVersion: "v1", kind: "PodList", items: [podNamed("typed")] },
];

const deployments = "/apis/apps/v1/namespaces/tencrypt-system/deployments";
const controllerWith = (env: readonly object[]): Json => ({
  metadata: { name: "tencrypt-controller" },
  spec: {
    replicas: 0,
    selector: { matchLabels: { app: "c" } },
    template: {
      metadata: { labels: { app: "c" } },
      spec: { containers: [{ name: "controller", image: "x/control-plane:0.1.0", env }] },
    },
  },
});

/** With a project of one protected pod and one that is not. */
async function startWithPods(): Promise<ApiServer> {
  const api = await startApiServer();
  await api.objects.namespace("shop", { "tencrypt.io/project": "enabled" });
  await api.objects.pod({ namespace: "shop", name: "bare", ip: "10.1.0.2" });
  await api.objects.pod({ namespace: "shop", name: "good", ip: "10.1.0.3", spec: protectedSpec({ mode: "strict" }) });
  return api;
}

describe("on an API server", why === null ? {} : { skip: why }, () => {
  let api: ApiServer;
  const onApi = (...args: readonly string[]): Promise<Run> => run([...args, "--kubeconfig", api.kubeconfig]);

  before(async () => {
    api = await startWithPods();
  });
  after(() => api?.stop());

  test("check --pre of a cluster that fits", async () => {
    const { code, stdout, stderr } = await onApi("check", "--pre");
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^kubernetes\n {2}✓ API server v1\.36\.3 reachable\n/);
    assert.match(stdout, /0 failed, 0 warnings, 4 passed\n$/);
  });

  test("check without an installation fails, and every finding has its code", async () => {
    const { code, stdout } = await onApi("check", "-o", "json");
    assert.equal(code, 1);
    const findings = JSON.parse(stdout) as readonly { readonly code: string; readonly level: string }[];
    const failed = findings.filter(({ level }) => level === "failed").map((finding) => finding.code);
    assert.deepEqual(failed, ["TC-CP-01", "TC-CP-02", "TC-WH-01", "TC-WH-02", "TC-WH-03", "TC-CA-01", "TC-PRJ-01"]);
  });

  test("status tells protected pods from others", async () => {
    const { code, stdout } = await onApi("status", "shop", "-o", "json");
    assert.equal(code, 0);
    const rows = JSON.parse(stdout) as readonly Readonly<Record<string, unknown>>[];
    assert.deepEqual(
      rows.map(({ pod, protected: isProtected, mode, modeAtLeast }) => [pod, isProtected, mode, modeAtLeast]),
      [
        ["bare", false, null, null],
        ["good", true, null, "strict"],
      ],
    );
    assert.match(String(rows[1]!["certificateEnds"]), /^unknown: /);
    const text = await onApi("status", "shop");
    assert.match(text.stdout, /^NAMESPACE +WORKLOAD +POD +PROTECTED/);
    assert.match(text.stdout, / good .* ≥ strict /);
    assert.match(text.stderr, /1 of 2 pods protected/);
    const none = await onApi("status", "default");
    assert.equal(none.code, 1);
    assert.match(none.stderr, /namespace default is no project.*\nnext: kubectl label namespace default/);
    assert.match(text.stderr, /\nnext: tencrypt explain started_before_project, or tencrypt check\n$/);
    const never = await onApi("status", "kube-system");
    assert.equal(never.code, 1);
    assert.match(never.stderr, /^error: namespace kube-system cannot be a project\nnext: tencrypt status -A /);
    const absent = await onApi("status", "-n", "nosuchnamespace");
    assert.match(absent.stderr, /^error: there is no namespace nosuchnamespace\nnext: tencrypt status -A /);
    assert.equal((await onApi("status", "shop", "-n", "other")).code, 2);
  });
});

describe("on an API server, inject", why === null ? {} : { skip: why }, () => {
  let api: ApiServer;
  before(async () => {
    api = await startWithPods();
  });
  after(() => api?.stop());

  test("needs an installation, and says so", async () => {
    const { code, stderr } = await run(["inject", "-", "--kubeconfig", api.kubeconfig], {
      input: "kind: Pod\nspec: {containers: [{name: a, image: b}]}\n",
    });
    assert.equal(code, 1);
    assert.match(stderr, /^error: Tencrypt is not installed on this cluster: .*\nnext: tencrypt install\n$/);
  });

  test("writes what the webhook would, and leaves the rest alone", async () => {
    for (const name of ["tencrypt-system", "tencrypt-ca"]) await api.objects.namespace(name);
    const env = [
      { name: "TENCRYPT_INIT_IMAGE", value: "x/init:1" },
      { name: "TENCRYPT_PROXY_IMAGE", value: "x/proxy:1" },
      { name: "TENCRYPT_TRUST_DOMAIN", value: "cluster.local" },
      { name: "TENCRYPT_CA_ADDRESS", value: "tencrypt-ca.tencrypt-ca.svc:15012" },
    ];
    await api.admin.create(deployments, controllerWith(env));
    const { certificate } = newRoot(Date.now());
    const rootMap = { metadata: { name: "tencrypt-root" }, data: { "ca.crt": certificate } };
    await api.admin.create("/api/v1/namespaces/tencrypt-ca/configmaps", rootMap);
    const input =
      "kind: ConfigMap\nmetadata: {name: a}\n---\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec: {containers: [{name: a, image: b}]}\n---\nkind: Pod\nmetadata: {name: net, namespace: shop}\nspec: {hostNetwork: true, containers: [{name: a, image: b}]}\n";
    const { code, stdout, stderr } = await run(["inject", "-", "--kubeconfig", api.kubeconfig], { input });
    assert.equal(code, 0, stderr);
    const [map, web, net] = parseAllDocuments(stdout).map(
      (document) => document.toJS() as { kind: string; spec?: { initContainers?: { image: string }[] } },
    );
    assert.equal(map?.kind, "ConfigMap");
    assert.deepEqual(
      web?.spec?.initContainers?.map(({ image }) => image),
      ["x/init:1", "x/proxy:1"],
    );
    assert.equal(net?.spec?.initContainers, undefined);
    assert.match(stderr, /^Pod\/net not injected: host_network: /);
  });

  test("refuses what the controller would not start with, every problem at once", async () => {
    const path = `${deployments}/tencrypt-controller`;
    const good = await api.admin.get(path);
    await api.admin.patch(path, controllerWith([{ name: "TENCRYPT_PROXY_UID", value: "root" }]));
    const { code, stderr } = await run(["inject", "-", "--kubeconfig", api.kubeconfig], { input: "kind: Pod\n" });
    await api.admin.patch(path, { spec: good["spec"] });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^error: the installed controller's .*TENCRYPT_PROXY_UID is "root": expected .*\nnext: kubectl /,
    );
  });

  test("injects no root where none is published", async () => {
    const path = "/api/v1/namespaces/tencrypt-ca/configmaps/tencrypt-root";
    const { data } = await api.admin.get(path);
    for (const published of [null, "", "garbage"]) {
      await api.admin.patch(path, { data: { "ca.crt": published } });
      const input = "kind: Pod\nspec: {containers: [{name: a}]}\n";
      const { code, stdout, stderr } = await run(["inject", "-", "--kubeconfig", api.kubeconfig], { input });
      assert.deepEqual([code, stdout], [1, ""], stderr);
      assert.match(stderr, /^error: no root is published: .* has no certificate as ca\.crt\nnext: tencrypt check\n$/);
    }
    await api.admin.patch(path, { data });
  });

  test("takes fields with nothing behind them for absent, as kubectl does", async () => {
    const input =
      "kind: ConfigMap\nmetadata:\n---\nkind: Pod\nmetadata: {name: web, namespace: , labels: {a: }}\nspec: {containers: [{name: a}]}\n";
    const args = ["inject", "-", "-n", "shop", "--kubeconfig", api.kubeconfig];
    const { code, stdout, stderr } = await run(args, { input });
    assert.deepEqual([code, stderr], [0, ""]);
    const [map, web] = parseAllDocuments(stdout).map((document) => document.toJS() as Json);
    assert.deepEqual(map, { kind: "ConfigMap", metadata: null });
    const { initContainers } = web!["spec"] as { readonly initContainers: readonly unknown[] };
    assert.equal(initContainers.length, 2);
  });

  test("says what it left alone, and refuses a pod that cannot be one", async () => {
    const inject = (input: string): Promise<Run> => run(["inject", "-", "--kubeconfig", api.kubeconfig], { input });
    const rollout = "kind: Rollout\nmetadata: {name: x}\nspec: {template: {spec: {containers: [{name: a}]}}}\n";
    const left = await inject(
      `${rollout}---\nkind: ConfigMap\nmetadata: {name: a}\ndata: {country: "NO", mode: 0400}\n`,
    );
    assert.equal(left.code, 0, left.stderr);
    assert.equal(left.stderr, "Rollout/x: no pod found, unchanged\n");
    assert.match(left.stdout, /country: "NO"\n {2}mode: 256\n$/);
    const broken = await inject("kind: Pod\nmetadata: {name: x}\nspec: {containers: [null]}\n");
    assert.deepEqual([broken.code, broken.stdout], [64, ""]);
    assert.match(
      broken.stderr,
      /^error: Pod\/x cannot be injected: spec\.containers is no list of objects with a name\n/,
    );
  });

  test("looks into lists, such as kubectl prints", async () => {
    const input = lists.map((list) => JSON.stringify(list)).join("\n---\n");
    const { code, stdout, stderr } = await run(["inject", "-", "--kubeconfig", api.kubeconfig], { input });
    assert.equal(code, 0, stderr);
    type Item = { kind: string; metadata: { name: string }; spec: { initContainers?: { name: string }[] } };
    const items = parseAllDocuments(stdout).flatMap((document) => (document.toJS() as { items: Item[] }).items);
    assert.deepEqual(
      items.map(({ kind, metadata, spec }) => [kind, metadata.name, spec.initContainers?.length]),
      [
        ["Pod", "web", 2],
        ["Pod", "net", undefined],
        ["Pod", "typed", 2],
      ],
    );
    assert.match(stderr, /^Pod\/net not injected: host_network: /);
  });
});

describe("on an API server, somebody who may not see all of it", why === null ? {} : { skip: why }, () => {
  let api: ApiServer;
  before(async () => {
    api = await startWithPods();
  });
  after(() => api?.stop());

  test("who administers one project alone can ask for it, and is told what else is not allowed", async () => {
    await api.objects.serviceAccount("shop", "dev");
    const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop";
    // Of what the role `view` has; that one is put together by a controller, which does not run here.
    await api.admin.create(`${rbac}/roles`, {
      metadata: { name: "dev" },
      rules: [{ apiGroups: [""], resources: ["namespaces", "pods"], verbs: ["get", "list", "watch"] }],
    });
    await api.admin.create(`${rbac}/rolebindings`, {
      metadata: { name: "dev" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "dev" },
      subjects: [{ kind: "ServiceAccount", namespace: "shop", name: "dev" }],
    });
    const audience = "https://kubernetes.default.svc.cluster.local";
    const kubeconfig = api.kubeconfigOf(
      await api.objects.token({ namespace: "shop", serviceAccount: "dev", audience }),
    );
    const asDev = (...args: readonly string[]): Promise<Run> => run([...args, "--kubeconfig", kubeconfig]);
    for (const args of [
      ["status", "shop"],
      ["status", "-n", "shop"],
    ]) {
      const { code, stdout, stderr } = await asDev(...args);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /shop +Pod\/good +good +yes +≥ strict +.*unknown: you may not forward ports of this pod/);
    }
    const { code, stdout } = await asDev("check", "-n", "shop", "-o", "json");
    assert.equal(code, 1);
    const findings = JSON.parse(stdout) as readonly {
      readonly code: string;
      readonly level: string;
      readonly section: string;
    }[];
    assert.ok(findings.every(({ section }) => section === "project shop"));
    assert.deepEqual(
      findings.filter(({ level }) => level !== "good").map((each) => [each.code, each.level]),
      [
        ["TC-PRJ-01", "failed"],
        ["TC-PRJ-04", "warning"],
      ],
    );
    assert.match((await asDev("check", "-n", "default")).stderr, /^error: you may not do this: .*"default"/);
  });

  test("a user who may not look is told what is missing", async () => {
    await api.objects.serviceAccount("default", "nobody");
    const token = await api.objects.token({
      namespace: "default",
      serviceAccount: "nobody",
      audience: "https://kubernetes.default.svc.cluster.local",
    });
    const { code, stderr } = await run(["status", "-A", "--kubeconfig", api.kubeconfigOf(token)]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^error: you may not do this: .*cannot list resource "namespaces".*\nnext: kubectl auth can-i --list\n$/,
    );
  });
});
