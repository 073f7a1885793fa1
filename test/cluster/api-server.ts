/**
 * A real API server on loopback with nothing behind it but its store and the controllers that need no node: for tests
 * that need the API and no running pod. No root; port chosen by the kernel; up in seconds; nothing stays behind, also
 * when the test is killed.
 *
 * Pods are objects only: `objects` sets what the scheduler and kubelet would have set.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { KubernetesClient } from "./client.ts";
import { apiServerArguments, controllerManagerArguments, etcdArguments } from "./control-plane.ts";
import { Daemon } from "./daemon.ts";
import { Keys, kubeconfigText } from "./keys.ts";
import { Objects } from "./objects.ts";
import { setUp } from "./set-up.ts";

/** Those whose work a test can see without a node; the rest would only wait for kubelets. */
const controllers = [
  "serviceaccount-controller",
  "root-ca-certificate-publisher-controller",
  "namespace-controller",
  "garbage-collector-controller",
  "deployment-controller",
  "replicaset-controller",
  "job-controller",
  "endpointslice-controller",
];

const startDeadlineMs = 60_000;
const folderPrefix = "tencrypt-api-";

export type ApiServer = {
  readonly url: string;
  /** Path of the administrator's kubeconfig. */
  readonly kubeconfig: string;
  readonly authorityFile: string;
  /** The administrator's. */
  readonly admin: KubernetesClient;
  readonly objects: Objects;
  /** For a service account of a test: what its token may do is what RBAC says. */
  client(token: string): KubernetesClient;
  /** Writes a kubeconfig that uses the token; returns its path. */
  kubeconfigOf(token: string): string;
  kubectl(...args: readonly string[]): Promise<string>;
  /** The server is away from now on: its port refuses. */
  halt(): Promise<void>;
  /** It is back at the same port with all that was stored. */
  resume(): Promise<void>;
  stop(): Promise<void>;
};

type Reservation = { readonly port: number; readonly server: Server };

/**
 * A port that nobody else can get: a listener with SO_REUSEPORT holds it until the API server, which sets that option
 * too, listens there itself.
 */
async function reservePort(): Promise<Reservation> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject);
    server.listen({ host: "127.0.0.1", port: 0, reusePort: true }, resolve);
  });
  return { port: (server.address() as AddressInfo).port, server };
}

/** Of runs whose process is gone. The programs went with it. */
function removeStaleFolders(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = new RegExp(`^${folderPrefix}([0-9]+)-`).exec(name)?.[1];
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

class LocalApiServer implements ApiServer {
  readonly url: string;
  readonly kubeconfig: string;
  readonly authorityFile: string;
  readonly admin: KubernetesClient;
  readonly objects: Objects;
  readonly #place: { readonly folder: string; readonly path: string };
  readonly #keys: Keys;
  readonly #reservation: Reservation;
  readonly #serverArguments: readonly string[];
  readonly #clients: KubernetesClient[] = [];
  readonly #onExit = (): void => this.#removeFolder();
  #server: Daemon | null = null;
  #others: readonly Daemon[] = [];
  #tokens = 0;

  constructor(place: { readonly folder: string; readonly path: string }, reservation: Reservation) {
    this.#place = place;
    this.#reservation = reservation;
    this.url = `https://127.0.0.1:${reservation.port}`;
    this.#keys = new Keys(join(place.folder, "keys"));
    this.authorityFile = this.#keys.authority.certificateFile;
    this.kubeconfig = this.#keys.kubeconfig("admin", this.url, { user: "admin", group: "system:masters" });
    this.admin = new KubernetesClient(this.url, this.#keys.authority.pem, {
      kind: "certificate",
      certificateFile: join(this.#keys.folder, "admin.crt"),
      keyFile: join(this.#keys.folder, "admin.key"),
    });
    this.objects = new Objects(this.admin);
    this.#serverArguments = [
      // Nobody but this machine is meant to reach it: the address is of those kept for documentation (RFC 5737).
      ...apiServerArguments(this.#keys, { bind: "127.0.0.1", advertise: "192.0.2.1", port: reservation.port }),
      "--endpoint-reconciler-type=none",
      "--permit-port-sharing=true",
    ];
    process.once("exit", this.#onExit);
  }

  async start(): Promise<void> {
    this.#others = [new Daemon("etcd", etcdArguments(), this.#place)];
    await this.#startServer();
    const manager = new Daemon(
      "controller-manager",
      [
        ...controllerManagerArguments(this.#keys, this.url),
        "--secure-port=0",
        `--controllers=${controllers.join(",")}`,
      ],
      this.#place,
    );
    this.#others = [...this.#others, manager];
    await this.#until("controller-manager", async () => {
      await this.admin.get("/api/v1/namespaces/default/serviceaccounts/default");
    });
  }

  client(token: string): KubernetesClient {
    const client = new KubernetesClient(this.url, this.#keys.authority.pem, { kind: "token", token });
    this.#clients.push(client);
    return client;
  }

  kubeconfigOf(token: string): string {
    const name = `token-${++this.#tokens}`;
    return this.#keys.write(`${name}.kubeconfig`, kubeconfigText(this.url, this.authorityFile, { token }));
  }

  async kubectl(...args: readonly string[]): Promise<string> {
    const env = { PATH: this.#place.path, KUBECONFIG: this.kubeconfig, HOME: this.#place.folder };
    const { stdout } = await promisify(execFile)("kubectl", args, { env, maxBuffer: 1 << 26 });
    return stdout;
  }

  async halt(): Promise<void> {
    await this.#server?.kill();
    this.#server = null;
  }

  async resume(): Promise<void> {
    if (this.#server === null) await this.#startServer();
  }

  async stop(): Promise<void> {
    for (const client of [this.admin, ...this.#clients]) client.close();
    const daemons = [...this.#others, ...(this.#server === null ? [] : [this.#server])];
    await Promise.all(daemons.map((daemon) => daemon.kill()));
    this.#reservation.server.close();
    process.off("exit", this.#onExit);
    this.#removeFolder();
  }

  async #startServer(): Promise<void> {
    this.#server = new Daemon("kube-apiserver", this.#serverArguments, this.#place);
    await this.#until("kube-apiserver", async () => {
      await this.admin.get("/readyz");
      this.#reservation.server.close();
      await this.admin.get("/readyz");
    });
  }

  async #until(what: string, attempt: () => Promise<void>): Promise<void> {
    const deadline = performance.now() + startDeadlineMs;
    for (;;) {
      try {
        await attempt();
        return;
      } catch (error) {
        const daemons = [...this.#others, ...(this.#server === null ? [] : [this.#server])];
        const ended = daemons.find((daemon) => daemon.hasEnded);
        if (ended === undefined && performance.now() < deadline) {
          await pause(50);
          continue;
        }
        throw new Error(`${what} does not answer\n${(ended ?? daemons.at(-1))?.tail() ?? ""}`, { cause: error });
      }
    }
  }

  #removeFolder(): void {
    rmSync(this.#place.folder, { recursive: true, force: true });
  }
}

/** Null where it can be started, else the reason to skip a test with. */
export function whyNoApiServer(): string | null {
  const ready = setUp("api");
  return ready.kind === "ready" ? null : ready.why;
}

export async function startApiServer(): Promise<ApiServer> {
  const ready = setUp("api");
  if (ready.kind === "impossible") throw new Error(ready.why);
  removeStaleFolders();
  const folder = mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  const server = new LocalApiServer({ folder, path: ready.path }, await reservePort());
  try {
    await server.start();
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}
