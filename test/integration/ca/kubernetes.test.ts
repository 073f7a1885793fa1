/**
 * The ca on a real API server, with the rights that the chart gives it: who gets a certificate, who does not and why, and
 * replicas that share one store.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { after, before, describe, test } from "node:test";
import type { TestContext } from "node:test";
import { readConfig } from "../../../ca/config.ts";
import { newAuthority } from "../../../ca/issue/authority.ts";
import { start } from "../../../ca/start.ts";
import { checkPair } from "../../../ca/store/authority.ts";
import { pairOf } from "../../../ca/store/kubernetes.ts";
import { systemClock } from "../../../lib/clock/clock.ts";
import type { Clock } from "../../../lib/clock/clock.ts";
import type { Secret } from "../../../lib/kube/objects.ts";
import { createLog } from "../../../lib/log/log.ts";
import { startApiServer, whyNoApiServer } from "../../cluster/api-server.ts";
import type { ApiServer } from "../../cluster/api-server.ts";
import { eventually } from "../../cluster/eventually.ts";
import type { Metadata, PodOptions } from "../../cluster/objects.ts";
import { kubeconfigOfAccount } from "../../chart/rights.ts";
import type { Json } from "../../cluster/client.ts";
import { initImage, protectedSpec, proxyImage } from "../../cluster/protected-pod.ts";
import { cleanUp, clientsOf, issued } from "./running-ca.ts";
import type { Clients, LogLine, Outcome } from "./running-ca.ts";

const audience = "tencrypt-ca";
const codes = { permissionDenied: 7, unavailable: 14, unauthenticated: 16 } as const;
const why = whyNoApiServer();

type Replica = Clients & { readonly port: number; readonly lines: readonly LogLine[]; stop(): Promise<void> };

let api: ApiServer;
const secretsPath = "/api/v1/namespaces/tencrypt-ca/secrets";

before(async () => {
  if (why !== null) return;
  api = await startApiServer();
  for (const name of ["tencrypt-ca", "tencrypt-system"]) await api.objects.namespace(name);
  process.env["KUBECONFIG"] = await kubeconfigOfAccount(api, "tencrypt-ca", "tencrypt-ca");
  await api.objects.namespace("shop", { "tencrypt.io/project": "enabled" });
  await api.objects.serviceAccount("shop", "cart");
  await api.objects.node("n1", "10.0.0.1");
});
after(async () => {
  if (why !== null) return;
  delete process.env["KUBECONFIG"];
  await api?.stop();
});

const secret = (name: string): Promise<Secret> => api.admin.get(`${secretsPath}/${name}`) as unknown as Promise<Secret>;
const decoded = ({ data }: Secret, key: string): string => Buffer.from(data?.[key] ?? "", "base64").toString();

async function startReplica(
  t: TestContext,
  env: Readonly<Record<string, string>> = {},
  clock: Clock = systemClock,
): Promise<Replica> {
  const lines: LogLine[] = [];
  const config = readConfig({
    TENCRYPT_CA_LISTEN: "127.0.0.1:0",
    TENCRYPT_TRUST_DOMAIN: "cluster.local",
    TENCRYPT_AUTHENTICATOR: "kubernetes",
    TENCRYPT_INIT_IMAGES: initImage,
    TENCRYPT_PROXY_IMAGES: proxyImage,
    TENCRYPT_CA_STORE: "kubernetes",
    TENCRYPT_CA_SERVING_NAMES: "localhost",
    TENCRYPT_CA_RATE_LIMIT: "1000",
    TENCRYPT_CA_RATE_BURST: "1000",
    ...env,
  });
  const write = (line: string): void => void lines.push(JSON.parse(line) as LogLine);
  const ca = await start(config, clock, createLog({ level: "info", now: Date.now, write }));
  cleanUp(t, () => ca.stop());
  return {
    port: ca.port,
    lines,
    stop: () => ca.stop(),
    ...clientsOf(t, ca.port, decoded(await secret("tencrypt-root"), "tls.crt")),
  };
}

/** The certificate that a replica shows who dials it. */
const servingCertificate = ({ port }: Replica): Promise<X509Certificate> =>
  new Promise((resolve, reject) => {
    // Judged by the test.
    const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: ["h2"] }, () => {
      resolve(socket.getPeerX509Certificate()!);
      socket.destroy();
    });
    socket.on("error", reject);
  });

