/**
 * What the product is for: a project is labelled, its deployments are restarted, and from then on nothing of what their
 * pods say to each other crosses a bridge in clear, on one node or across two, and each side knows who the other is.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { whyNoCluster } from "../cluster/cluster.ts";
import type { Capture, Captured } from "../topology/capture.ts";
import type { Json } from "../cluster/client.ts";
import { httpServer, Mesh } from "./kit.ts";

const why = whyNoCluster();
const namespace = "shop";
const tunnelPort = 15008;

type Session = { readonly direction: string; readonly peer: string; readonly group: string };

let mesh: Mesh;
const canary = `canary-${randomBytes(8).toString("hex")}`;

const clientPod = async (): Promise<string> =>
  (await mesh.pods(namespace, "client"))[0]?.name ?? assert.fail("no client");

const node2 = (): string => `10.222.${mesh.cluster.place.index}.12`;

const nodePortUrl = async (): Promise<string> => {
  const path = `/api/v1/namespaces/${namespace}/services/web-nodeport`;
  const { ports } = (await mesh.cluster.admin.get(path))["spec"] as {
    readonly ports: readonly { nodePort: number }[];
  };
  return `http://${node2()}:${ports[0]!.nodePort}/`;
};

/** By every way that a client may name a server, several times so that both replicas are met. */
const callAll = async (): Promise<readonly string[]> => {
  const client = await clientPod();
  const byPod = (await mesh.pods(namespace, "web")).map(({ ip }) => `http://${ip}:8080/`);
  const byName = ["http://web/", "http://web/", "http://web-headless:8080/", "http://web.shop.svc/"];
  const urls = [...byName, ...byPod, await nodePortUrl()];
  const answers: string[] = [];
  for (const url of urls) {
    const { ok, text } = await mesh.call(namespace, client, url, canary);
    assert.ok(ok, `${url} from ${client}`);
    answers.push(text);
  }
  return answers;
};

const captured = async (during: () => Promise<unknown>): Promise<readonly Captured[]> => {
  const captures: Capture[] = [];
  for (const [node, device] of [
    ["n1", "cni0"],
    ["n2", "cni0"],
    [null, `ks${mesh.cluster.place.name}`],
  ] as const)
    captures.push(await mesh.capture(node, device));
  await during();
  return Promise.all(captures.map((capture) => capture.stop()));
};

const sessions = async (pod: string): Promise<readonly Session[]> =>
  (await mesh.status<{ sessions: readonly Session[] }>(namespace, pod)).sessions;

describe("a project", why === null ? {} : { skip: why }, () => {
  before(async () => {
    mesh = await Mesh.start({ nodes: 2 });
    await mesh.cluster.objects.namespace(namespace);
    for (const account of ["client", "server"]) await mesh.cluster.objects.serviceAccount(namespace, account);
    const ofThisRollout = { labelSelector: { matchLabels: { app: "web" } }, matchLabelKeys: ["pod-template-hash"] };
    const onBoth = { maxSkew: 1, topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "DoNotSchedule" };
    const spec = { topologySpreadConstraints: [{ ...onBoth, ...ofThisRollout }] };
    await mesh.deploy(namespace, "web", httpServer, { serviceAccount: "server", replicas: 2, spec });
    await mesh.deploy(namespace, "client", httpServer, { serviceAccount: "client", node: "n1" });
    const ports = [{ name: "http", port: 80, targetPort: 8080 }];
    const service = (name: string, more: object): Json => ({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name },
      spec: { selector: { app: "web" }, ports, ...more },
    });
    await mesh.apply(
      namespace,
      service("web-headless", { clusterIP: "None" }),
      service("web-nodeport", { type: "NodePort" }),
    );
  });
  after(() => mesh?.stop());

  test("before it is one talks in clear, and the captures see it", async () => {
    for (const { count } of await captured(callAll))
      assert.ok(count(canary) > 0, "a capture that sees nothing proves nothing");
  });

  test("is one by a label and a restart, and nothing in clear crosses a bridge any more", async () => {
    await mesh.cluster.kubectl("label", "namespace", namespace, "tencrypt.io/project=enabled");
    await mesh.cluster.kubectl("-n", namespace, "rollout", "restart", "deployment");
    for (const name of ["web", "client"]) await mesh.rolledOut(namespace, name);
    const captures = await captured(async () => {
      const answers = await callAll();
      assert.ok(new Set(answers.map((text) => text.split(" ")[0])).size === 2, "both replicas answered");
    });
    for (const { count, tls } of captures) {
      assert.equal(count(canary), 0);
      const tunnels = tls(tunnelPort);
      for (const { flow, recordsOnly } of tunnels)
        assert.ok(recordsOnly, `${flow.source} -> ${flow.destination} is TLS from its first byte to its last`);
      // Each began within the capture: the pods are new, and nobody has called before.
      const versions = tunnels
        .filter(({ flow }) => flow.source.endsWith(`:${tunnelPort}`))
        .map(({ serverHello }) => serverHello?.version);
      assert.ok(versions.length > 0, "the tunnel was on this bridge");
      assert.deepEqual([...new Set(versions)], ["TLS 1.3"]);
    }
  });

  test("lets each side know who the other is", async () => {
    const outbound = (await sessions(await clientPod())).filter(({ direction }) => direction === "outbound");
    assert.ok(outbound.length > 0);
    for (const { peer, group } of outbound) {
      assert.equal(peer, "spiffe://cluster.local/ns/shop/sa/server");
      assert.equal(group, "X25519MLKEM768");
    }
    for (const { name } of await mesh.pods(namespace, "web")) {
      const inbound = (await sessions(name)).filter(({ direction }) => direction === "inbound");
      assert.ok(inbound.length > 0);
      for (const { peer } of inbound) assert.equal(peer, "spiffe://cluster.local/ns/shop/sa/client");
    }
  });

  test("is encrypted through a host port too, though it is a node that is dialled", async () => {
    const container = { ports: [{ containerPort: 8080, hostPort: 18_080 }] };
    await mesh.pod(namespace, "on-host", httpServer, { serviceAccount: "server", node: "n2", container });
    const captures = await captured(async () => {
      const { ok, text } = await mesh.call(namespace, await clientPod(), `http://${node2()}:18080/`, canary);
      assert.ok(ok, text);
      assert.equal(text.split(" ")[0], "on-host");
    });
    for (const { count } of captures) assert.equal(count(canary), 0);
  });

  test("shows the application its own pod as source", async () => {
    const { text } = await mesh.call(namespace, await clientPod(), "http://web/");
    const [name, source] = text.trim().split(" ");
    const answering = (await mesh.pods(namespace, "web")).find((pod) => pod.name === name);
    assert.equal(source?.replace("::ffff:", ""), answering?.ip);
  });
});
