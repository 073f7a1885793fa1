/** Probes, hooks, Jobs and pods on the host's network, in a strict project with a real kubelet. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Json } from "../cluster/client.ts";
import { whyNoCluster } from "../cluster/cluster.ts";
import { eventually } from "../cluster/eventually.ts";
import { makeSelfSigned } from "../pki/self-signed.ts";
import { httpServer, Mesh, podSpec } from "./kit.ts";

const why = whyNoCluster();

/** Notes which paths were asked for and when it started; `/fail` fails. A TCP port, and gRPC health by hand. */
const probed = `
  const { createServer } = require("node:http"), http2 = require("node:http2"), net = require("node:net");
  const { appendFileSync } = require("node:fs");
  const note = (text) => appendFileSync("/proc/1/fd/1", text + "\\n");
  createServer((request, response) => {
    note("asked " + request.url + " " + (request.headers["x-probe"] ?? "") + " " + request.headers["user-agent"]);
    response.writeHead(request.url === "/fail" ? 500 : 200).end();
  }).listen(8080);
  net.createServer((socket) => socket.destroy()).listen(9000);
  http2.createServer().on("stream", (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.resume().end(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
  }).listen(9090);
  process.on("SIGTERM", () => process.exit(0));
`;

/** The same beside it, for HTTPS and a hook that only opens a connection. */
const probedBeside = ({ key, cert }: { readonly key: string; readonly cert: string }): string => `
  const { appendFileSync } = require("node:fs");
  const note = (text) => appendFileSync("/proc/1/fd/1", text + "\\n");
  require("node:https").createServer(${JSON.stringify({ key, cert })}, (request, response) => {
    note("asked " + request.url + " by " + request.socket.getProtocol() + " " + request.headers["user-agent"]);
    response.end();
  }).listen(8443);
  require("node:net").createServer((socket) => { note("dialled"); socket.destroy(); }).listen(9443);
  process.on("SIGTERM", () => process.exit(0));
`;

/** Answers, and notes who asked. */
const noting = `${httpServer}
  server.on("request", ({ url, headers }) => console.log("asked " + url + " " + headers["user-agent"]));
`;

function selfSigned(): { readonly key: string; readonly cert: string } {
  const folder = mkdtempSync(join(tmpdir(), "probed-"));
  const files = { key: join(folder, "key.pem"), cert: join(folder, "cert.pem") };
  makeSelfSigned("probed", files);
  const made = { key: readFileSync(files.key, "utf8"), cert: readFileSync(files.cert, "utf8") };
  rmSync(folder, { recursive: true });
  return made;
}

let mesh: Mesh;
const namespace = "strict-work";

before(async () => {
  if (why !== null) return;
  mesh = await Mesh.start();
  await mesh.project(namespace, { mode: "strict" });
  await mesh.deploy(namespace, "web", noting);
  await mesh.pod(namespace, "client");
});
after(async () => {
  await mesh?.stop();
});

describe("workloads of a strict project", why === null ? {} : { skip: why }, () => {
  const logOf = (container: string, ...more: readonly string[]): Promise<string> =>
    mesh.cluster.kubectl("-n", namespace, "logs", "probed", "-c", container, ...more);

  test("probes and hooks of every kind work", async () => {
    const app = {
      ports: [{ name: "web", containerPort: 8080 }],
      startupProbe: { tcpSocket: { port: 9000 }, periodSeconds: 1 },
      readinessProbe: { grpc: { port: 9090 }, periodSeconds: 1 },
      livenessProbe: {
        httpGet: { path: "/live", port: "web", httpHeaders: [{ name: "x-probe", value: "mine" }] },
        periodSeconds: 1,
      },
      lifecycle: { postStart: { exec: { command: ["true"] } }, preStop: { httpGet: { path: "/bye", port: "web" } } },
    };
    const { containers } = podSpec(probedBeside(selfSigned()), {
      container: {
        name: "beside",
        ports: [{ name: "secure", containerPort: 8443 }],
        livenessProbe: { httpGet: { path: "/safe", port: "secure", scheme: "HTTPS" }, periodSeconds: 1 },
        readinessProbe: { exec: { command: ["sh", "-c", "echo looked >/proc/1/fd/1"] }, periodSeconds: 1 },
        lifecycle: { preStop: { tcpSocket: { port: 9443 } } },
      },
    }) as { readonly containers: readonly Json[] };
    const both = [
      ...(podSpec(probed, { container: app }) as { readonly containers: readonly Json[] }).containers,
      ...containers,
    ];
    await mesh.pod(namespace, "probed", probed, { spec: { containers: both } });
    await eventually(async () => assert.match(await logOf("app"), /asked \/live mine kube-probe/));
    await eventually(async () => assert.match(await logOf("beside"), /asked \/safe by TLSv1\.3 kube-probe/));
    const soFar = await logOf("beside");
    assert.match(soFar, /^looked$/m);
    assert.doesNotMatch(soFar, /dialled/, "only the hook dials there");
    const following = Promise.all(["app", "beside"].map((name) => logOf(name, "-f")));
    await mesh.cluster.kubectl("-n", namespace, "delete", "pod", "probed", "--wait=false");
    const [ofApp, ofBeside] = await following;
    assert.match(ofApp!, /asked \/bye/);
    assert.match(ofBeside!, /^dialled$/m);
  });

  test("a probe that fails in the application fails for the kubelet", async () => {
    const container = { readinessProbe: { httpGet: { path: "/fail", port: 8080 }, periodSeconds: 1 } };
    await mesh.apply(namespace, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "failing" },
      spec: podSpec(probed, { container }),
    });
    await eventually(async () => {
      const events = await mesh.cluster.kubectl(
        "-n",
        namespace,
        "get",
        "events",
        "--field-selector=involvedObject.name=failing,reason=Unhealthy",
      );
      assert.match(events, /Readiness probe failed: HTTP probe failed with statuscode: 503/);
    });
    await mesh.cluster.kubectl("-n", namespace, "delete", "pod", "failing", "--wait=false");
  });

  test("a Job that talks to its project completes", async () => {
    const script = `
      const ask = async () => {
        for (let index = 0; index < 5; index++) {
          const answer = await fetch("http://web/");
          if (!(await answer.text()).startsWith("web-")) process.exit(1);
        }
      };
      ask().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
    `;
    const spec = { ...podSpec(script, {}), restartPolicy: "Never" };
    await mesh.apply(namespace, {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "report" },
      spec: { backoffLimit: 0, template: { metadata: { labels: { app: "report" } }, spec } },
    });
    await mesh.cluster.kubectl("-n", namespace, "wait", "job/report", "--for=condition=Complete", "--timeout=60s");
    const path = "jsonpath={.items[0].status.initContainerStatuses[1].state.terminated.exitCode}";
    assert.equal(await mesh.cluster.kubectl("-n", namespace, "get", "pod", "-l", "app=report", "-o", path), "0");
  });

  test("a port that the Service does not have is refused, a Service that comes later is reached", async () => {
    assert.equal((await mesh.call(namespace, "client", "http://web:81/")).ok, false);
    const line = await mesh.refusal(namespace, "client", "unknown_service_port");
    assert.equal(line["direction"], "outbound");
    await mesh.deploy(namespace, "later", httpServer);
    await eventually(async () => assert.ok((await mesh.call(namespace, "client", "http://later/")).ok));
  });
});