/** Calls come over loopback: that is the address which the pods here are said to have. */
const podOf = (name: string, options: Partial<PodOptions> = {}): Promise<Metadata> =>
  api.objects.pod({
    namespace: "shop",
    name,
    serviceAccount: "cart",
    node: "n1",
    ip: "127.0.0.1",
    spec: protectedSpec(),
    ...options,
  });

const tokenOf = (pod: Metadata, options: { readonly audience?: string; readonly account?: string } = {}) =>
  api.objects.token({
    namespace: pod.namespace,
    serviceAccount: options.account ?? "cart",
    audience: options.audience ?? audience,
    pod,
  });

const reasonOf = ({ lines }: Replica): unknown =>
  lines.findLast(({ event }) => event === "certificate_refused")?.["reason"];

/** What the ca wrote at a pod. */
async function eventNote(pod: string): Promise<string> {
  type Item = { readonly reason: string; readonly note: string; readonly regarding: { readonly name: string } };
  const { items } = (await api.admin.get("/apis/events.k8s.io/v1/namespaces/shop/events")) as unknown as {
    readonly items: readonly Item[];
  };
  const found = items.filter(({ reason, regarding }) => reason === "CertificateRefused" && regarding.name === pod);
  assert.equal(found.length, 1, `events at ${pod}`);
  return found[0]!.note;
}

async function refused(replica: Replica, token: string, expected: { code: number; reason: string }): Promise<void> {
  const outcome: Outcome = await replica.create({}, token);
  assert.equal(outcome.kind, "refused");
  assert.equal(reasonOf(replica), expected.reason);
  assert.equal(outcome.kind === "refused" && outcome.code, expected.code);
}

