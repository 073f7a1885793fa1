/**
 * Certificates a second through a real API server's TokenReview, with one and with two replicas of the ca, from 40 pods;
 * and what the API server alone does of the three calls that each certificate costs.
 * `npm run bench -- ca [seconds a row]`
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
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
import { cpuMs } from "./data-path/process.ts";

const seconds = Number(process.argv[2] ?? 5);
const pods = 40;
const atOnce = 32;
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

async function startCa(): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "../ca/main.ts")], {
    env: {
      PATH: process.env["PATH"],
      KUBECONFIG: api.kubeconfig,
      TENCRYPT_CA_LISTEN: "127.0.0.1:0",
      TENCRYPT_TRUST_DOMAIN: "cluster.local",
      TENCRYPT_AUTHENTICATOR: "kubernetes",
      TENCRYPT_INIT_IMAGES: initImage,
      TENCRYPT_PROXY_IMAGES: proxyImage,
      TENCRYPT_CA_STORE: "kubernetes",
      TENCRYPT_CA_RATE_LIMIT: "100000",
      TENCRYPT_CA_RATE_BURST: "100000",
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

async function certificates(
  replicas: readonly { readonly child: ChildProcess; readonly port: number }[],
): Promise<void> {
  const map = await api.admin.get("/api/v1/namespaces/tencrypt-ca/configmaps/tencrypt-root");
  const ca = (map["data"] as { readonly "ca.crt": string })["ca.crt"];
  const channel = credentials.createFromSecureContext(createSecureContext({ ca, minVersion: "TLSv1.3" }), {
    checkServerIdentity: () => undefined,
  });
  const options = { "grpc.ssl_target_name_override": "tencrypt-ca", "grpc.use_local_subchannel_pool": 1 };
  const clients = replicas.map(({ port }) => new IstioCertificateServiceClient(`127.0.0.1:${port}`, channel, options));
  const pids = replicas.map(({ child }) => child.pid!);
  const before = cpuMs(pids);
  const rate = await rateOf((index) => {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${tokens[index % pods]}`);
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
    `${replicas.length} replica${replicas.length === 1 ? "" : "s"}`,
    rate,
    `${each.toFixed(2)} ms CPU of the ca a certificate`,
  );
  for (const client of clients) client.close();
}

function report(what: string, { perSecond, failed }: Rate, more: string): void {
  console.log(`${what.padEnd(34)} ${perSecond.toFixed(0).padStart(6)} /s  ${failed} failed  ${more}`);
}

console.log(
  `Node ${process.version}, ${pods} pods, ${atOnce} calls at once, ${seconds} s a row, load ${loadavg()[0]!.toFixed(1)}`,
);
const client = new KubeClient(loadAccess({ kubeconfig: api.kubeconfig }), systemClock);
const apiAlone = await rateOf(async (index) => {
  const spec = { token: tokens[index % pods], audiences: ["tencrypt-ca"] };
  await client.create(callsOf[0]!, { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec });
  await Promise.all([client.get(callsOf[1]!), client.get(callsOf[2]!)]);
  return true;
});
report("the API server's three calls alone", apiAlone, "");
const first = await startCa();
await certificates([first]);
const second = await startCa();
await certificates([first, second]);
first.child.kill();
second.child.kill();
client.close();
await api.stop();
