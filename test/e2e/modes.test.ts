/**
 * Who gets through to whom, by what the namespace and the pod say: each mode, dry run, callers by name, other projects and
 * peers, and what a pod narrows for itself. The pods: `server`, `client` and `second` of the project, and three that are not
 * protected towards it: `bare` of the project without a proxy, `stranger` of no project, and `guest` of another project.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Mode } from "../../lib/project/mode.ts";
import { whyNoCluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { httpServer, Mesh } from "./kit.ts";
import type { LogLine } from "./kit.ts";

const why = whyNoCluster();
const url = "http://server.shop/";

let mesh: Mesh;

type Caller = readonly [namespace: string, pod: string];
const client: Caller = ["shop", "client"];
const second: Caller = ["shop", "second"];
const bare: Caller = ["shop", "bare"];
const stranger: Caller = ["plain", "stranger"];
const guest: Caller = ["other", "guest"];

const passes = async ([namespace, pod]: Caller, to = url): Promise<boolean> => (await mesh.call(namespace, pod, to)).ok;

/** Of a pod that is called by its name. */
async function ipOf([namespace, pod]: Caller): Promise<string> {
  const [found = assert.fail(`no ${pod}`)] = await mesh.pods(namespace, pod);
  return found.ip;
}

const directUrl = async (pod: Caller): Promise<string> => `http://${await ipOf(pod)}:8080/`;

const serverPod = async (): Promise<string> => (await mesh.pods("shop", "server"))[0]?.name ?? assert.fail("no server");

/** In which changes reach running proxies, by docs/reference.md. */
const reachMs = 2_000;
/** In which a proxy's line is in its log: those of one kind are counted for a second. */
const lineMs = 2_000;
let changedAt = 0;

type Annotations = Readonly<Record<string, string | null>>;

/** A namespace, or a pod that runs in it. */
async function annotate(namespace: string, annotations: Annotations, pod?: string): Promise<void> {
  await mesh.annotate(namespace, annotations, pod);
  changedAt = performance.now();
}

const shop = (annotations: Annotations): Promise<void> => annotate("shop", annotations);
const onServer = async (annotations: Annotations): Promise<void> => annotate("shop", annotations, await serverPod());

async function restart(name: string): Promise<void> {
  await mesh.cluster.kubectl("-n", "shop", "rollout", "restart", `deployment/${name}`);
  await mesh.rolledOut("shop", name);
  changedAt = performance.now();
}

/** Asks again for as long as a change may take to reach the proxies: what is asked after that has to be so at once. */
const inTime = (check: () => Promise<void>): Promise<void> =>
  eventually(check, reachMs - (performance.now() - changedAt));

const soon = (ask: () => Promise<boolean>, expected: boolean, what: string): Promise<void> =>
  inTime(async () => {
    const began = performance.now() - changedAt;
    assert.equal(await ask(), expected, `${what}, asked ${Math.round(began)} ms after the last change`);
  });

const expect = (caller: Caller, expected: boolean, to = url): Promise<void> =>
  soon(() => passes(caller, to), expected, `${caller.join("/")} -> ${to}`);

/** As through a NodePort: by itself a call of the node would come from its bridge, which is no address of a node. */
async function nodeOf(app: string): Promise<{ readonly name: string; readonly fromNode: () => Promise<boolean> }> {
  const [{ name, ip, node } = assert.fail(`no ${app}`)] = await mesh.pods("shop", app);
  const address = `10.222.${mesh.cluster.place.index}.1${node.slice(1)}`;
  const ask = ["curl", "-sS", "-f", "-m", "8", "--interface", address, "-o", "/dev/null", `http://${ip}:8080/`];
  return { name, fromNode: async () => (await mesh.cluster.inNode(node, ...ask)).code === 0 };
}

const refusal = (pod: string, reason: string): Promise<LogLine> => mesh.refusal("shop", pod, reason, lineMs);

before(async () => {
  if (why !== null) return;
  mesh = await Mesh.start();
  await mesh.project("shop", { mode: "permissive" });
  await mesh.project("other", { mode: "permissive" });
  await mesh.cluster.objects.namespace("plain");
  for (const account of ["client", "second", "server"]) await mesh.cluster.objects.serviceAccount("shop", account);
  await Promise.all([
    mesh.deploy("shop", "server", httpServer, { serviceAccount: "server" }),
    mesh.pod("shop", "client", httpServer, { serviceAccount: "client" }),
    mesh.pod("shop", "second", httpServer, { serviceAccount: "second" }),
    mesh.pod("shop", "bare", httpServer, { annotations: { "tencrypt.io/inject": "disabled" } }),
    mesh.pod("plain", "stranger", httpServer),
    mesh.pod("other", "guest", httpServer),
    mesh.apply("shop", {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "legacy" },
      spec: { selector: { app: "bare" }, ports: [{ port: 80, targetPort: 8080 }] },
    }),
  ]);
  changedAt = performance.now();
});
after(async () => {
  await mesh?.stop();
});