describe("who gets a certificate", why === null ? {} : { skip: why }, () => {
  test("a protected pod of a project gets a certificate of its project's CA, with its whole identity", async (t) => {
    const replica = await startReplica(t);
    const pod = await podOf("issued-1");
    const { certChain } = issued(await replica.create({}, await tokenOf(pod)));
    assert.equal(certChain.length, 3);
    assert.equal(new X509Certificate(certChain[0]!).subjectAltName, "URI:spiffe://cluster.local/ns/shop/sa/cart");
    const text = Buffer.from(new X509Certificate(certChain[0]!).raw).toString("latin1");
    const shop = (await api.admin.get("/api/v1/namespaces/shop"))["metadata"] as Metadata;
    for (const part of [pod.uid, shop.uid, "issued-1", "n1"]) assert.ok(text.includes(part), part);
    assert.equal(decoded(await secret("tencrypt-project.shop"), "uid"), shop.uid);
    const line = replica.lines.find(({ event }) => event === "certificate_issued");
    assert.equal(line?.["podUid"], pod.uid);
  });

  test("every reason against a caller has its code", async (t) => {
    const replica = await startReplica(t);
    const pod = await podOf("refused-1");
    const { permissionDenied, unauthenticated, unavailable } = codes;
    await refused(replica, "x.y", { code: unauthenticated, reason: "token_malformed" });
    await refused(replica, await tokenOf(pod, { audience: "other" }), {
      code: unauthenticated,
      reason: "token_wrong_audience",
    });
    const forged = `${(await tokenOf(pod)).split(".").slice(0, 2).join(".")}.${Buffer.alloc(256).toString("base64url")}`;
    await refused(replica, forged, { code: unauthenticated, reason: "token_refused" });
    const unbound = await api.objects.token({ namespace: "shop", serviceAccount: "cart", audience });
    await refused(replica, unbound, { code: unauthenticated, reason: "token_not_of_a_pod" });
    const cases: readonly (readonly [string, Partial<PodOptions>, { code: number; reason: string }])[] = [
      ["bare", { spec: {} }, { code: permissionDenied, reason: "pod_not_protected" }],
      [
        "foreign-image",
        { spec: protectedSpec({ image: "evil/proxy:1" }) },
        { code: permissionDenied, reason: "pod_not_protected" },
      ],
      ["elsewhere", { ip: "10.1.0.9" }, { code: permissionDenied, reason: "source_mismatch" }],
    ];
    for (const [name, options, expected] of cases)
      await refused(replica, await tokenOf(await podOf(name, options)), expected);
    for (const [name, , { reason }] of cases)
      await eventually(async () => assert.match(await eventNote(name), new RegExp(`^${reason}: .*tencrypt explain`)));
    const { ip: _, ...pending } = { namespace: "shop", name: "pending", serviceAccount: "cart", node: "n1", ip: "" };
    const waiting = await api.objects.pod({ ...pending, spec: protectedSpec() });
    await refused(replica, await tokenOf(waiting), { code: unavailable, reason: "pod_address_pending" });
  });

  test("a pod of a namespace that is no project gets nothing", async (t) => {
    const replica = await startReplica(t);
    await api.objects.namespace("plain");
    await api.objects.serviceAccount("plain", "cart");
    const token = await tokenOf(await podOf("web-1", { namespace: "plain" }));
    await refused(replica, token, { code: codes.permissionDenied, reason: "project_not_enabled" });
  });

  test("an image without a version stands for all of its versions, and for no other repository", async (t) => {
    const replica = await startReplica(t, { TENCRYPT_PROXY_IMAGES: "localhost:5000/tencrypt/proxy" });
    const imaged = async (name: string, image: string): Promise<string> =>
      tokenOf(await podOf(name, { spec: protectedSpec({ image }) }));
    const digest = `sha256:${"ab".repeat(32)}`;
    for (const [index, version] of [":1.2", `:1.2@${digest}`, `@${digest}`, ""].entries())
      issued(await replica.create({}, await imaged(`versioned-${index}`, `localhost:5000/tencrypt/proxy${version}`)));
    for (const [index, image] of [
      "localhost:5000/tencrypt/proxy/evil:1",
      "localhost:5000/tencrypt",
      "localhost",
    ].entries())
      await refused(replica, await imaged(`other-${index}`, image), {
        code: codes.permissionDenied,
        reason: "pod_not_protected",
      });
  });

  test("the token of a deleted pod gets nothing, at once", async (t) => {
    const replica = await startReplica(t);
    const pod = await podOf("doomed");
    const token = await tokenOf(pod);
    issued(await replica.create({}, token));
    await api.objects.deletePod("shop", "doomed");
    const outcome = await replica.create({}, token);
    assert.equal(outcome.kind === "refused" && outcome.code, codes.unauthenticated);
    // The API server remembers for some seconds that the token was good; the look at the pod does not.
    assert.match(String(reasonOf(replica)), /^(?:pod_gone|token_refused)$/);
    await podOf("doomed");
    assert.equal((await replica.create({}, token)).kind, "refused");
  });

  test("a source that differs is let in and told where the setting says so", async (t) => {
    const replica = await startReplica(t, { TENCRYPT_CA_SOURCE_CHECK: "warn", TENCRYPT_METRICS_PORT: "0" });
    issued(await replica.create({}, await tokenOf(await podOf("behind-nat", { ip: "10.1.0.10" }))));
    assert.ok(replica.lines.some(({ event, pod }) => event === "source_mismatch" && pod === "behind-nat"));
    const listening = replica.lines.find(({ event, name }) => event === "listening" && name === "metrics");
    const metrics = await (await fetch(`http://127.0.0.1:${String(listening?.["port"])}/metrics`)).text();
    assert.match(metrics, /^tencrypt_ca_source_mismatches_total 1$/m);
  });
});

