/**
 * The webhooks behind a real API server. It verifies the controller by the name of its Service, as in a cluster; since
 * there is no Service here, a forwarder stands in between and does the same.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Agent, createServer, request as httpsRequest } from "node:https";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import type { TLSSocket } from "node:tls";
import { whyNoApiServer } from "../../cluster/api-server.ts";
import { ApiError } from "../../cluster/client.ts";
import type { Json } from "../../cluster/client.ts";
import { eventually } from "../../cluster/eventually.ts";
import { Keys } from "../../cluster/keys.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../lib/clock/clock.ts";
import type { Clock, Timer } from "../../../lib/clock/clock.ts";
import { readSidecar } from "../../../lib/kube/sidecar.ts";
import type { Pod } from "../../../lib/kube/objects.ts";
import { reviewOf } from "./reviews.ts";
import { Rig } from "./rig.ts";
import type { Controller } from "./rig.ts";

const why = whyNoApiServer();
const serviceName = "tencrypt-controller.tencrypt-system.svc";

let rig: Rig;
let controller: Controller;
/** The replica that validates: another one while an upgrade is under way. */
let validating: Controller;
let forwarder: Server;
let folder: string;
let keys: Keys;

const rootPem = async (): Promise<string> => {
  const map = await rig.api.admin.get("/api/v1/namespaces/tencrypt-ca/configmaps/tencrypt-root");
  return (map["data"] as { readonly "ca.crt": string })["ca.crt"];
};

async function startForwarder(): Promise<Server> {
  const { certificateFile, keyFile } = keys.issue("forwarder", {
    user: "x",
    usages: ["serverAuth"],
    names: ["localhost"],
  });
  const agent = new Agent({ ca: await rootPem(), servername: serviceName, keepAlive: true });
  const server = createServer(
    { cert: readFileSync(certificateFile), key: readFileSync(keyFile) },
    (incoming, outgoing) => {
      const { method, url, headers } = incoming;
      const { webhook: to } = url?.startsWith("/validate") === true ? validating : controller;
      const options = { host: "127.0.0.1", port: to.port, method, path: url, headers, agent };
      const forwarded = httpsRequest(options, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(outgoing);
      });
      forwarded.on("error", () => outgoing.destroy());
      incoming.pipe(forwarded);
    },
  );
  server.on("close", () => agent.destroy());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

const api = "/apis/admissionregistration.k8s.io/v1";

const webhook = (
  name: string,
  path: string,
  rules: Json,
  namespaces: Json = { "tencrypt.io/project": "enabled" },
): Json => ({
  name: `${name}.tencrypt.io`,
  admissionReviewVersions: ["v1"],
  sideEffects: "None",
  failurePolicy: "Fail",
  timeoutSeconds: 3,
  reinvocationPolicy: "IfNeeded",
  clientConfig: {
    url: `https://localhost:${(forwarder.address() as AddressInfo).port}${path}`,
    caBundle: Buffer.from(keys.authority.pem).toString("base64"),
  },
  namespaceSelector: { matchLabels: namespaces },
  rules: [{ apiGroups: [""], apiVersions: ["v1"], ...rules }],
});

async function register(): Promise<void> {
  const { reinvocationPolicy: _, ...validate } = webhook("validate", "/validate", {
    operations: ["CREATE", "UPDATE"],
    resources: ["pods", "pods/ephemeralcontainers"],
  });
  await rig.api.admin.create(`${api}/mutatingwebhookconfigurations`, {
    metadata: { name: "tencrypt" },
    webhooks: [
      webhook("inject", "/inject", { operations: ["CREATE"], resources: ["pods"] }),
      webhook("peers", "/namespaces", { operations: ["CREATE", "UPDATE"], resources: ["namespaces"] }),
    ],
  });
  await rig.api.admin.create(`${api}/validatingwebhookconfigurations`, {
    metadata: { name: "tencrypt" },
    webhooks: [validate],
  });
}

before(async () => {
  if (why !== null) return;
  rig = await Rig.start();
  controller = await rig.controller();
  validating = controller;
  folder = mkdtempSync(join(tmpdir(), "tencrypt-webhook-"));
  keys = new Keys(folder);
  forwarder = await startForwarder();
  await register();
  await rig.project("shop");
  // The API server learns of webhooks by a watch of its own.
  await eventually(async () => assert.equal(readSidecar(await create("probe", {})).kind, "sidecar"));
});
after(async () => {
  if (why !== null) return;
  forwarder.close();
  forwarder.closeAllConnections();
  await rig?.stop();
  rmSync(folder, { recursive: true, force: true });
});