/** How a connection between a protected pod and one of these ends; a refusal by its reason. */
type Outcome = { readonly inbound: string; readonly outbound: string };
const passed: Outcome = { inbound: "passes", outbound: "passes" };
const refusedInside: Outcome = { inbound: "plaintext_refused", outbound: "peer_not_enrolled" };
const refusedOutside: Outcome = { inbound: "plaintext_refused", outbound: "egress_not_allowed" };

type Other = "bare" | "stranger" | "guest";
const outcomes: Readonly<Record<Mode, Readonly<Record<Other, Outcome>>>> = {
  permissive: { bare: passed, stranger: passed, guest: passed },
  project: { bare: refusedInside, stranger: passed, guest: passed },
  strict: { bare: refusedInside, stranger: refusedOutside, guest: refusedOutside },
};
const others: readonly { readonly name: Other; readonly pod: Caller; readonly whose: string }[] = [
  { name: "bare", pod: bare, whose: "internal" },
  { name: "stranger", pod: stranger, whose: "other-project" },
  { name: "guest", pod: guest, whose: "other-project" },
];

/** The order lets no line be taken for one of the step before: what repeats within a second is told at its end. */
type Step = { readonly mode: Mode; readonly tried: Mode | null };
const steps: readonly Step[] = [
  { mode: "permissive", tried: null },
  { mode: "permissive", tried: "project" },
  { mode: "project", tried: "strict" },
  { mode: "permissive", tried: "strict" },
  { mode: "project", tried: null },
  { mode: "strict", tried: null },
];

type Connection = {
  readonly name: Other;
  readonly direction: "inbound" | "outbound";
  readonly caller: Caller;
  readonly to: string;
  /** What the line of a refusal says of it, beside the reason. */
  readonly between: string;
};

/** Each of the others to the server, and the client to each: by its address, and where it has a Service by that too. */
async function connections(mode: Mode): Promise<readonly Connection[]> {
  const [server, own] = await Promise.all([ipOf(["shop", "server"]), ipOf(client)]);
  const { spec } = await mesh.cluster.admin.get("/api/v1/namespaces/shop/services/legacy");
  const { clusterIP: legacy } = spec as { readonly clusterIP: string };
  const eachWay = others.map(async ({ name, pod, whose }): Promise<readonly Connection[]> => {
    const ip = await ipOf(pod);
    const out = (to: string, destination: string): Connection => ({
      name,
      direction: "outbound",
      caller: client,
      to,
      between: `${own} -> ${destination}, ${whose}, ${mode}`,
    });
    return [
      { name, direction: "inbound", caller: pod, to: url, between: `${ip} -> ${server}:8080, ${whose}, ${mode}` },
      out(`http://${ip}:8080/`, `${ip}:8080`),
      ...(name === "bare" ? [out("http://legacy/", `${legacy}:80`)] : []),
    ];
  });
  return (await Promise.all(eachWay)).flat();
}

/** The port that a connection comes from is any. */
const told = ({ direction, reason, dryRun, source, destination, class: whose, mode }: LogLine): string =>
  `${String(direction)} ${String(reason)}${dryRun === true ? " tried" : ""}: ` +
  `${String(source).replace(/:\d+$/, "")} -> ${String(destination)}, ${String(whose)}, ${String(mode)}`;

/** The line that a connection leaves, where one of both modes refuses it. */
function lineOf({ name, direction, between }: Connection, { mode, tried }: Step): readonly string[] {
  const outcome = outcomes[mode][name][direction];
  if (outcome !== "passes") return [`${direction} ${outcome}: ${between}`];
  const stricter = tried === null ? "passes" : outcomes[tried][name][direction];
  return stricter === "passes" ? [] : [`${direction} ${stricter} tried: ${between}`];
}

const refusalsSince = async (time: string, ...pods: readonly string[]): Promise<readonly string[]> => {
  const lines = (await Promise.all(pods.map((pod) => mesh.log("shop", pod)))).flat();
  return lines.filter(({ event, time: at }) => event === "connection_refused" && String(at) >= time).map(told);
};

/** Waits for the line of a refusal by the server of what this pod sent in clear, or would have refused. */
async function serverRefuses(caller: Caller, reason: string, since: string): Promise<void> {
  const [from, server, name] = await Promise.all([ipOf(caller), ipOf(["shop", "server"]), serverPod()]);
  const line = (lines: readonly string[]): boolean =>
    lines.some((text) => text.startsWith(`inbound ${reason}: ${from} -> ${server}:8080, `));
  await eventually(async () => {
    const lines = await refusalsSince(since, name);
    assert.ok(line(lines), `no ${reason} of ${caller.join("/")} in ${lines.join("\n")}`);
  }, lineMs);
}

const decidesBy = async (pod: string): Promise<Step> => {
  const { mode, dryRun } = await mesh.status<{ readonly mode: Mode; readonly dryRun: Mode | null }>("shop", pod);
  return { mode, tried: dryRun };
};