describe("what counts as protected", why === null ? {} : { skip: why }, () => {
  test("a pod whose init is not ours, or is made to do something else, is not protected", async (t) => {
    const replica = await startReplica(t);
    const forged: readonly Json[] = [
      { image: "localhost/attacker/init:test" },
      { command: ["true"] },
      { args: ["--print"] },
      { env: [{ name: "NODE_OPTIONS", value: "--import=data:text/javascript,process.exit()" }] },
      { volumeMounts: [{ name: "tencrypt-own", mountPath: "/tencrypt/dist/init" }] },
    ];
    for (const [index, init] of forged.entries()) {
      const spec = protectedSpec({ init });
      const volumes = [...spec.volumes, { name: "tencrypt-own", emptyDir: {} }];
      const token = await tokenOf(await podOf(`forged-${index}`, { spec: { ...spec, volumes } }));
      await refused(replica, token, { code: codes.permissionDenied, reason: "pod_not_protected" });
    }
  });

  test("a pod that was made before its namespace was a project, and lets others at its proxy, is not protected", async (t) => {
    const replica = await startReplica(t);
    const [init, proxy] = protectedSpec().initContainers;
    const application = { name: "app", image: "x" };
    const uid = { runAsUser: 1000, runAsGroup: 1000 };
    const forged: readonly Json[] = [
      { hostPID: true },
      { shareProcessNamespace: true },
      protectedSpec({ proxy: { envFrom: [{ configMapRef: { name: "options" } }] } }),
      protectedSpec({ proxy: { livenessProbe: { exec: { command: ["cat", "/var/run/tencrypt/token/token"] } } } }),
      {
        initContainers: [
          { ...init, env: [{ name: "TENCRYPT_PROXY_UID", value: "1000" }] },
          { ...proxy, securityContext: { ...proxy?.securityContext, ...uid } },
        ],
        containers: [{ ...application, securityContext: uid }],
      },
      {
        containers: [{ ...application, volumeMounts: [{ name: "mine", mountPath: "/mine" }] }],
        volumes: [
          ...protectedSpec().volumes,
          {
            name: "mine",
            projected: { sources: [{ serviceAccountToken: { audience: "tencrypt-ca", path: "token" } }] },
          },
        ],
      },
    ];
    for (const [index, changes] of forged.entries()) {
      const spec = { ...protectedSpec(), ...changes };
      const token = await tokenOf(await podOf(`early-${index}`, { spec }));
      await refused(replica, token, { code: codes.permissionDenied, reason: "pod_not_protected" });
    }
  });
});

