/**
 * The life of authorities on a real API server: the control-plane CA is replaced in time, a project's when it has ended,
 * and the steps of docs/operations.md for a new root lead to one, while the change alone does not.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { authorities } from "../../../cli/checks/authorities.ts";
import { createMetrics } from "../../../ca/metrics.ts";
import { newRoot } from "../../../ca/issue/authority.ts";
import { issueForControlPlane } from "../../../ca/issue/issue.ts";
import type { SigningAuthority } from "../../../ca/store/authority.ts";
import type { Pair } from "../../../ca/store/files.ts";
import { openKubernetes } from "../../../ca/store/kubernetes.ts";
import type { Store } from "../../../ca/store/store.ts";
import { newKey } from "../../../ca/x509/key.ts";
import { systemClock } from "../../../lib/clock/clock.ts";
import type { Clock } from "../../../lib/clock/clock.ts";
import { loadAccess } from "../../../lib/kube/access.ts";
import { KubeClient } from "../../../lib/kube/client.ts";
import type { ConfigMap, Secret } from "../../../lib/kube/objects.ts";
import { createLog } from "../../../lib/log/log.ts";
import { issuer } from "../../cluster/control-plane.ts";
import { startApiServer, whyNoApiServer } from "../../cluster/api-server.ts";
import type { ApiServer } from "../../cluster/api-server.ts";
import { kubeconfigOfAccount } from "../../chart/rights.ts";

const why = whyNoApiServer();
const day = 86_400_000;
const trustDomain = "cluster.local";
const namespace = "tencrypt-ca";
const path = `/api/v1/namespaces/${namespace}`;
const page = readFileSync(join(import.meta.dirname, "../../../docs/operations.md"), "utf8");

const fingerprint = ({ certificate }: SigningAuthority): string => new X509Certificate(certificate.der).fingerprint256;

describe("authorities", why === null ? {} : { skip: why }, () => {
  let api: ApiServer;
  let clients: KubeClient[] = [];
  let uid: string;
  const shift = { days: 0 };
  const clock: Clock = { ...systemClock, now: () => Date.now() + shift.days * day };

  before(async () => {
    api = await startApiServer();
    await api.objects.namespace(namespace);
    ({ uid } = await api.objects.namespace("shop", { "tencrypt.io/project": "enabled" }));
  });
  after(async () => {
    for (const client of clients) client.close();
    clients = [];
    await api?.stop();
  });

  /** With the rights that the chart gives the ca. */
  const open = async (lines: string[] = []): Promise<Store> => {
    const client = new KubeClient(
      loadAccess({ kubeconfig: await kubeconfigOfAccount(api, "tencrypt-ca", namespace) }),
      systemClock,
    );
    clients.push(client);
    const log = createLog({ level: "info", now: clock.now, write: (line) => void lines.push(line) });
    return openKubernetes({ namespace, trustDomain, broughtRoot: null }, { client, clock, log });
  };
  const inSecret = async (name: string): Promise<string> => {
    const { data } = (await api.admin.get(`${path}/secrets/${name}`)) as unknown as Secret;
    return new X509Certificate(Buffer.from(data?.["tls.crt"] ?? "", "base64")).fingerprint256;
  };
  const leafOf = (store: Store, by: SigningAuthority): string => {
    const { publicKey } = newKey();
    const who = { project: "tencrypt-ca", serviceAccount: "tencrypt-ca", servingNames: [], publicKey, ttl: day };
    return issueForControlPlane(who, { trustDomain, root: store.root, issuer: by, now: clock.now() }).kind;
  };
  const issuerOf = async (store: Store): Promise<SigningAuthority> => {
    const found = await store.issuerOf("shop", uid);
    assert.equal(found.kind, "issuer", JSON.stringify(found));
    return found.authority;
  };

  test("the control-plane CA is replaced at half of its life, once for all replicas, and the old one stays good", async () => {
    const lines: string[] = [];
    const [one, other] = [await open(lines), await open()];
    const first = one.controlPlane;
    shift.days = 364;
    await one.renewControlPlane();
    assert.equal(fingerprint(one.controlPlane), fingerprint(first), "too early");
    shift.days = 366;
    await Promise.all([one.renewControlPlane(), other.renewControlPlane()]);
    assert.notEqual(fingerprint(one.controlPlane), fingerprint(first));
    assert.equal(fingerprint(one.controlPlane), await inSecret("tencrypt-control-plane"));
    assert.equal(fingerprint(other.controlPlane), fingerprint(one.controlPlane), "who was first decided");
    assert.match(lines.join(""), /"control_plane_ca_replaced"/);
    // Read back by the verifier of all programs: neither has to be known beforehand.
    assert.deepEqual([leafOf(one, first), leafOf(one, one.controlPlane)], ["leaf", "leaf"]);
    shift.days = 366 + 731;
    assert.equal(
      fingerprint((await open()).controlPlane),
      await inSecret("tencrypt-control-plane"),
      "also one that ended",
    );
    assert.notEqual(fingerprint(one.controlPlane), await inSecret("tencrypt-control-plane"));
  });

  test("a project's CA that has ended is replaced, by a replica that knew it too; one that has not is kept", async () => {
    const store = await open();
    const first = fingerprint(await issuerOf(store));
    shift.days += 729;
    assert.equal(fingerprint(await issuerOf(store)), first);
    shift.days += 2;
    const second = fingerprint(await issuerOf(store));
    assert.notEqual(second, first);
    assert.equal(second, await inSecret("tencrypt-project.shop"));
  });

  test("`tencrypt check` sees when they end, in the Secrets or in the metrics of the ca", async () => {
    const store = await open();
    const project = await issuerOf(store);
    const expected = [
      { project: null, notAfter: store.controlPlane.certificate.notAfter },
      { project: "shop", notAfter: project.certificate.notAfter },
    ];
    const clientOf = (kubeconfig: string): KubeClient => new KubeClient(loadAccess({ kubeconfig }), systemClock);
    const [admin, other] = [clientOf(api.kubeconfig), clientOf(await nobody(api))];
    clients.push(admin, other);
    assert.deepEqual(await authorities(admin, []), { kind: "read", value: expected });
    assert.equal((await authorities(other, [])).kind, "unreadable");
    const metrics = createMetrics();
    metrics.follow(() => ({
      version: 1n,
      ends: [
        { authority: "root", project: "", notAfter: 0 },
        ...expected.map(({ project: name, notAfter }) => ({
          authority: name === null ? ("control-plane" as const) : ("project" as const),
          project: name ?? "",
          notAfter,
        })),
      ],
    }));
    const shown = metrics.registry.render("prometheus");
    assert.deepEqual(await authorities(other, [shown, shown]), { kind: "read", value: expected });
  });

  test("a new root alone stops the ca, which says what to do; the documented steps lead to a new root", async () => {
    const before_ = await open();
    await issuerOf(before_);
    const root: Pair = newRoot(clock.now());
    const data = { "tls.crt": encoded(root.certificate), "tls.key": encoded(root.key) };
    await api.admin.patch(`${path}/secrets/tencrypt-root`, { data });
    await assert.rejects(open(), (error: Error) => {
      assert.match(error.message, /^tls\.crt of Secret tencrypt-control-plane is refused: bad_signature: /);
      for (const step of stepsOfDocs().slice(1)) assert.ok(error.message.includes(step), step);
      return true;
    });
    // The first step deletes a root that the ca made.
    for (const step of stepsOfDocs()) await api.kubectl(...step.split(/ +/).slice(1));
    const store = await open();
    assert.notEqual(fingerprint(store.root), fingerprint(before_.root));
    for (const { certificate } of [store.controlPlane, await issuerOf(store)])
      assert.ok(new X509Certificate(certificate.der).verify(store.root.certificate.key));
    const published = (await api.admin.get(`${path}/configmaps/tencrypt-root`)) as unknown as ConfigMap;
    assert.equal(new X509Certificate(published.data?.["ca.crt"] ?? "").fingerprint256, fingerprint(store.root));
    const { knowledge } = await store.publish(0n);
    assert.deepEqual([...knowledge.projects.keys()], ["shop"]);
  });
});

async function nobody(api: ApiServer): Promise<string> {
  await api.objects.serviceAccount("shop", "nobody");
  return api.kubeconfigOf(await api.objects.token({ namespace: "shop", serviceAccount: "nobody", audience: issuer }));
}

const encoded = (text: string): string => Buffer.from(text).toString("base64");

/** The commands of the section that delete something, without their remarks. */
const stepsOfDocs = (): readonly string[] =>
  (page.split("### A new root")[1]?.split("```")[1] ?? "")
    .split("\n")
    .map((line) => line.replace(/#.*$/, "").trim())
    .filter((line) => line.includes(" delete secret "));