let made = 0;
async function create(name: string, spec: Json, metadata: Json = {}): Promise<Pod> {
  const body = {
    metadata: { name: `${name}-${++made}`, ...metadata },
    spec: { serviceAccountName: "cart", containers: [{ name: "app", image: "shop/cart:1" }], ...spec },
  };
  return (await rig.api.admin.create("/api/v1/namespaces/shop/pods", body)) as unknown as Pod;
}

const refusedWith =
  (message: RegExp) =>
  (error: unknown): boolean =>
    error instanceof ApiError && error.code === 403 && message.test(error.message);

/** What becomes of the list of peers. */
async function change(metadata: object): Promise<string> {
  const shop = await rig.api.admin.patch("/api/v1/namespaces/shop", { metadata });
  return (shop.metadata as Pod["metadata"]).annotations!["tencrypt.io/peers"]!;
}
const annotate = (peers: string): Promise<string> => change({ annotations: { "tencrypt.io/peers": peers } });

describe("admission through a real API server", why === null ? {} : { skip: why }, () => {
  test("a pod is injected, with defaults filled in it is still exactly what injection gives", async () => {
    const pod = await create("web", {
      containers: [{ name: "app", image: "x", livenessProbe: { httpGet: { path: "/h", port: 80 } } }],
    });
    const [init, proxy] = pod.spec.initContainers!;
    assert.deepEqual([init?.name, proxy?.name, proxy?.restartPolicy], ["tencrypt-init", "tencrypt-proxy", "Always"]);
    assert.equal(pod.metadata.annotations?.["tencrypt.io/root"], await rootPem());
    const pins = proxy?.env?.find(({ name }) => name === "TENCRYPT_CA_ROOT_PINS")?.value;
    assert.equal(pins, new X509Certificate(await rootPem()).fingerprint256.replaceAll(":", "").toLowerCase());
    // The API server's own token goes to the application alone.
    const mounts = ({ volumeMounts = [] }: NonNullable<typeof init>): string =>
      volumeMounts.map(({ name }) => name).join();
    assert.doesNotMatch(mounts(init!) + mounts(proxy!), /kube-api-access/);
  });

  test("a pod that is not injected says why, on itself and in the metric", async () => {
    const pod = await create("net", { hostNetwork: true });
    assert.equal(pod.metadata.annotations?.["tencrypt.io/skipped"], "host_network");
    const metrics = await (await fetch(`http://127.0.0.1:${controller.metrics.port}/metrics`)).text();
    assert.match(metrics, /tencrypt_injection_total\{outcome="skipped",reason="host_network"\} 1/);
  });

  test("what no pod of a project may be is refused, with what, why and what next", async () => {
    await assert.rejects(create("pid", { hostPID: true }), refusedWith(/host_pid: .* Next: remove hostPID/));
    await assert.rejects(create("shared", { shareProcessNamespace: true }), refusedWith(/shared_processes/));
  });

  test("a forged pod gets the containers of injection in place of its own", async () => {
    const initContainers = [
      { name: "tencrypt-init", image: "evil/init:1" },
      { name: "tencrypt-proxy", image: "evil/proxy:1", restartPolicy: "Always" },
    ];
    const pod = await create("forged", { initContainers });
    assert.deepEqual(
      pod.spec.initContainers?.map(({ image }) => image),
      ["localhost/tencrypt/init:test", "localhost/tencrypt/proxy:test"],
    );
  });

  test("an image of ours cannot be changed later, one of the application can", async () => {
    const pod = await create("image", {});
    const patch = (list: string, name: string): Promise<string> =>
      rig.api.kubectl(
        "-n",
        "shop",
        "patch",
        "pod",
        pod.metadata.name,
        "-p",
        JSON.stringify({ spec: { [list]: [{ name, image: "evil/x:1" }] } }),
      );
    await assert.rejects(
      patch("initContainers", "tencrypt-proxy"),
      /not_as_injected.*changed at \/initContainers\/1\/image/s,
    );
    assert.match(await patch("containers", "app"), /patched/);
  });

  test("an ephemeral container under the proxy's UID is refused, another one admitted", async () => {
    const pod = await create("debug", {});
    const add = (securityContext: Json): Promise<Json> =>
      rig.api.admin.patch(`/api/v1/namespaces/shop/pods/${pod.metadata.name}/ephemeralcontainers`, {
        spec: { ephemeralContainers: [{ name: "debug", image: "x", securityContext }] },
      });
    await assert.rejects(add({ runAsUser: 1337 }), refusedWith(/ephemeral_container/));
    await add({ runAsUser: 5 });
  });

  test("peers get the uid of the namespace that they name", async () => {
    const billing = await rig.project("billing");
    assert.equal(await annotate("billing, nobody"), `billing/${billing.uid},nobody`);
    assert.equal(await annotate("billing/other-uid"), "billing/other-uid");

    // Who wrote the name of nobody did not mean whoever takes it later.
    assert.equal(await annotate("late"), "late");
    const late = await rig.project("late");
    assert.equal(await change({ labels: { team: "x" } }), "late");
    assert.equal(await annotate("late, billing"), `late/${late.uid},billing/${billing.uid}`);
  });

  test("with the webhook away pods of projects wait, and others do not", async () => {
    const { port } = forwarder.address() as AddressInfo;
    await new Promise<void>((resolve) => {
      forwarder.close(() => resolve());
      forwarder.closeAllConnections();
    });
    await assert.rejects(create("early", {}), (error: unknown) => error instanceof ApiError && error.code === 500);
    await rig.api.objects.namespace("free");
    await rig.api.objects.pod({ namespace: "free", name: "any" });
    await new Promise<void>((resolve) => forwarder.listen(port, "127.0.0.1", resolve));
    await eventually(() => create("again", {}));
  });

  test("an answer that is no review, a body that is too large, another path: none is admitted", async () => {
    const post = (path: string, body: string): Promise<number> =>
      new Promise((resolve, reject) => {
        const options = {
          host: "127.0.0.1",
          port: controller.webhook.port,
          path,
          method: "POST",
          rejectUnauthorized: false,
        };
        const call = httpsRequest(options, (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        });
        call.on("error", reject);
        call.end(body);
      });
    assert.equal(await post("/inject", "{}"), 400);
    assert.equal(await post("/inject", "garbage"), 400);
    assert.equal(await post("/other", "{}"), 404);
    assert.equal(await post("/inject", " ".repeat(5 * 1024 * 1024)).catch(() => 413), 413);
  });

  test("is known by the name of its Service", async () => {
    const ca = await rootPem();
    const names = await new Promise<string>((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port: controller.webhook.port, ca, servername: serviceName }, () => {
        resolve(socket.getPeerX509Certificate()?.subjectAltName ?? "");
        socket.destroy();
      });
      socket.on("error", reject);
    });
    assert.match(names, /DNS:tencrypt-controller\.tencrypt-system\.svc/);
  });
});