describe("one store", why === null ? {} : { skip: why }, () => {
  test("replicas that start at once agree on root, control-plane CA and project CAs", async (t) => {
    for (const name of ["tencrypt-root", "tencrypt-control-plane", "tencrypt-project.shop"])
      await api.admin.delete(`${secretsPath}/${name}`).catch(() => {});
    await api.objects.namespace("fresh", { "tencrypt.io/project": "enabled" });
    await api.objects.serviceAccount("fresh", "cart");
    // One after the other would prove nothing; the root has to be there for the clients of both.
    const replicas = await Promise.all([startReplica(t), startReplica(t), startReplica(t)]);
    const pods = await Promise.all([1, 2, 3].map((number) => podOf(`web-${number}`, { namespace: "fresh" })));
    const chains = await Promise.all(
      replicas.map(async (replica, index) => issued(await replica.create({}, await tokenOf(pods[index]!))).certChain),
    );
    assert.equal(new Set(chains.map((chain) => chain[1])).size, 1);
    assert.equal(new Set(chains.map((chain) => chain[2])).size, 1);
    const controlPlane = new X509Certificate(decoded(await secret("tencrypt-control-plane"), "tls.crt"));
    for (const shown of await Promise.all(replicas.map(servingCertificate)))
      assert.ok(shown.checkIssued(controlPlane) && shown.verify(controlPlane.publicKey), "of the stored CA's key");
    // By it an operator finds all that the ca has made.
    const made = await api.kubectl(
      "-n",
      "tencrypt-ca",
      "get",
      "secrets,configmaps",
      "-l",
      "app.kubernetes.io/part-of=tencrypt",
      "-o",
      "name",
    );
    for (const name of [
      "secret/tencrypt-root",
      "secret/tencrypt-project.fresh",
      "configmap/tencrypt-root",
      "configmap/tencrypt-bundle",
    ])
      assert.ok(made.split("\n").includes(name), name);
  });

  test("a CA that is taken out is replaced at the next request, and who was revoked stays so", async (t) => {
    const replica = await startReplica(t);
    const [thief, honest] = [await podOf("thief"), await podOf("honest")];
    const [stolen, token] = [await tokenOf(thief), await tokenOf(honest)];
    const old = issued(await replica.create({}, token)).certChain[1];
    const stream = replica.watch(token);
    const patch = (stringData: Json): Promise<unknown> =>
      api.admin.patch(`${secretsPath}/tencrypt-project.shop`, { stringData });
    await patch({ denied: thief.uid });
    await stream.until(({ denied }) => denied.includes(thief.uid));
    await patch({ uid: "" });
    await stream.until(({ projects }) => projects.length === 0);
    await refused(replica, stolen, { code: codes.permissionDenied, reason: "pod_denied" });
    assert.notEqual(issued(await replica.create({}, token)).certChain[1], old);
    await stream.until(({ projects, denied }) => projects.length === 1 && denied.includes(thief.uid));
  });

  test("a namespace that was made again gets a new CA, and the old one leaves the bundle", async (t) => {
    const replica = await startReplica(t);
    const make = async (): Promise<Metadata> => {
      const made = await eventually(() => api.objects.namespace("again", { "tencrypt.io/project": "enabled" }));
      await api.objects.serviceAccount("again", "cart");
      return made;
    };
    const first = await make();
    const earlier = issued(await replica.create({}, await tokenOf(await podOf("web-1", { namespace: "again" }))));
    await api.objects.deletePod("again", "web-1");
    await api.admin.delete("/api/v1/namespaces/again");
    const second = await make();
    assert.notEqual(second.uid, first.uid);
    const token = await tokenOf(await podOf("web-1", { namespace: "again" }));
    const following = issued(await replica.create({}, token));
    assert.notEqual(following.certChain[1], earlier.certChain[1]);
    const bundle = await replica.watch(token).until(({ projects }) => projects.length > 0);
    assert.equal(bundle.projects[0]?.namespaceUid, second.uid);
    assert.deepEqual(
      bundle.projects[0]?.authorities.map((der) => new X509Certificate(der).fingerprint256),
      [new X509Certificate(following.certChain[1]!).fingerprint256],
    );
  });

  test("peers count when both namespaces name the other with its uid", async (t) => {
    const replica = await startReplica(t);
    const left = await api.objects.namespace("left", { "tencrypt.io/project": "enabled" });
    const right = await api.objects.namespace("right", { "tencrypt.io/project": "enabled" });
    const annotate = (name: string, peers: string): Promise<unknown> =>
      api.admin.patch(`/api/v1/namespaces/${name}`, { metadata: { annotations: { "tencrypt.io/peers": peers } } });
    for (const name of ["left", "right"]) await api.objects.serviceAccount(name, "cart");
    const leftToken = await tokenOf(await podOf("l", { namespace: "left" }));
    issued(await replica.create({}, leftToken));
    issued(await replica.create({}, await tokenOf(await podOf("r", { namespace: "right" }))));
    const reader = replica.watch(leftToken);
    const names = ({ projects }: { projects: readonly { name: string }[] }): string =>
      projects.map(({ name }) => name).join();
    await reader.until((bundle) => names(bundle) === "left");
    await annotate("left", `right/${right.uid}`);
    await annotate("right", "left/00000000-0000-4000-8000-000000000000");
    await annotate("right", `left/${left.uid}`);
    const both = await reader.until((bundle) => names(bundle) !== "left");
    assert.equal(names(both), "left,right");
    await annotate("right", "");
    await reader.until((bundle) => names(bundle) === "left");
  });

  test("the controller gets a certificate of the control-plane CA and sees every project", async (t) => {
    const replica = await startReplica(t);
    await api.objects.serviceAccount("tencrypt-system", "tencrypt-controller");
    await api.objects.serviceAccount("tencrypt-system", "other");
    const pod = await podOf("c-1", { namespace: "tencrypt-system", serviceAccount: "tencrypt-controller", spec: {} });
    const token = await tokenOf(pod, { account: "tencrypt-controller" });
    const { certChain } = issued(await replica.create({}, token));
    assert.equal(
      new X509Certificate(certChain[0]!).subjectAltName,
      "URI:spiffe://cluster.local/ns/tencrypt-system/sa/tencrypt-controller, " +
        "DNS:tencrypt-controller.tencrypt-system.svc, DNS:tencrypt-controller.tencrypt-system.svc.cluster.local",
    );
    assert.equal(
      new X509Certificate(certChain[1]!).fingerprint256,
      new X509Certificate(decoded(await secret("tencrypt-control-plane"), "tls.crt")).fingerprint256,
    );
    const bundle = await replica.watch(token).until(({ projects }) => projects.length > 1);
    assert.ok(bundle.projects.length > 1);
    const other = await podOf("o-1", { namespace: "tencrypt-system", serviceAccount: "other" });
    await refused(replica, await tokenOf(other, { account: "other" }), {
      code: codes.permissionDenied,
      reason: "project_not_enabled",
    });
  });
});

