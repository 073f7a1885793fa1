/**
 * A cluster with the chart installed, and what tests do there: projects, pods with small programs in them, calls out of
 * pods, what proxies logged, what crossed a bridge. One cluster a file, but for the files that share one
 * (test/runner/shared-cluster.ts): TENCRYPT_E2E_CLUSTER then names it, and it is used as it is and stays. That of
 * `npm run cluster:up` is `dev/250`.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { chart, releaseNamespace, valueArguments } from "../chart/helm.ts";
import type { Values } from "../chart/helm.ts";
import type { Json } from "../cluster/client.ts";
import { Cluster, readPlace } from "../cluster/cluster.ts";
import type { Answer } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { cacheFolder } from "../cluster/set-up.ts";
import { startCapture } from "../topology/capture.ts";
import type { Capture } from "../topology/capture.ts";
import { must } from "../topology/child.ts";
import type { Child } from "../topology/child.ts";

/** What the chart is installed with where files share a cluster: the collector is there in one of them. */
export const valuesOfAll: Values = { "telemetry.otlpEndpoint": "http://collector.telemetry.svc:4318" };

export const image = "localhost/tencrypt-test/node:1";

/** Of a pod. */
export type Place = { readonly namespace: string; readonly pod: string };

/** Of the ca, by its gRPC code; 0 with a certificate. */
export type CaAnswer = { readonly code: number; readonly details?: string };

export type LogLine = Readonly<Record<string, unknown>> & { readonly event: string };

export type AppOptions = {
  readonly serviceAccount?: string;
  readonly replicas?: number;
  readonly node?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Added to the container. */
  readonly container?: Json;
  /** Added to the pod's spec. */
  readonly spec?: Json;
};

/** Answers every request with its pod's name, the address that it sees as source, and whatever header `x-canary` said. */
export const httpServer = `
  const { createServer } = require("node:http"), { hostname } = require("node:os");
  const server = createServer((request, response) => {
    response.setHeader("x-canary", request.headers["x-canary"] ?? "");
    response.end(hostname() + " " + request.socket.remoteAddress + "\\n");
  });
  server.keepAliveTimeout = 60000;
  server.listen(8080);
  process.on("SIGTERM", () => setTimeout(() => process.exit(0), 2000));
`;

/** A pod that only waits for calls of the test. */
export const idle = `process.on("SIGTERM", () => process.exit(0)); setInterval(() => {}, 1 << 30);`;

export const podSpec = (
  script: string,
  { serviceAccount = "default", node, container = {}, spec = {} }: AppOptions,
): Json => ({
  serviceAccountName: serviceAccount,
  terminationGracePeriodSeconds: 10,
  ...(node === undefined ? {} : { nodeSelector: { "kubernetes.io/hostname": node } }),
  containers: [{ name: "app", image, imagePullPolicy: "Never", command: ["node", "-e", script], ...container }],
  ...spec,
});

const ready = { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 };

/** A process of the pod, as the machine numbers it; of several, one whose command says this. */
function processOf(uid: string, command = ""): string {
  const found = readdirSync("/proc").find((name) => {
    if (!/^[0-9]+$/.test(name)) return false;
    try {
      const isOfPod = readFileSync(`/proc/${name}/cgroup`, "utf8").includes(`pod${uid}/`);
      return isOfPod && readFileSync(`/proc/${name}/cmdline`, "utf8").includes(command);
    } catch {
      return false; // it ended meanwhile
    }
  });
  return found ?? assert.fail(`no process ${command} of pod ${uid}`);
}

export class Mesh {
  readonly cluster: Cluster;
  readonly #stays: boolean;
  readonly #captures: Child[] = [];

  private constructor(cluster: Cluster, stays: boolean) {
    this.cluster = cluster;
    this.#stays = stays;
  }