const hourMs = 3_600_000;
/** What waits for a moment of the wall clock looks at it that often. */
const lookMs = 30_000;

/** A wall clock that can be set, after which everybody looks at it. */
function settable(): { readonly clock: Clock; readonly set: (aheadMs: number) => void } {
  const looks: { readonly timer: Timer; readonly look: () => void }[] = [];
  let aheadMs = 0;
  const wait: Clock["after"] = (delayMs, callback) => {
    const timer = systemClock.after(delayMs, callback);
    if (delayMs === lookMs) looks.push({ timer, look: callback });
    return timer;
  };
  const set = (ms: number): void => {
    aheadMs = ms;
    for (const { timer, look } of looks.splice(0)) {
      timer.cancel();
      look();
    }
  };
  return { clock: { ...systemClock, now: () => systemClock.now() + aheadMs, after: wait }, set };
}

type Shown = { readonly certificate: string; readonly isReused: boolean; readonly allowed: boolean };

/** The certificate of the connection that an answer came by, and whether it was open before. */
function ask(port: number, agent: Agent): Promise<Shown> {
  const object = { metadata: { name: "web" }, spec: { containers: [{ name: "app", image: "x" }] } };
  return new Promise((resolve, reject) => {
    const call = httpsRequest({ host: "127.0.0.1", port, path: "/inject", method: "POST", agent }, (answer) => {
      const certificate = (answer.socket as TLSSocket).getPeerX509Certificate()!.fingerprint256;
      let text = "";
      answer.on("data", (bytes: Buffer) => (text += bytes.toString()));
      answer.on("end", () => {
        const { response } = JSON.parse(text) as { readonly response: { readonly allowed: boolean } };
        resolve({ certificate, isReused: call.reusedSocket, allowed: response.allowed });
      });
    });
    call.on("error", reject);
    call.end(reviewOf({ operation: "CREATE", namespace: "shop", object }));
  });
}

