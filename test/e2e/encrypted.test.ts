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
/** Of the ca, and of the controller's directory. */
const controlPorts = [15012, 15013];

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

/** The addresses that a name has in the client's pod. */
const resolved = async (name: string): Promise<readonly string[]> => {
  const script = `require("node:dns").lookup("${name}", { all: true }, (error, found) => console.log(found.map(({ address }) => address).join()))`;
  const { stdout } = await mesh.exec(namespace, await clientPod(), "node", "-e", script);
  return stdout.trim().split(",");
};

/** Each of two endpoints is one on its own node, or on the other: chosen at random, one is missed so often once in 2^19. */
const mostCalls = 20;

/**
 * By every way that a client may name a server, each until both replicas have answered, which are on two nodes: its Service,
 * a node's port, a name that stands for all addresses (a client goes through them), and the address itself.
 */
const callAll = async (): Promise<void> => {
  const client = await clientPod();
  const replicas = await mesh.pods(namespace, "web");
  assert.deepEqual(replicas.map(({ node }) => node).toSorted(), ["n1", "n2"]);
  const direct = (ips: readonly string[]) => (count: number) => `http://${ips[count % ips.length]}:8080/`;
  const nodePort = await nodePortUrl();
  const ways: readonly ((count: number) => string)[] = [
    () => "http://web/",
    () => "http://web.shop.svc/",
    () => nodePort,
    direct(await resolved("web-headless")),
    direct(replicas.map(({ ip }) => ip)),
  ];
  const goThrough = async (way: (count: number) => string): Promise<void> => {
    const answered = new Set<string>();
    for (let count = 0; answered.size < replicas.length; count++) {
      assert.ok(count < mostCalls, `${way(count)} leads to ${[...answered].join()} alone`);
      const { ok, text } = await mesh.call(namespace, client, way(count), canary);
      assert.ok(ok, `${way(count)} from ${client}`);
      answered.add(text.split(" ")[0]!);
    }
    assert.deepEqual([...answered].toSorted(), replicas.map(({ name }) => name).toSorted());
  };
  await Promise.all(ways.map(goThrough));
  assert.ok(
    (await mesh.call(namespace, client, "http://web-headless:8080/", canary)).ok,
    "by the headless name as it is",
  );
};

/** What pods of the project, as they are now, said to each other by any other way than the tunnel. */
const outsideTunnel = async ({ flows }: Captured): Promise<readonly string[]> => {
  const pods = [...(await mesh.pods(namespace, "web")), ...(await mesh.pods(namespace, "client"))];
  const ips = new Set(pods.map(({ ip }) => ip));
  return flows()
    .filter(({ pieces }) => pieces.length > 0)
    .map(({ source, destination }) => [source.split(":"), destination.split(":")] as const)
    .filter((ends) => ends.every(([ip]) => ips.has(ip!)) && ends.every(([, port]) => port !== String(tunnelPort)))
    .map((ends) => ends.map((end) => end.join(":")).join(" -> "));
};

/** All that began within the capture is TLS 1.3 from its first byte to its last; says how many servers answered. */
function assertTls({ tls }: Captured, port: number): number {
  const begun = tls(port).filter(({ flow }) => flow.fromStart);
  for (const { flow, recordsOnly } of begun)
    assert.ok(recordsOnly, `${flow.source} -> ${flow.destination} is TLS from its first byte to its last`);
  const answers = begun.filter(({ flow }) => flow.source.endsWith(`:${port}`));
  for (const { flow, serverHello } of answers)
    assert.equal(serverHello?.version, "TLS 1.3", `${flow.source} -> ${flow.destination}`);
  return answers.length;
}

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
    for (const capture of await captured(callAll)) {
      assert.ok(capture.count(canary) > 0, "a capture that sees nothing proves nothing");
      assert.ok((await outsideTunnel(capture)).some((flow) => flow.includes(":8080")));
    }
  });

  test("is one by a label and a restart, and nothing in clear crosses a bridge any more", async () => {
    await mesh.cluster.kubectl("label", "namespace", namespace, "tencrypt.io/project=enabled");
    const captures = await captured(async () => {
      await mesh.cluster.kubectl("-n", namespace, "rollout", "restart", "deployment");
      for (const name of ["web", "client"]) await mesh.rolledOut(namespace, name);
      await callAll();
    });
    for (const capture of captures) {
      assert.equal(capture.count(canary), 0);
      assert.deepEqual(await outsideTunnel(capture), []);
      assert.ok(assertTls(capture, tunnelPort) > 0, "the tunnel was on this bridge");
      // Each began within the capture: the pods are new, and nobody has called before.
      assert.ok(capture.tls(tunnelPort).every(({ flow }) => flow.fromStart));
    }
    // Between the nodes only where the replica that was chosen is on the other one.
    const answers = captures.map((capture) => controlPorts.map((port) => assertTls(capture, port)));
    for (const ofBridge of answers.slice(0, 2))
      assert.ok(
        ofBridge.every((count) => count > 0),
        `certificates and directories of new pods: ${ofBridge.join()}`,
      );
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
