/**
 * Who gets through to whom, by what the namespace says: each mode, dry run, callers by name, other projects and peers. The
 * pods: `server` and `client` of the project, `bare` of the project without a proxy, one of no project, and one of another.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { whyNoCluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { httpServer, Mesh } from "./kit.ts";

const why = whyNoCluster();
const url = "http://server.shop/";

let mesh: Mesh;

type Caller = readonly [namespace: string, pod: string];
const client: Caller = ["shop", "client"];
const second: Caller = ["shop", "second"];
const bare: Caller = ["shop", "bare"];
const stranger: Caller = ["plain", "stranger"];
const other: Caller = ["other", "guest"];

const passes = async ([namespace, pod]: Caller, to = url): Promise<boolean> => (await mesh.call(namespace, pod, to)).ok;

const serverPod = async (): Promise<string> => (await mesh.pods("shop", "server"))[0]?.name ?? assert.fail("no server");

/** In which changes reach running proxies, by docs/reference.md. */
const reachMs = 2_000;
let changedAt = 0;

async function annotate(namespace: string, annotations: Readonly<Record<string, string | null>>): Promise<void> {
  await mesh.annotate(namespace, annotations);
  changedAt = performance.now();
}

const shop = (annotations: Readonly<Record<string, string | null>>): Promise<void> => annotate("shop", annotations);

async function restart(name: string): Promise<void> {
  await mesh.cluster.kubectl("-n", "shop", "rollout", "restart", `deployment/${name}`);
  await mesh.rolledOut("shop", name);
  changedAt = performance.now();
}

/** Asks again for as long as a change may take to reach the proxies: what is asked after that has to be so at once. */
const inTime = (ask: () => Promise<boolean>, expected: boolean, what: string): Promise<void> =>
  eventually(
    async () => {
      const began = performance.now() - changedAt;
      assert.equal(await ask(), expected, `${what}, asked ${Math.round(began)} ms after the last change`);
    },
    reachMs - (performance.now() - changedAt),
  );

const expect = (caller: Caller, expected: boolean, to = url): Promise<void> =>
  inTime(() => passes(caller, to), expected, `${caller.join("/")} -> ${to}`);

before(async () => {
  if (why !== null) return;
  mesh = await Mesh.start();
  await mesh.project("shop", { mode: "permissive" });
  await mesh.project("other", { mode: "permissive" });
  await mesh.cluster.objects.namespace("plain");
  for (const account of ["client", "second", "server"]) await mesh.cluster.objects.serviceAccount("shop", account);
  await mesh.deploy("shop", "server", httpServer, { serviceAccount: "server" });
  await mesh.deploy("shop", "legacy", httpServer, { annotations: { "tencrypt.io/inject": "disabled" } });
  await Promise.all([
    mesh.pod("shop", "client", httpServer, { serviceAccount: "client" }),
    mesh.pod("shop", "second", httpServer, { serviceAccount: "second" }),
    mesh.pod("shop", "bare", httpServer, { annotations: { "tencrypt.io/inject": "disabled" } }),
    mesh.pod("plain", "stranger", httpServer),
    mesh.pod("other", "guest"),
  ]);
  changedAt = performance.now();
});
after(async () => {
  await mesh?.stop();
});

