/** The real ca and controllers in this process on a real API server, and pods that hold real certificates. */
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { credentials, Metadata as CallMetadata } from "@grpc/grpc-js";
import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import { readConfig as readCaConfig } from "../../../ca/config.ts";
import { start as startCa } from "../../../ca/start.ts";
import type { RunningCa } from "../../../ca/start.ts";
import { readConfig } from "../../../controller/config.ts";
import { start } from "../../../controller/start.ts";
import type { RunningController } from "../../../controller/start.ts";
import { systemClock } from "../../../lib/clock/clock.ts";
import type { Clock } from "../../../lib/clock/clock.ts";
import { createLog } from "../../../lib/log/log.ts";
import { IstioCertificateServiceClient } from "../../../lib/proto/gen/istio/v1/auth/ca.ts";
import { DirectoryClient } from "../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import type { LookupResponse, Update, WatchRequest } from "../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { createCsr } from "../../../lib/x509/csr.ts";
import { startApiServer } from "../../cluster/api-server.ts";
import type { ApiServer } from "../../cluster/api-server.ts";
import type { Metadata, PodOptions } from "../../cluster/objects.ts";
import { initImage, protectedSpec, proxyImage } from "../../cluster/protected-pod.ts";

export type LogLine = Readonly<Record<string, unknown>> & { readonly event: string };
export type Leaf = { readonly key: string; readonly chain: string };

export type Controller = RunningController & { readonly lines: readonly LogLine[] };

export class Rig {
  readonly api: ApiServer;
  readonly ca: RunningCa;
  readonly #folder: string;
  readonly #stops: (() => Promise<void>)[] = [];
  #pods = 0;

  private constructor(api: ApiServer, ca: RunningCa, folder: string) {
    this.api = api;
    this.ca = ca;
    this.#folder = folder;
  }

  static async start(): Promise<Rig> {
    const api = await startApiServer();
    process.env["KUBECONFIG"] = api.kubeconfig;
    for (const name of ["tencrypt-ca", "tencrypt-system"]) await api.objects.namespace(name);
    await api.objects.serviceAccount("tencrypt-system", "tencrypt-controller");
    const config = readCaConfig({
      TENCRYPT_CA_LISTEN: "127.0.0.1:0",
      TENCRYPT_TRUST_DOMAIN: "cluster.local",
      TENCRYPT_AUTHENTICATOR: "kubernetes",
      TENCRYPT_INIT_IMAGES: initImage,
      TENCRYPT_PROXY_IMAGES: proxyImage,
      // Calls come over loopback, and every pod here has an address of its own.
      TENCRYPT_CA_SOURCE_CHECK: "warn",
      TENCRYPT_CA_STORE: "kubernetes",
      TENCRYPT_CA_RATE_LIMIT: "1000",
      TENCRYPT_CA_RATE_BURST: "1000",
    });
    const ca = await startCa(config, systemClock, createLog({ level: "error", now: Date.now, write: () => {} }));
    const rig = new Rig(api, ca, mkdtempSync(join(tmpdir(), "tencrypt-controller-")));
    await rig.#controllerPod();
    return rig;
  }

