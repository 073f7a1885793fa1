/**
 * `test`: asks the control plane from inside of the cluster, as the API server and proxies do: by its Services' names, and
 * over TLS that stands under the root which the ca published.
 */
import { request } from "node:http";
import { connect } from "node:tls";
import type { KubeClient } from "../lib/kube/client.ts";
import { control, hosts, rootConfigMap } from "../lib/kube/names.ts";
import type { ConfigMap } from "../lib/kube/objects.ts";
import { readRoot } from "./ca-bundle.ts";

const patienceMs = 5000;

export type Finding = { readonly what: string; readonly problem: string | null };

const httpsPort = 443;

function ready(host: string): Promise<string | null> {
  return new Promise((resolve) => {
    const asked = request(
      { host, port: control.metricsPort, path: "/ready", timeout: patienceMs, agent: false },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200 ? null : `/ready answers ${answer.statusCode}`);
      },
    );
    asked.on("timeout", () => asked.destroy(new Error(`no answer within ${patienceMs} ms`)));
    asked.on("error", (error) => resolve(error.message));
    asked.end();
  });
}

/** Null if the server's certificate names the host and stands under the root. */
function believed(host: string, port: number, ca: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({
      host,
      port,
      ca,
      servername: host,
      minVersion: "TLSv1.3",
      ALPNProtocols: ["h2", "http/1.1"],
      timeout: patienceMs,
    });
    const end = (problem: string | null): void => {
      socket.destroy();
      resolve(problem);
    };
    socket.on("timeout", () => end(`no answer within ${patienceMs} ms`));
    socket.on("secureConnect", () => end(null));
    socket.on("error", (error) => end(error.message));
  });
}

async function publishedRoot(client: KubeClient): Promise<{ readonly pem: string } | { readonly problem: string }> {
  const path = `/api/v1/namespaces/${control.ca.namespace}/configmaps/${rootConfigMap.name}`;
  try {
    const root = readRoot(await client.get<ConfigMap>(path));
    return root.kind === "root" ? root : { problem: root.why };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

export async function inspect(client: KubeClient): Promise<readonly Finding[]> {
  const findings: Finding[] = [
    { what: `${hosts.ca} is ready`, problem: await ready(hosts.ca) },
    { what: `${hosts.controller} is ready`, problem: await ready(hosts.controller) },
  ];
  const root = await publishedRoot(client);
  findings.push({ what: "the ca has published its root", problem: "pem" in root ? null : root.problem });
  if ("problem" in root) return findings;
  return [
    ...findings,
    {
      what: `${hosts.ca}:${control.ca.port} stands under it`,
      problem: await believed(hosts.ca, control.ca.port, root.pem),
    },
    {
      what: `${hosts.controller}:${httpsPort} stands under it`,
      problem: await believed(hosts.controller, httpsPort, root.pem),
    },
  ];
}