describe("a mode", why === null ? {} : { skip: why }, () => {
  for (const step of steps) {
    const { mode, tried } = step;
    test(`${mode}${tried === null ? "" : ` that tries ${tried}`} lets through what it has to, and tells of the rest`, async () => {
      await shop({ mode, "dry-run": tried });
      const server = await serverPod();
      await Promise.all(
        [server, "client"].map((pod) => inTime(async () => assert.deepEqual(await decidesBy(pod), step, pod))),
      );
      const since = new Date().toISOString();
      const all = await connections(mode);
      const ask = async ({ name, direction, caller, to }: Connection): Promise<void> => {
        const expected = outcomes[mode][name][direction] === "passes";
        assert.equal(await passes(caller, to), expected, `${caller.join("/")} -> ${to}`);
      };
      await Promise.all([...all.map(ask), passes(client).then(assert.ok)]);
      const expected = all.flatMap((connection) => lineOf(connection, step)).toSorted();
      await eventually(async () => {
        const lines = await refusalsSince(since, server, "client");
        assert.deepEqual([...new Set(lines)].toSorted(), expected);
      }, lineMs);
    });
  }

  test("strict lets in whom the project names", async () => {
    await expect(stranger, false);
    await shop({ "allow-ingress": "plain/default:8080" });
    await expect(stranger, true);
    await expect(guest, false);
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

    const { name, fromNode } = await nodeOf("server");
    await soon(fromNode, false, "node -> server");
    await refusal(name, "node_source_refused");
    await shop({ "node-sources": "accept" });
    await soon(fromNode, true, "node -> server");
    await shop({ "node-sources": null });
    await soon(fromNode, false, "node -> server");
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
    assert.equal((await refusal(await serverPod(), "caller_not_allowed"))["dryRun"], true);
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

describe("a pod of a permissive project", why === null ? {} : { skip: why }, () => {
  /** Under the project's rules alone. */
  const neighbour = second;

  test("is strict where it says so, alone, and not looser than its project", async () => {
    const beside = await directUrl(neighbour);
    const since = new Date().toISOString();
    await onServer({ mode: "strict" });
    for (const caller of [stranger, bare]) await expect(caller, false);
    await expect(client, true);
    for (const caller of [stranger, bare]) await serverRefuses(caller, "plaintext_refused", since);
    for (const caller of [stranger, bare]) assert.ok(await passes(caller, beside));

    await shop({ mode: "project" });
    await expect(bare, false, beside);
    await onServer({ mode: "permissive" });
    await expect(stranger, true); // what it says now is known there
    await expect(bare, false);
    await shop({ mode: "permissive" });
    await onServer({ mode: null });
    await expect(bare, true);
  });

  test("admits the callers that it names, alone, and none that its project does not name", async () => {
    const beside = await directUrl(neighbour);
    const since = new Date().toISOString();
    await onServer({ "allow-from": "shop/client:8080" });
    for (const caller of [second, stranger]) await expect(caller, false);
    await expect(client, true);
    for (const caller of [second, stranger]) await serverRefuses(caller, "caller_not_allowed", since);
    for (const caller of [client, stranger]) assert.ok(await passes(caller, beside));

    await onServer({ "allow-from": "shop/client:8080, shop/second:8080" });
    await expect(second, true);
    await shop({ "allow-from": "shop/client:8080" });
    await expect(second, false);
    await expect(client, true);
    await shop({ "allow-from": null });
    await onServer({ "allow-from": null });
    await expect(stranger, true);
  });

  test("tries a stricter mode and refuses nodes where it says so, alone", async () => {
    const since = new Date().toISOString();
    const [at, beside] = await Promise.all([nodeOf("server"), nodeOf("second")]);
    await onServer({ "dry-run": "strict", "node-sources": "refuse" });
    await soon(at.fromNode, false, "node -> server");
    await expect(stranger, true);
    await serverRefuses(stranger, "plaintext_refused tried", since);
    assert.ok(await beside.fromNode());
    assert.ok(await passes(stranger, await directUrl(neighbour)));
    assert.deepEqual(await refusalsSince(since, beside.name), []);
    await onServer({ "dry-run": null, "node-sources": null });
    await soon(at.fromNode, true, "node -> server");
  });
});

describe("another project", why === null ? {} : { skip: why }, () => {
  test("is outside until both name each other; then it is encrypted and known by name", async () => {
    await shop({ mode: "strict" });
    await restart("server");
    await expect(guest, false);
    await shop({ peers: "other" });
    const completed = await mesh.cluster.kubectl("get", "namespace", "shop", "-o", "jsonpath={.metadata.annotations}");
    assert.match(completed, /"tencrypt\.io\/peers":"other\/[0-9a-f-]{36}"/);
    await expect(guest, false);
    await annotate("other", { peers: "shop" });
    await expect(guest, true);
    await shop({ "allow-from": "other/somebody" });
    await expect(guest, false);
    const { peer } = await refusal(await serverPod(), "caller_not_allowed");
    assert.equal(peer, "spiffe://cluster.local/ns/other/sa/default");
  });
});
