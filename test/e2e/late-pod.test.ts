/**
 * Pods that are newer than what a proxy knows: never reached in clear while the directory stream is blocked. Addresses that
 * change hands.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { whyNoCluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { httpServer, idle, Mesh, podSpec } from "./kit.ts";

const why = whyNoCluster();

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
    await mesh.pod(namespace, "newer", httpServer);
    const [newer] = await mesh.pods(namespace, "newer");
    const refused = await mesh.call(namespace, "client", `http://${newer!.ip}:8080/`, "canary-of-the-blocked");
    assert.equal(refused.ok, false);
    const line = await mesh.refusal(namespace, "client", "destination_unknown");
    assert.match(String(line["destination"]), new RegExp(`^${newer!.ip}:8080`));
    for (const rule of rules) await inPod("iptables", "-D", ...rule);
    await eventually(async () =>
      assert.ok((await mesh.call(namespace, "client", `http://${newer!.ip}:8080/`, "canary-of-the-blocked")).ok),
    );
    const { count, tls } = await capture.stop();
    assert.ok(tls(15008).length > 0);
    assert.equal(count("canary-of-the-blocked"), 0);
  });
});

describe("addresses that change hands", why === null ? {} : { skip: why }, () => {
  before(() => mesh.cluster.objects.namespace("elsewhere"));

  /** The next pod of the node gets this address: host-local goes on behind the one that it gave last. */
  async function giveNext(node: string, ip: string): Promise<void> {
    const [a, b, c, d] = ip.split(".").map(Number);
    const last = [a, b, c, d! - 1].join(".");
    const write = `printf %s ${last} > /run/cni-ipam/pods/last_reserved_ip.0`;
    const { code, stderr } = await mesh.cluster.inNode(node, "sh", "-c", write);
    assert.equal(code, 0, stderr);
  }

  /** Runs a Job under the account that is granted something, and gives its address to a pod of another namespace. */
  async function inherit(namespace: string): Promise<{ readonly name: string; readonly ip: string }> {
    const script = `fetch("http://web/").then(async (answer) => { console.log(await answer.text()); process.exit(0); }, () => process.exit(1));`;
    const spec = { ...podSpec(script, { serviceAccount: "job" }), restartPolicy: "Never" };
    await mesh.apply(namespace, {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "once" },
      spec: { backoffLimit: 0, template: { metadata: { labels: { app: "once" } }, spec } },
    });
    // The account is let in: that the Job completes shows it.
    await mesh.cluster.kubectl("-n", namespace, "wait", "job/once", "--for=condition=Complete", "--timeout=60s");
    const [finished] = await mesh.pods(namespace, "once");
    await giveNext(finished!.node, finished!.ip);
    await mesh.pod("elsewhere", `heir-of-${namespace}`, idle, { node: finished!.node });
    const [heir] = await mesh.pods("elsewhere", `heir-of-${namespace}`);
    assert.equal(heir!.ip, finished!.ip, "the address was not given again");
    return heir!;
  }

  for (const mode of ["permissive", "project", "strict"] as const) {
    test(`in ${mode} the address of a finished Job gives its next holder nothing that was the Job's`, async () => {
      const namespace = `owner-${mode}`;
      await mesh.project(namespace, { mode, "allow-from": `${namespace}/job` });
      await mesh.cluster.objects.serviceAccount(namespace, "job");
      await mesh.deploy(namespace, "web");
      const heir = await inherit(namespace);
      const [web] = await mesh.pods(namespace, "web");
      assert.equal((await mesh.call("elsewhere", heir.name, `http://${web!.ip}:8080/`)).ok, false);
      const line = await eventually(async () => {
        const lines = await mesh.log(namespace, web!.name);
        const found = lines.findLast(
          ({ event, source }) => event === "connection_refused" && String(source).startsWith(`${heir.ip}:`),
        );
        assert.ok(found !== undefined);
        return found;
      });
      assert.equal(line["reason"], mode === "strict" ? "plaintext_refused" : "caller_not_allowed");
    });
  }
});