  static async start({
    nodes = 1,
    values = {},
    prepare = () => Promise.resolve(),
  }: {
    readonly nodes?: number;
    readonly values?: Values;
    /** Before the chart is installed. */
    readonly prepare?: (cluster: Cluster) => Promise<void>;
  } = {}): Promise<Mesh> {
    const running = process.env["TENCRYPT_E2E_CLUSTER"];
    if (running !== undefined) return new Mesh(new Cluster(readPlace(running), false), true);
    const mesh = new Mesh(await Cluster.start({ nodes }), false);
    try {
      await prepare(mesh.cluster);
      const where = ["-n", releaseNamespace, "--create-namespace", "--wait", "--timeout=120s"];
      const { code, stderr } = await mesh.cluster.helm(
        "install",
        "tencrypt",
        chart,
        ...where,
        ...valueArguments(values),
      );
      assert.equal(code, 0, stderr);
      return mesh;
    } catch (error) {
      await mesh.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    for (const child of this.#captures) child.kill();
    await Promise.all(this.#captures.map((child) => child.exited));
    if (this.#stays) this.cluster.admin.close();
    else await this.cluster.stop();
  }

  /** A labelled namespace; annotations without their prefix. */
  async project(name: string, annotations: Readonly<Record<string, string>> = {}): Promise<string> {
    const metadata = {
      name,
      labels: { "tencrypt.io/project": "enabled" },
      annotations: Object.fromEntries(Object.entries(annotations).map(([key, value]) => [`tencrypt.io/${key}`, value])),
    };
    const made = await this.cluster.admin.create("/api/v1/namespaces", { metadata });
    await this.cluster.objects.serviceAccount(name, "default");
    return (made["metadata"] as { readonly uid: string }).uid;
  }

  /** A namespace, or a pod in it; annotations without their prefix. */
  annotate(namespace: string, annotations: Readonly<Record<string, string | null>>, pod?: string): Promise<Json> {
    const prefixed = Object.fromEntries(
      Object.entries(annotations).map(([key, value]) => [`tencrypt.io/${key}`, value]),
    );
    const path = `/api/v1/namespaces/${namespace}${pod === undefined ? "" : `/pods/${pod}`}`;
    return this.cluster.admin.patch(path, { metadata: { annotations: prefixed } });
  }

  /** Objects of any kind that the API knows, in one namespace. */
  async apply(namespace: string, ...objects: readonly Json[]): Promise<void> {
    const list = { apiVersion: "v1", kind: "List", items: objects };
    const child = spawn("kubectl", ["--kubeconfig", this.cluster.kubeconfig, "-n", namespace, "apply", "-f", "-"], {
      env: { PATH: `${join(cacheFolder(), "bin")}:${process.env["PATH"]}`, HOME: this.cluster.place.state },
      stdio: ["pipe", "ignore", "pipe"],
    });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
    child.stdin.end(JSON.stringify(list));
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.equal(code, 0, errors);
  }

  /** A Deployment, and a Service of its name from port 80 to 8080. Resolves when it is rolled out. */
  async deploy(namespace: string, name: string, script = httpServer, options: AppOptions = {}): Promise<void> {
    const labels = { app: name };
    const container = { readinessProbe: ready, ...options.container };
    const template = {
      metadata: { labels, annotations: options.annotations ?? {} },
      spec: podSpec(script, { ...options, container }),
    };
    await this.apply(
      namespace,
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name },
        spec: { replicas: options.replicas ?? 1, selector: { matchLabels: labels }, template },
      },
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name },
        spec: { selector: labels, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
      },
    );
    await this.rolledOut(namespace, name);
  }

  async rolledOut(namespace: string, name: string): Promise<void> {
    await this.cluster.kubectl("-n", namespace, "rollout", "status", `deployment/${name}`, "--timeout=90s");
  }

  /** A pod of its own. Resolves when it is ready. */
  async pod(namespace: string, name: string, script = idle, options: AppOptions = {}): Promise<void> {
    const metadata = { name, labels: { app: name }, annotations: options.annotations ?? {} };
    await this.apply(namespace, { apiVersion: "v1", kind: "Pod", metadata, spec: podSpec(script, options) });
    await this.cluster.kubectl("-n", namespace, "wait", `pod/${name}`, "--for=condition=Ready", "--timeout=90s");
  }

  async pods(
    namespace: string,
    app: string,
  ): Promise<readonly { readonly name: string; readonly ip: string; readonly node: string }[]> {
    const { items } = (await this.cluster.admin.get(
      `/api/v1/namespaces/${namespace}/pods?labelSelector=app%3D${app}`,
    )) as unknown as {
      readonly items: readonly {
        metadata: { name: string; deletionTimestamp?: string };
        spec: { nodeName: string };
        status: { podIP?: string };
      }[];
    };
    return items
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata, spec, status }) => ({ name: metadata.name, ip: status.podIP ?? "", node: spec.nodeName }));
  }

  /** Of all pods of the namespace. */
  async names(namespace: string): Promise<readonly string[]> {
    const text = await this.cluster.kubectl("-n", namespace, "get", "pods", "-o", "jsonpath={.items[*].metadata.name}");
    return text.split(" ").filter((name) => name !== "");
  }

  exec(namespace: string, pod: string, ...command: readonly string[]): Promise<Answer> {
    return this.cluster.run("kubectl", ["-n", namespace, "exec", pod, "-c", "app", "--", ...command]);
  }

  /** A program in a pod that says on stderr when it has started, and ends with its standard input. */
  execWithInput(namespace: string, pod: string, ...command: readonly string[]): RunningProgram {
    const args = [
      "--kubeconfig",
      this.cluster.kubeconfig,
      "-n",
      namespace,
      "exec",
      "-i",
      pod,
      "-c",
      "app",
      "--",
      ...command,
    ];
    const child = spawn("kubectl", args, {
      env: { PATH: `${join(cacheFolder(), "bin")}:${process.env["PATH"]}`, HOME: this.cluster.place.state },
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
    return {
      started: new Promise((resolve) => child.stderr.once("data", () => resolve())),
      finish: async () => {
        child.stdin.end();
        await closed;
        return output;
      },
    };
  }

  /** A TypeScript program of this machine in a pod's network namespace: its calls come from the pod's address. */
  async runAt({ namespace, pod }: Place, program: string, env: Readonly<Record<string, string>>): Promise<string> {
    const args = ["-t", processOf(await this.#uid(namespace, pod)), "-n", "--", process.execPath, program];
    return new Promise<string>((resolve, reject) => {
      execFile("nsenter", args, { env: { PATH: process.env["PATH"], ...env } }, (error, text, errors) =>
        error === null ? resolve(text) : reject(new Error(errors, { cause: error })),
      );
    });
  }

  #uid(namespace: string, pod: string): Promise<string> {
    return this.cluster.kubectl("-n", namespace, "get", "pod", pod, "-o", "jsonpath={.metadata.uid}");
  }

  /** Kills (SIGKILL) a process of the pod, by what its command says. */
  async kill({ namespace, pod }: Place, command: string): Promise<void> {
    process.kill(Number(processOf(await this.#uid(namespace, pod), command)), "SIGKILL");
  }

  /** Ends the pod's proxy; the kubelet starts it again. The command may end with it, which is no failure. */
  async endProxy(namespace: string, pod: string): Promise<void> {
    const end = ["-c", "tencrypt-proxy", "--", "node", "-e", "process.kill(1, 'SIGTERM')"];
    await this.cluster.run("kubectl", ["-n", namespace, "exec", pod, ...end]);
  }

  /** The token that the pod's proxy shows the ca. */
  token(namespace: string, pod: string): Promise<string> {
    const read = "process.stdout.write(require('node:fs').readFileSync('/var/run/tencrypt/token/token', 'utf8'))";
    return this.#inProxy(namespace, pod, read);
  }

  /** What the pod's proxy says of itself on its admin port. */
  async status<Status>(namespace: string, pod: string): Promise<Status> {
    const ask = "fetch('http://127.0.0.1:15000/status').then((r) => r.text()).then(console.log)";
    return JSON.parse(await this.#inProxy(namespace, pod, ask)) as Status;
  }

  #inProxy(namespace: string, pod: string, script: string): Promise<string> {
    return this.cluster.kubectl("-n", namespace, "exec", pod, "-c", "tencrypt-proxy", "--", "node", "-e", script);
  }

  /** Asks the ca for a certificate, in the name of whoever is named, with a token that need not be of the pod from which it asks. */
  async askCa(from: Place, token: string, name = ""): Promise<CaAnswer> {
    const [ca, root] = await Promise.all([this.caAddress(), this.root()]);
    const env = { CA: ca, TOKEN: token, ROOT: root, NAME: name };
    return JSON.parse(await this.runAt(from, join(import.meta.dirname, "thief.ts"), env)) as CaAnswer;
  }

  /** What the ca's replicas logged of refused certificates. */
  async caRefusals(): Promise<readonly LogLine[]> {
    const pods = await this.names("tencrypt-ca");
    const logs = await Promise.all(pods.map((pod) => this.log("tencrypt-ca", pod, "-c", "ca")));
    return logs.flat().filter(({ event }) => event === "certificate_refused");
  }

  /** PEM. */
  root(): Promise<string> {
    return this.cluster.kubectl(
      "-n",
      "tencrypt-ca",
      "get",
      "configmap",
      "tencrypt-root",
      "-o",
      "jsonpath={.data.ca\\.crt}",
    );
  }

  /** Of the ca's Service, `host:port`. */
  async caAddress(): Promise<string> {
    const ip = await this.cluster.kubectl(
      "-n",
      "tencrypt-ca",
      "get",
      "service",
      "tencrypt-ca",
      "-o",
      "jsonpath={.spec.clusterIP}",
    );
    return `${ip}:15012`;
  }

  /** A request out of a pod; `text` is the body, or empty where there was no answer. */
  async call(
    namespace: string,
    pod: string,
    url: string,
    canary = "",
  ): Promise<{ readonly ok: boolean; readonly text: string }> {
    const { code, stdout } = await this.exec(
      namespace,
      pod,
      "curl",
      "-sS",
      "-f",
      "-m",
      "8",
      "-H",
      `x-canary: ${canary}`,
      url,
    );
    return { ok: code === 0, text: stdout };
  }

  /** What a pod's proxy logged, or the container that kubectl's arguments name. */
  async log(namespace: string, pod: string, ...of: readonly string[]): Promise<readonly LogLine[]> {
    const container = of.length > 0 ? of : ["-c", "tencrypt-proxy"];
    const text = await this.cluster.kubectl("-n", namespace, "logs", pod, ...container);
    return text
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as LogLine);
  }

  /** Waits for a refusal in a proxy's log, which is written within a second of it. */
  refusal(namespace: string, pod: string, reason: string, withinMs = 10_000): Promise<LogLine> {
    return eventually(async () => {
      const lines = await this.log(namespace, pod);
      const found = lines.findLast(({ event, reason: why }) => event === "connection_refused" && why === reason);
      assert.ok(
        found !== undefined,
        `no ${reason} among ${JSON.stringify(lines.filter(({ event }) => event === "connection_refused"))}`,
      );
      return found;
    }, withinMs);
  }

  /** Everything that crosses an interface of a node (`cni0`), or of the machine (node null). */
  async capture(node: string | null, device: string): Promise<Capture> {
    const { state, index } = this.cluster.place;
    const netns = `/proc/${node === null ? "self" : this.cluster.pidOf(node)}/ns/net`;
    // The last address of the range, to which no pod and no node comes; without a neighbour no packet would leave.
    const marker = node === null ? `10.222.${index}.254` : `10.244.${node.slice(1)}.254`;
    const neighbour = `neigh replace ${marker} lladdr 02:00:00:00:00:fe dev ${device} nud permanent`;
    await must(["nsenter", `--net=${netns}`, "ip", ...neighbour.split(" ")]);
    const file = join(state, `capture-${this.#captures.length}.pcap`);
    return startCapture({ netns, device, marker }, file, (child) => this.#captures.push(child));
  }
}

export type RunningProgram = { readonly started: Promise<void>; finish(): Promise<string> };
