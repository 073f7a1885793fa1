/**
 * Pods that are newer than what a proxy knows: never reached in clear while the directory stream is blocked. Addresses that
 * change hands.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { whyNoCluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { httpServer, idle, Mesh, podSpec } from "./kit.ts";

const why = whyNoCluster();
/** Of gRPC. */
const permissionDenied = 7;

let mesh: Mesh;
before(async () => {
  if (why === null) mesh = await Mesh.start();
});
after(() => mesh?.stop());

describe("pods that are newer than the snapshot", why === null ? {} : { skip: why }, () => {
  const namespace = "late";

  before(async () => {
    await mesh.project(namespace, { mode: "project" });
    await mesh.pod(namespace, "client");
  });

  test("while the directory stream is blocked a new pod is refused, never reached in clear", async () => {
    const [client] = await mesh.pods(namespace, "client");
    const inPod = async (...command: readonly string[]): Promise<string> => {
      const find = `for ns in $(ls /run/netns /var/run/netns 2>/dev/null | sort -u); do ip netns exec $ns ip -4 -o addr show eth0 2>/dev/null | grep -q "${client!.ip}/" && echo $ns; done`;
      const name = (await mesh.cluster.inNode(client!.node, "sh", "-c", find)).stdout.trim().split("\n")[0]!;
      assert.notEqual(name, "");
      const { code, stdout, stderr } = await mesh.cluster.inNode(client!.node, "ip", "netns", "exec", name, ...command);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    const rules = [
      ["OUTPUT", "-p", "tcp", "--dport", "15013", "-j", "DROP"],
      ["INPUT", "-p", "tcp", "--sport", "15013", "-j", "DROP"],
    ];
    for (const rule of rules) await inPod("iptables", "-I", ...rule);
    const capture = await mesh.capture(client!.node, "cni0");
    // Its first instruction says something to another pod, at which nobody listens.
    const headers = JSON.stringify({ "x-canary": "canary-of-the-first" });
    const firstWords = `fetch("http://${client!.ip}:8080/", { headers: ${headers} }).catch(() => {});`;
    await mesh.pod(namespace, "newer", firstWords + httpServer);
    const [newer] = await mesh.pods(namespace, "newer");
    const refused = await mesh.call(namespace, "client", `http://${newer!.ip}:8080/`, "canary-of-the-blocked");
    assert.equal(refused.ok, false);
    const line = await mesh.refusal(namespace, "client", "destination_unknown");
    assert.match(String(line["destination"]), new RegExp(`^${newer!.ip}:8080`));
    await mesh.refusal(namespace, "newer", "application_refused");
    for (const rule of rules) await inPod("iptables", "-D", ...rule);
    await eventually(async () =>
      assert.ok((await mesh.call(namespace, "client", `http://${newer!.ip}:8080/`, "canary-of-the-blocked")).ok),
    );
    const { count, tls } = await capture.stop();
    assert.ok(tls(15008).length > 0);
    for (const canary of ["canary-of-the-blocked", "canary-of-the-first"]) assert.equal(count(canary), 0, canary);
  });
});

describe("addresses that change hands", why === null ? {} : { skip: why }, () => {
  const modes = ["permissive", "project", "strict"] as const;
  const ownerIn = (mode: string): string => `owner-${mode}`;

  before(async () => {
    // A project too, so that its pods have proxies and certificates of their own.
    await mesh.project("elsewhere", { mode: "permissive" });
    const makeOwner = async (mode: string): Promise<void> => {
      const owner = ownerIn(mode);
      await mesh.project(owner, { mode, "allow-from": `${owner}/job` });
      await mesh.cluster.objects.serviceAccount(owner, "job");
      await mesh.deploy(owner, "web");
    };
    await Promise.all(modes.map(makeOwner));
  });

  /** The next pod of the node gets this address: host-local goes on behind the one that it gave last. */
  async function giveNext(node: string, ip: string): Promise<void> {
    const [a, b, c, d] = ip.split(".").map(Number);
    const last = [a, b, c, d! - 1].join(".");
    const write = `printf %s ${last} > /run/cni-ipam/pods/last_reserved_ip.0`;
    const { code, stderr } = await mesh.cluster.inNode(node, "sh", "-c", write);
    assert.equal(code, 0, stderr);
  }

  type Heir = { readonly name: string; readonly ip: string; readonly tokenOfJob: string };

  /**
   * Runs a Job under the account that is granted something, and gives its address to a pod of another project. The Job waits
   * until its token is read, which is as good as any while it runs.
   */
  async function inherit(namespace: string): Promise<Heir> {
    const script = `
      const { existsSync } = require("node:fs");
      const end = () => { if (existsSync("/tmp/end")) process.exit(0); };
      fetch("http://web/").then(async (answer) => {
        console.log(await answer.text());
        setInterval(end, 20);
      }, () => process.exit(1));
    `;
    const spec = { ...podSpec(script, { serviceAccount: "job" }), restartPolicy: "Never" };
    await mesh.apply(namespace, {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "once" },
      spec: { backoffLimit: 0, template: { metadata: { labels: { app: "once" } }, spec } },
    });
    const job = await eventually(
      async () => (await mesh.pods(namespace, "once"))[0] ?? assert.fail("no pod of the Job"),
    );
    const isReady = ["wait", `pod/${job.name}`, "--for=condition=Ready", "--timeout=60s"];
    await mesh.cluster.kubectl("-n", namespace, ...isReady);
    const tokenOfJob = await mesh.token(namespace, job.name);
    assert.equal((await mesh.askCa({ namespace, pod: job.name }, tokenOfJob)).code, 0);
    await mesh.exec(namespace, job.name, "touch", "/tmp/end");
    // The account is let in: that the Job completes shows it.
    await mesh.cluster.kubectl("-n", namespace, "wait", "job/once", "--for=condition=Complete", "--timeout=60s");
    const [finished] = await mesh.pods(namespace, "once");
    await giveNext(finished!.node, finished!.ip);
    const name = `heir-of-${namespace}`;
    await mesh.pod("elsewhere", name, idle, { node: finished!.node });
    const [heir] = await mesh.pods("elsewhere", name);
    assert.equal(heir!.ip, finished!.ip, "the address was not given again");
    return { name, ip: heir!.ip, tokenOfJob };
  }

  type Refusal = { readonly reason: string; readonly peer: string | null };

  /** The heir's calls are refused, in the end for that reason, each by the server's proxy. */
  const refuses = (namespace: string, heir: Heir, expected: Refusal): Promise<void> =>
    eventually(async () => {
      const [web] = await mesh.pods(namespace, "web");
      assert.equal((await mesh.call("elsewhere", heir.name, `http://${web!.ip}:8080/`)).ok, false);
      const seen = (await mesh.log(namespace, web!.name))
        .filter(({ event, source }) => event === "connection_refused" && String(source).startsWith(`${heir.ip}:`))
        .map(({ reason, peer = null }) => ({ reason, peer }));
      assert.ok(
        seen.some((each) => isDeepStrictEqual(each, expected)),
        JSON.stringify(seen),
      );
    }, 10_000);

  for (const mode of modes) {
    test(`in ${mode} the address of a finished Job gives its next holder nothing that was the Job's`, async () => {
      const namespace = ownerIn(mode);
      const heir = await inherit(namespace);
      const reason = mode === "strict" ? "plaintext_refused" : "caller_not_allowed";
      await refuses(namespace, heir, { reason, peer: null });

      const late = await mesh.askCa({ namespace: "elsewhere", pod: heir.name }, heir.tokenOfJob);
      assert.equal(late.code, permissionDenied, JSON.stringify(late));
      await eventually(async () => {
        const refusals = (await mesh.caRefusals()).filter(
          ({ source, detail }) => source === heir.ip && detail === "the pod has ended: Succeeded",
        );
        assert.deepEqual(
          refusals.map((line) => line["reason"]),
          ["pod_not_protected"],
        );
      }, 5_000);

      // Peers of each other, the heir comes with its own certificate: the name in that counts, not whose address it was.
      await mesh.annotate("elsewhere", { peers: namespace });
      await mesh.annotate(namespace, { peers: "elsewhere" });
      const peer = "spiffe://cluster.local/ns/elsewhere/sa/default";
      await refuses(namespace, heir, { reason: "caller_not_allowed", peer });
    });
  }
});
