/**
 * Certificates a second and their CPU: of a ca without Kubernetes, which checks tokens by itself; through a real API server's
 * TokenReview with one and with two replicas, from 40 pods; and what the API server alone does of the three calls that each
 * certificate costs then. `npm run bench -- ca [seconds a row]`
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createSecureContext } from "node:tls";
import { credentials, Metadata } from "@grpc/grpc-js";
import { systemClock } from "../lib/clock/clock.ts";
import { loadAccess } from "../lib/kube/access.ts";
import { KubeClient } from "../lib/kube/client.ts";
import { IstioCertificateServiceClient } from "../lib/proto/gen/istio/v1/auth/ca.ts";
import { createCsr } from "../lib/x509/csr.ts";
import { startApiServer } from "../test/cluster/api-server.ts";
import { initImage, protectedSpec, proxyImage } from "../test/cluster/protected-pod.ts";
import { audience, issuer, newTokenKey, tokenFolder, tokenFor } from "../test/tokens/tokens.ts";
import { cpuMs } from "./data-path/process.ts";

const seconds = Number(process.argv[2] ?? 5);
const pods = 40;
/** More from one address the ca refuses: a source is one pod. */
const atOnce = 8;
const callsOf = [
  "/apis/authentication.k8s.io/v1/tokenreviews",
  "/api/v1/namespaces/shop/pods/p-0",
  "/api/v1/namespaces/shop",
];

const api = await startApiServer();
for (const name of ["tencrypt-ca", "tencrypt-system"]) await api.objects.namespace(name);
await api.objects.namespace("shop", { "tencrypt.io/project": "enabled" });
const tokens = await Promise.all(
  Array.from({ length: pods }, async (_, index) => {
    const pod = await api.objects.pod({
      namespace: "shop",
      name: `p-${index}`,
      ip: "127.0.0.1",
      spec: protectedSpec(),
    });
    return api.objects.token({ namespace: "shop", audience: "tencrypt-ca", pod });
  }),
);
const csr = createCsr(generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey);

type Ca = { readonly child: ChildProcess; readonly port: number };

const onKubernetes = {
  KUBECONFIG: api.kubeconfig,
  TENCRYPT_AUTHENTICATOR: "kubernetes",
  TENCRYPT_INIT_IMAGES: initImage,
  TENCRYPT_PROXY_IMAGES: proxyImage,
  TENCRYPT_CA_STORE: "kubernetes",
};

async function startCa(settings: Readonly<Record<string, string>>): Promise<Ca> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "../ca/main.ts")], {
    env: {
      PATH: process.env["PATH"],
      TENCRYPT_CA_LISTEN: "127.0.0.1:0",
      TENCRYPT_TRUST_DOMAIN: "cluster.local",
      TENCRYPT_CA_RATE_LIMIT: "100000",
      TENCRYPT_CA_RATE_BURST: "100000",
      ...settings,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const port = await new Promise<number>((resolve) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const { event, name, port: found } = JSON.parse(line) as { event: string; name?: string; port?: number };
      if (event === "listening" && name === "ca") resolve(found!);
    });
  });
  return { child, port };
}

type Rate = { readonly perSecond: number; readonly failed: number };

/** Keeps `atOnce` calls under way for the time of a row. */
async function rateOf(call: (index: number) => Promise<boolean>): Promise<Rate> {
  const end = performance.now() + seconds * 1000;
  let [done, failed, next] = [0, 0, 0];
  const work = async (): Promise<void> => {
    while (performance.now() < end)
      if (await call(next++)) done++;
      else failed++;
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return { perSecond: done / seconds, failed };
}

type Asking = {
  readonly what: string;
  readonly replicas: readonly Ca[];
  readonly root: string;
  readonly tokens: readonly string[];
};

async function certificates({ what, replicas, root: ca, tokens: shown }: Asking): Promise<void> {
  const channel = credentials.createFromSecureContext(createSecureContext({ ca, minVersion: "TLSv1.3" }), {
    checkServerIdentity: () => undefined,
  });
  const options = { "grpc.ssl_target_name_override": "tencrypt-ca", "grpc.use_local_subchannel_pool": 1 };
  const clients = replicas.map(({ port }) => new IstioCertificateServiceClient(`127.0.0.1:${port}`, channel, options));
  const pids = replicas.map(({ child }) => child.pid!);
  const before = cpuMs(pids);
  const rate = await rateOf((index) => {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${shown[index % shown.length]}`);
    return new Promise((resolve) => {
      clients[index % clients.length]!.createCertificate(
        { csr, validityDuration: 0n, metadata: [] },
        metadata,
        (error) => resolve(error === null),
      );
    });
  });
  const cpu = cpuMs(pids) - before;
  const each = cpu / (rate.perSecond * seconds);
  report(
    what,
    rate,
    `${each.toFixed(2)} ms CPU of the ca a certificate: ${(1000 / each).toFixed(0)} a second of one core`,
  );
  for (const client of clients) client.close();
}

/** Tokens of a key in a file, keys in a folder. */
async function withoutKubernetes(): Promise<void> {
  const key = newTokenKey();
  const folder = tokenFolder(key);
  try {
    const store = join(folder.path, "store");
    mkdirSync(join(store, "projects/shop"), { recursive: true, mode: 0o700 });
    writeFileSync(join(store, "projects/shop/uid"), "uid-of-shop", { mode: 0o600 });
    const ca = await startCa({
      TENCRYPT_AUTHENTICATOR: "jwks",
      TENCRYPT_JWKS_FILE: folder.jwksFile,
      TENCRYPT_TOKEN_ISSUER: issuer,
      TENCRYPT_TOKEN_AUDIENCE: audience,
      TENCRYPT_CA_STORE: store,
    });
    const root = readFileSync(join(store, "root.pem"), "utf8");
    const shown = Array.from({ length: pods }, (_, index) =>
      tokenFor(key, { project: "shop", serviceAccount: "default", pod: `p-${index}`, podUid: `uid-${index}` }),
    );
    await certificates({ what: "without Kubernetes", replicas: [ca], root, tokens: shown });
    ca.child.kill();
  } finally {
    folder.remove();
  }
}

function report(what: string, { perSecond, failed }: Rate, more: string): void {
  console.log(`${what.padEnd(34)} ${perSecond.toFixed(0).padStart(6)} /s  ${failed} failed  ${more}`);
}

console.log(
  `Node ${process.version}, ${pods} pods, ${atOnce} calls at once, ${seconds} s a row, load ${loadavg()[0]!.toFixed(1)}`,
);
await withoutKubernetes();
const client = new KubeClient(loadAccess({ kubeconfig: api.kubeconfig }), systemClock);
const apiAlone = await rateOf(async (index) => {
  const spec = { token: tokens[index % pods], audiences: ["tencrypt-ca"] };
  await client.create(callsOf[0]!, { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec });
  await Promise.all([client.get(callsOf[1]!), client.get(callsOf[2]!)]);
  return true;
});
report("the API server's three calls alone", apiAlone, "");
const first = await startCa(onKubernetes);
const map = await api.admin.get("/api/v1/namespaces/tencrypt-ca/configmaps/tencrypt-root");
const root = (map["data"] as { readonly "ca.crt": string })["ca.crt"];
await certificates({ what: "1 replica", replicas: [first], root, tokens });
const second = await startCa(onKubernetes);
await certificates({ what: "2 replicas", replicas: [first, second], root, tokens });
first.child.kill();
second.child.kill();
client.close();
await api.stop();