describe("what a store goes through", why === null ? {} : { skip: why }, () => {
  test("without the API server nothing is issued; with it again all is", async (t) => {
    const replica = await startReplica(t);
    const token = await tokenOf(await podOf("patient"));
    issued(await replica.create({}, token));
    await api.halt();
    await refused(replica, token, { code: codes.unavailable, reason: "token_review_unavailable" });
    await api.resume();
    await eventually(async () => void issued(await replica.create({}, token)));
  });

  test("a root that was named as brought is taken, and waited for instead of made", async (t) => {
    const env = { TENCRYPT_CA_ROOT_SECRET: "corporate" };
    await assert.rejects(
      startReplica(t, env),
      /Secret corporate is missing: it was named as the root that somebody else/,
    );
    const { data } = await secret("tencrypt-root");
    await api.admin.create(secretsPath, { metadata: { name: "corporate" }, type: "kubernetes.io/tls", data });
    issued(await (await startReplica(t, env)).create({}, await tokenOf(await podOf("under-brought"))));
  });

  test("a damaged Secret is told by name and not replaced", async (t) => {
    const { data } = await secret("tencrypt-control-plane");
    const put = (key: string): Promise<unknown> =>
      api.admin.patch(`${secretsPath}/tencrypt-control-plane`, { data: { "tls.key": key } });
    await put(Buffer.from("garbage").toString("base64"));
    await assert.rejects(startReplica(t), /tls.key of Secret tencrypt-control-plane is not a private key in PEM/);
    await put(data!["tls.key"]!);
  });
});

const day = 86_400_000;
const encoded = (text: string): string => Buffer.from(text).toString("base64");

describe("a running ca", why === null ? {} : { skip: why }, () => {
  test("replaces its own issuer when half of its life is over, and open streams go on", async (t) => {
    let look = (): void => assert.fail("nothing is done once a day");
    const daily: Clock["after"] = (delay, callback) => {
      if (delay !== day) return systemClock.after(delay, callback);
      look = callback;
      return { cancel: () => {} };
    };
    const replica = await startReplica(t, {}, { ...systemClock, after: daily });
    const token = await tokenOf(await podOf("follower"));
    issued(await replica.create({}, token));
    const stream = replica.watch(token);
    await stream.until(({ projects }) => projects.length > 0);
    const now = Date.now();
    const root = checkPair(pairOf(await secret("tencrypt-root")), { purpose: null, root: null, now });
    assert.equal(root.kind, "checked");
    const old = newAuthority({ kind: "control-plane", trustDomain: "cluster.local" }, root.authority, now - 366 * day);
    const data = { "tls.crt": encoded(old.certificate), "tls.key": encoded(old.key) };
    await api.admin.patch(`${secretsPath}/tencrypt-control-plane`, { data });
    look();
    await eventually(async () => assert.ok(replica.lines.some(({ event }) => event === "control_plane_ca_replaced")));
    assert.notEqual(decoded(await secret("tencrypt-control-plane"), "tls.crt"), old.certificate);
    await api.admin.patch(`${secretsPath}/tencrypt-project.shop`, { data: { denied: encoded("revoked") } });
    await stream.until(({ denied }) => denied.includes("revoked"));
    issued(await replica.create({}, token));
  });
});