describe("a pod of a strict project on the host's network", why === null ? {} : { skip: why }, () => {
  type Pod = { readonly name: string; readonly ip: string; readonly node: string };
  let hosted: Pod;
  let earlier: Readiness;
  const podOf = async (app: string): Promise<Pod> => (await mesh.pods(namespace, app))[0] ?? assert.fail(`no ${app}`);

  const service = (name: string, spec: Json): Json => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: { ports: [{ port: 80, targetPort: 8080 }], ...spec },
  });

  /** Since when the protected pod is ready, and how often it was asked whether it is. */
  type Readiness = { readonly since: string; readonly probes: number };
  const readiness = async (): Promise<Readiness> => {
    const { name } = await podOf("web");
    const state = 'jsonpath={.status.conditions[?(@.type=="Ready")]}{.status.containerStatuses[0].restartCount}';
    const since = await mesh.cluster.kubectl("-n", namespace, "get", "pod", name, "-o", state);
    const log = await mesh.cluster.kubectl("-n", namespace, "logs", name, "-c", "app");
    return { since, probes: log.match(/^asked \/ kube-probe/gm)?.length ?? 0 };
  };

  before(async () => {
    // The same port as the protected pod's: it is another address.
    const container = { readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 } };
    await mesh.apply(
      namespace,
      service("hosted", { selector: { app: "on-host" } }),
      service("web-nodeport", { selector: { app: "web" }, type: "NodePort" }),
    );
    await mesh.pod(namespace, "on-host", httpServer, { container, spec: { hostNetwork: true } });
    hosted = await podOf("on-host");
    earlier = await readiness();
  });

  test("is a node to the others: refused, and reached where the project names its address", async () => {
    const url = "http://hosted/";
    const reached = async (): Promise<string> => (await mesh.call(namespace, "client", url)).text;
    // The directory may not name the endpoint yet.
    const refused = await eventually(async () => {
      assert.equal(await reached(), "");
      return mesh.refusal(namespace, "client", "egress_not_allowed", 1_000);
    }, 5_000);
    assert.deepEqual([refused["class"], refused["service"]], ["node", `${namespace}/hosted`]);
    // By itself it calls from the node's bridge, which is no address of a node.
    const { name, ip } = await podOf("web");
    for (const from of [[], ["--interface", hosted.ip]])
      assert.notEqual(
        (await mesh.exec(namespace, "on-host", "curl", "-sS", "-m", "8", ...from, `http://${ip}:8080/`)).code,
        0,
      );
    const { source } = await mesh.refusal(namespace, name, "node_source_refused");
    assert.ok(String(source).startsWith(`${hosted.ip}:`));

    await mesh.annotate(namespace, { "allow-egress": `${hosted.ip}/32:8080` });
    await eventually(async () => assert.match(await reached(), new RegExp(`^${hosted.node} `)), 2_000);
    await mesh.annotate(namespace, { "allow-egress": null });
  });

  test("runs without a proxy, says why, and disturbs nobody", async () => {
    const mark = "jsonpath={.metadata.annotations.tencrypt\\.io/skipped}";
    assert.equal(await mesh.cluster.kubectl("-n", namespace, "get", "pod", "on-host", "-o", mark), "host_network");
    const { spec } = await mesh.cluster.admin.get(`/api/v1/namespaces/${namespace}/services/web-nodeport`);
    const { ports } = spec as { readonly ports: readonly { readonly nodePort: number }[] };
    for (const url of ["http://web/", `http://${hosted.ip}:${ports[0]!.nodePort}/`])
      for (let count = 0; count < 3; count++)
        assert.match((await mesh.call(namespace, "client", url)).text, /^web-/, url);
    await eventually(async () => {
      const { since, probes } = await readiness();
      assert.equal(since, earlier.since, "ready all the time");
      assert.ok(probes >= earlier.probes + 4, "asked more often than it takes to be not ready");
    });
  });
});