describe("the webhooks' own certificate", why === null ? {} : { skip: why }, () => {
  test("is renewed without a restart: who dials then meets the new one, and open connections go on", async () => {
    const { clock, set } = settable();
    const { webhook: own } = await rig.controller({}, clock);
    const ca = await rootPem();
    const agent = (): Agent => new Agent({ ca, servername: serviceName, keepAlive: true, maxSockets: 1 });
    const kept = agent();
    const first = await ask(own.port, kept);
    assert.deepEqual([first.isReused, first.allowed], [false, true]);
    // Beyond half of its life, and before its end.
    set(14 * hourMs);
    await eventually(async () => {
      const dialled = agent();
      const { certificate, allowed } = await ask(own.port, dialled).finally(() => dialled.destroy());
      assert.ok(allowed);
      assert.notEqual(certificate, first.certificate);
    });
    assert.deepEqual(await ask(own.port, kept), { ...first, isReused: true });
    kept.destroy();
  });
});

describe("what a namespace asks of all containers", why === null ? {} : { skip: why }, () => {
  test("in a namespace whose LimitRange wants limits a pod is injected, and gets those that are filled in", async () => {
    await rig.project("ranged");
    const [most, given] = [
      { cpu: "1", memory: "1Gi" },
      { cpu: "500m", memory: "300Mi" },
    ];
    await rig.api.admin.create("/api/v1/namespaces/ranged/limitranges", {
      metadata: { name: "most" },
      spec: { limits: [{ type: "Container", max: most, default: given, defaultRequest: given }] },
    });
    const body = { serviceAccountName: "cart", containers: [{ name: "app", image: "x" }] };
    const pod = (await eventually(() =>
      rig.api.admin.create("/api/v1/namespaces/ranged/pods", { metadata: { name: `ranged-${++made}` }, spec: body }),
    )) as unknown as Pod;
    assert.equal(readSidecar(pod).kind, "sidecar");
    for (const container of [...pod.spec.initContainers!, ...pod.spec.containers])
      assert.deepEqual(container["resources"], { limits: given, requests: given }, container.name);
  });
});

type Step = { readonly op: "add" | "replace" | "remove"; readonly path: string; readonly value?: unknown };

/** What another webhook does to a pod after ours, by the pod's label `later`. */
const later: Readonly<Record<string, Step>> = {
  "adds-container": {
    op: "add",
    path: "/spec/containers/-",
    value: { name: "meter", image: "x", livenessProbe: { httpGet: { path: "/alive", port: 9000 } } },
  },
  "changes-proxy": { op: "replace", path: "/spec/initContainers/1/image", value: "evil/proxy:1" },
  "removes-proxy": { op: "remove", path: "/spec/initContainers/1" },
  "adds-variable": {
    op: "add",
    path: "/spec/initContainers/1/env/-",
    value: { name: "NODE_OPTIONS", value: "--require /evil.js" },
  },
};

/** Their turn comes after ours, as their names do: one webhook that is asked once, one that is asked again where ours was. */
async function registerLater(server: Server): Promise<void> {
  const port = (server.address() as AddressInfo).port;
  const one = (name: string, reinvocationPolicy: string): Json => ({
    ...webhook(name, "/", { operations: ["CREATE"], resources: ["pods"] }, { "kubernetes.io/metadata.name": "shop" }),
    clientConfig: {
      url: `https://localhost:${port}/`,
      caBundle: Buffer.from(keys.authority.pem).toString("base64"),
    },
    reinvocationPolicy,
    objectSelector: {
      matchLabels: { again: reinvocationPolicy },
      matchExpressions: [{ key: "later", operator: "Exists" }],
    },
  });
  await rig.api.admin.create(`${api}/mutatingwebhookconfigurations`, {
    metadata: { name: "zz-later" },
    webhooks: [one("once", "Never"), one("again", "IfNeeded")],
  });
}