describe("a mode", why === null ? {} : { skip: why }, () => {
  test("permissive lets everybody in, and out to a pod without a proxy", async () => {
    for (const caller of [client, bare, stranger, other]) await expect(caller, true);
    await expect(client, true, "http://legacy/");
  });

  test("with a dry run refuses nothing, and says what the stricter mode would", async () => {
    await shop({ "dry-run": "strict" });
    for (const caller of [client, bare, stranger, other]) await expect(caller, true);
    const refusal = await mesh.refusal("shop", await serverPod(), "plaintext_refused");
    assert.equal(refusal["dryRun"], true);
    await shop({ "dry-run": null });
  });

  test("project refuses pods of the project without a proxy, in both directions, and nobody else", async () => {
    await shop({ mode: "project" });
    await expect(client, true);
    await expect(bare, false);
    assert.equal((await mesh.refusal("shop", await serverPod(), "plaintext_refused"))["class"], "internal");
    await expect(client, false, "http://legacy/");
    await mesh.refusal("shop", "client", "peer_not_enrolled");
    for (const caller of [stranger, other]) await expect(caller, true);
  });

  test("strict refuses everybody who is not named", async () => {
    await shop({ mode: "strict" });
    for (const caller of [bare, stranger, other]) await expect(caller, false);
    await expect(client, true);
    assert.equal((await mesh.refusal("shop", await serverPod(), "plaintext_refused"))["mode"], "strict");
    await shop({ "allow-ingress": "plain/default:8080" });
    await expect(stranger, true);
    await expect(other, false);
    await shop({ "allow-ingress": null });
    await expect(stranger, false);
  });

  test("strict lets out in clear where the project says, and in from nodes", async () => {
    const [{ ip } = assert.fail("no stranger")] = await mesh.pods("plain", "stranger");
    const outside = `http://${ip}:8080/`;
    await expect(client, false, outside);
    await shop({ "allow-egress": `${ip}/32:8080` });
    await expect(client, true, outside);
    await shop({ "allow-egress": null });
    await expect(client, false, outside);

    const [server] = await mesh.pods("shop", "server");
    // As through a NodePort: by itself it would come from its bridge, which is no address of a node.
    const address = `10.222.${mesh.cluster.place.index}.1${server!.node.slice(1)}`;
    const ask = [
      "curl",
      "-sS",
      "-f",
      "-m",
      "8",
      "--interface",
      address,
      "-o",
      "/dev/null",
      `http://${server!.ip}:8080/`,
    ];
    const fromNode = async (): Promise<boolean> => (await mesh.cluster.inNode(server!.node, ...ask)).code === 0;
    await inTime(fromNode, false, "node -> server");
    await mesh.refusal("shop", server!.name, "node_source_refused");
    await shop({ "node-sources": "accept" });
    await inTime(fromNode, true, "node -> server");
    await shop({ "node-sources": null });
    await inTime(fromNode, false, "node -> server");
  });

  test("does not go below the one that a pod was injected with", async () => {
    await restart("server");
    await shop({ mode: "permissive" });
    await expect(stranger, false);
    await expect(client, true);
    await restart("server");
    await expect(stranger, true);
  });
});

describe("callers by name", why === null ? {} : { skip: why }, () => {
  test("one account is let in, another refused, and tried first without refusing", async () => {
    await shop({ mode: "permissive", "allow-from-dry-run": "shop/client:8080" });
    for (const caller of [client, second]) await expect(caller, true);
    assert.equal((await mesh.refusal("shop", await serverPod(), "caller_not_allowed"))["dryRun"], true);
    await shop({ "allow-from": "shop/client:8080", "allow-from-dry-run": null });
    await expect(client, true);
    for (const caller of [second, stranger]) await expect(caller, false);
    const refusals = (await mesh.log("shop", await serverPod())).filter(
      ({ reason }) => reason === "caller_not_allowed",
    );
    assert.ok(refusals.some(({ peer }) => peer === "spiffe://cluster.local/ns/shop/sa/second"));
    await shop({ "allow-from": null });
  });
});

describe("another project", why === null ? {} : { skip: why }, () => {
  test("is outside until both name each other; then it is encrypted and known by name", async () => {
    await shop({ mode: "strict" });
    await restart("server");
    await expect(other, false);
    await shop({ peers: "other" });
    const completed = await mesh.cluster.kubectl("get", "namespace", "shop", "-o", "jsonpath={.metadata.annotations}");
    assert.match(completed, /"tencrypt\.io\/peers":"other\/[0-9a-f-]{36}"/);
    await expect(other, false);
    await annotate("other", { peers: "shop" });
    await expect(other, true);
    await shop({ "allow-from": "other/somebody" });
    await expect(other, false);
    const refusal = await mesh.refusal("shop", await serverPod(), "caller_not_allowed");
    assert.equal(refusal["peer"], "spiffe://cluster.local/ns/other/sa/default");
  });
});