  async controller(env: Readonly<Record<string, string>> = {}, clock: Clock = systemClock): Promise<Controller> {
    const lines: LogLine[] = [];
    const write = (line: string): void => void lines.push(JSON.parse(line) as LogLine);
    const config = readConfig({
      TENCRYPT_TRUST_DOMAIN: "cluster.local",
      TENCRYPT_NAMESPACE: "tencrypt-system",
      TENCRYPT_POD_NAME: "controller-1",
      TENCRYPT_POD_UID: "unused",
      TENCRYPT_CA_ADDRESS: `127.0.0.1:${this.ca.port}`,
      TENCRYPT_TOKEN_FILE: join(this.#folder, "token"),
      TENCRYPT_WEBHOOK_LISTEN: "127.0.0.1:0",
      TENCRYPT_DIRECTORY_LISTEN: "127.0.0.1:0",
      TENCRYPT_METRICS_PORT: "0",
      TENCRYPT_INIT_IMAGE: "localhost/tencrypt/init:test",
      TENCRYPT_PROXY_IMAGE: proxyImage,
      ...env,
    });
    const running = await start(config, clock, createLog({ level: "info", now: Date.now, write }));
    this.#stops.push(() => running.stop());
    await running.ready();
    return { ...running, lines };
  }

  async project(name: string): Promise<Metadata> {
    const made = await this.api.objects.namespace(name, { "tencrypt.io/project": "enabled" });
    await this.api.objects.serviceAccount(name, "cart");
    return made;
  }

  /** Protected unless `spec` says otherwise, with an address of its own. */
  pod(namespace: string, name: string, options: Partial<PodOptions> = {}): Promise<Metadata> {
    return this.api.objects.pod({
      namespace,
      name,
      serviceAccount: "cart",
      ip: `10.2.0.${++this.#pods}`,
      spec: protectedSpec(),
      ...options,
    });
  }

  async leafOf(pod: Metadata, serviceAccount = "cart"): Promise<Leaf> {
    const token = await this.api.objects.token({
      namespace: pod.namespace,
      serviceAccount,
      audience: "tencrypt-ca",
      pod,
    });
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    const metadata = new CallMetadata();
    metadata.set("authorization", `Bearer ${token}`);
    const client = new IstioCertificateServiceClient(
      `127.0.0.1:${this.ca.port}`,
      await this.#channel(null),
      channelOptions,
    );
    const request = { csr: createCsr(privateKey), validityDuration: 0n, metadata: [] };
    const chain = await new Promise<readonly string[]>((resolve, reject) => {
      client.createCertificate(request, metadata, (error, response) =>
        error === null ? resolve(response.certChain) : reject(error),
      );
    }).finally(() => client.close());
    return { key: privateKey.export({ type: "pkcs8", format: "pem" }), chain: chain.slice(0, 2).join("") };
  }

  async directory(controller: Controller, leaf: Leaf): Promise<DirectoryReader> {
    const address = `127.0.0.1:${controller.directory.port}`;
    const reader = new DirectoryReader(new DirectoryClient(address, await this.#channel(leaf), channelOptions));
    this.#stops.push(async () => reader.close());
    return reader;
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.reverse()) await stop();
    await this.ca.stop();
    delete process.env["KUBECONFIG"];
    await this.api.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #controllerPod(): Promise<void> {
    const pod = await this.pod("tencrypt-system", "controller-1", { serviceAccount: "tencrypt-controller", spec: {} });
    const token = await this.api.objects.token({
      namespace: "tencrypt-system",
      serviceAccount: "tencrypt-controller",
      audience: "tencrypt-ca",
      pod,
    });
    writeFileSync(join(this.#folder, "token"), token, { mode: 0o600 });
  }

  async #channel(leaf: Leaf | null) {
    const map = await this.api.admin.get("/api/v1/namespaces/tencrypt-ca/configmaps/tencrypt-root");
    const ca = (map["data"] as { readonly "ca.crt": string })["ca.crt"];
    const own = leaf === null ? {} : { key: leaf.key, cert: leaf.chain };
    return credentials.createFromSecureContext(createSecureContext({ ca, ...own, minVersion: "TLSv1.3" }), {
      checkServerIdentity: () => undefined,
    });
  }
}

const channelOptions = { "grpc.ssl_target_name_override": "tencrypt", "grpc.use_local_subchannel_pool": 1 };

export type End = { readonly kind: "end"; readonly code: number };

/** One caller of the directory: what its stream brings, one after the other. */
export class DirectoryReader {
  readonly #client: DirectoryClient;
  readonly #arrived: (Update | End)[] = [];
  #stream: ClientReadableStream<Update> | null = null;
  #wake: () => void = () => {};

  constructor(client: DirectoryClient) {
    this.#client = client;
  }

  watch(request: Partial<WatchRequest> = {}): this {
    const stream = this.#client.watch({ version: 0n, resume: "", revisions: [], ...request });
    this.#stream = stream;
    let over = false;
    const end = (code: number): void => {
      if (!over) this.#push({ kind: "end", code });
      over = true;
    };
    stream.on("data", (update: Update) => this.#push(update));
    stream.on("error", (error: ServiceError) => end(error.code));
    stream.on("end", () => end(0));
    return this;
  }

  async next(): Promise<Update | End> {
    while (this.#arrived.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#arrived.shift()!;
  }

  /** The next update that fits, and all before it. */
  async until(fits: (update: Update) => boolean): Promise<Update> {
    for (;;) {
      const next = await this.next();
      if ("kind" in next) throw new Error(`the stream ended with code ${next.code}`);
      if (fits(next)) return next;
    }
  }

  lookUp(address: string): Promise<LookupResponse> {
    return new Promise((resolve, reject) => {
      this.#client.lookup({ address }, (error, response) => (error === null ? resolve(response) : reject(error)));
    });
  }

  cancel(): void {
    this.#stream?.cancel();
  }

  close(): void {
    this.cancel();
    this.#client.close();
  }

  #push(item: Update | End): void {
    this.#arrived.push(item);
    this.#wake();
  }
}