async function startLater(asked: string[]): Promise<Server> {
  const holder = { user: "later", usages: ["serverAuth"], names: ["localhost"] } as const;
  const { certificateFile, keyFile } = keys.issue("later", holder);
  const server = createServer(
    { cert: readFileSync(certificateFile), key: readFileSync(keyFile) },
    (incoming, answer) => {
      let text = "";
      incoming.on("data", (bytes: Buffer) => (text += bytes.toString()));
      incoming.on("end", () => {
        const { request } = JSON.parse(text) as { readonly request: { readonly uid: string; readonly object: Pod } };
        const step = later[request.object.metadata.labels?.["later"] ?? ""]!;
        asked.push(request.object.spec.initContainers?.[1]?.image ?? "");
        const patch = Buffer.from(JSON.stringify([step])).toString("base64");
        const response = { uid: request.uid, allowed: true, patchType: "JSONPatch", patch };
        answer.setHeader("content-type", "application/json");
        answer.end(JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response }));
      });
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

describe("after another webhook has changed what injection made", why === null ? {} : { skip: why }, () => {
  const ours = "localhost/tencrypt/proxy:test";
  /** The proxy's image as the other webhook found it, each time that it was asked. */
  const asked: string[] = [];
  let server: Server;
  before(async () => {
    server = await startLater(asked);
    await registerLater(server);
    await eventually(async () => {
      await createLater("adds-container", "Never");
      assert.ok(asked.length > 0);
    });
  });
  after(async () => {
    await rig.api.admin.delete(`${api}/mutatingwebhookconfigurations/zz-later`);
    server.close();
    server.closeAllConnections();
  });

  function createLater(what: string, again: "Never" | "IfNeeded"): Promise<Pod> {
    asked.length = 0;
    return create("later", {}, { labels: { later: what, again } });
  }

  test("injection is asked again: probes of a container that was added go to the proxy too", async () => {
    const pod = await createLater("adds-container", "Never");
    assert.deepEqual(asked, [ours]);
    assert.equal(readSidecar(pod).kind, "sidecar");
    const probe = pod.spec.containers.find(({ name }) => name === "meter")?.["livenessProbe"] as {
      readonly httpGet: { readonly path: string; readonly port: number };
    };
    assert.deepEqual([probe.httpGet.port, probe.httpGet.path], [15_021, "/probe/meter/liveness"]);
    const env = pod.spec.initContainers?.[1]?.env ?? [];
    const declared = env.find(({ name }) => name === "TENCRYPT_PROBES")?.value ?? "";
    assert.match(declared, /"path":"\/alive".*9000|9000.*"path":"\/alive"/);
  });

  for (const what of ["changes-proxy", "removes-proxy", "adds-variable"]) {
    test(`a webhook that ${what.replace("-", " the ")} once is undone`, async () => {
      const pod = await createLater(what, "Never");
      assert.deepEqual(asked, [ours]);
      const [, proxy] = pod.spec.initContainers!;
      assert.deepEqual([pod.spec.initContainers?.length, proxy?.image], [2, ours]);
      assert.ok(!proxy?.env?.some(({ name }) => name === "NODE_OPTIONS"));
    });

    test(`one that ${what.replace("-", " the ")} each time has the pod refused`, async () => {
      await assert.rejects(createLater(what, "IfNeeded"), refusedWith(/not_as_injected/));
      // The second time it found what injection had mended.
      assert.deepEqual(asked, [ours, ours]);
    });
  }
});

describe("while an upgrade is under way", why === null ? {} : { skip: why }, () => {
  test("a pod that one replica injects and another one validates is worth another try", async () => {
    const next = await rig.controller({ TENCRYPT_PROXY_IMAGE: "localhost/tencrypt/proxy:next" });
    validating = next;
    await assert.rejects(
      create("between", {}),
      (error: unknown) => error instanceof ApiError && error.code === 503 && /upgrade_under_way/.test(error.message),
    );
    controller = next;
    assert.equal((await create("after", {})).spec.initContainers?.[1]?.image, "localhost/tencrypt/proxy:next");
  });
});

describe("an answer for now", why === null ? {} : { skip: why }, () => {
  test("a refusal that is worth another try is one that clients retry, also behind the API server", async () => {
    await rig.api.objects.namespace("unlabelled");
    const rules = { operations: ["CREATE"], resources: ["pods"] };
    await rig.api.admin.create(`${api}/mutatingwebhookconfigurations`, {
      metadata: { name: "unlabelled" },
      webhooks: [webhook("unlabelled", "/inject", rules, { "kubernetes.io/metadata.name": "unlabelled" })],
    });
    const body = { spec: { containers: [{ name: "app", image: "x" }] } };
    await eventually(() =>
      assert.rejects(
        rig.api.admin.create("/api/v1/namespaces/unlabelled/pods?dryRun=All", { metadata: { name: "a" }, ...body }),
        (error: unknown) =>
          error instanceof ApiError && error.code === 503 && /project_not_labelled/.test(error.message),
      ),
    );
  });
});
