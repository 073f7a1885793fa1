/**
 * Where the API server is and what a caller shows it: from KUBECONFIG, from files, or from inside a pod. The library
 * knows every way of kubeconfig (certificates, tokens, token files, programs that give tokens); what it says is asked for
 * again every few seconds, so that rotated tokens and authorities are taken up without a restart.
 */
import { KubeConfig } from "@kubernetes/client-node";
import type { Agent, RequestOptions } from "node:https";

export type Access = {
  readonly server: URL;
  /** The current context's namespace; `default` where it names none. */
  readonly namespace: string;
  /** Headers and TLS options for the next request. */
  credentials(): Promise<Credentials>;
};

export type Credentials = {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: Pick<RequestOptions, "ca" | "cert" | "key" | "rejectUnauthorized"> & { readonly servername?: string };
  /** Of a cluster that is behind a proxy (`proxy-url`): it dials through that, with this TLS. */
  readonly agent?: Agent;
};

export type AccessOptions = {
  /** Path of a kubeconfig; absent: KUBECONFIG's value, else the pod's service account, else the user's own file. */
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
};

/** What is wrong with a kubeconfig, in one line. */
export class AccessError extends Error {}

export function loadAccess(options: AccessOptions): Access {
  const config = new KubeConfig();
  try {
    if (options.kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(options.kubeconfig);
  } catch (error) {
    throw new AccessError(`kubeconfig cannot be read: ${(error as Error).message}`, { cause: error });
  }
  if (options.context !== undefined) config.setCurrentContext(options.context);
  return {
    server: serverOf(config),
    namespace: config.getContextObject(config.currentContext)?.namespace ?? "default",
    credentials: () => credentialsOf(config),
  };
}

/** What the library takes where it finds no kubeconfig at all. */
const fallback = "http://localhost:8080";

function serverOf(config: KubeConfig): URL {
  // A file of which nothing can be read has none of these lists.
  const contexts = (config.contexts ?? []) as readonly { readonly name: string }[];
  const known = contexts.map(({ name }) => name).join(", ");
  const cluster = contexts.length === 0 ? null : config.getCurrentCluster();
  if (cluster === null)
    throw new AccessError(
      `kubeconfig has no context ${JSON.stringify(config.currentContext ?? "")}; it has: ${known || "none"}`,
    );
  if (cluster.server === fallback)
    throw new AccessError("there is no kubeconfig: neither KUBECONFIG nor ~/.kube/config is one, and this is no pod");
  const server = URL.canParse(cluster.server) ? new URL(cluster.server) : null;
  if (server?.protocol !== "https:")
    throw new AccessError(`kubeconfig's server ${JSON.stringify(cluster.server)} is no https URL`);
  return server;
}

async function credentialsOf(config: KubeConfig): Promise<Credentials> {
  const options: RequestOptions & { servername?: string } = {};
  await config.applyToHTTPSOptions(options);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value);
  if (typeof options.auth === "string")
    headers["Authorization"] = `Basic ${Buffer.from(options.auth).toString("base64")}`;
  const { ca, cert, key, rejectUnauthorized, servername, agent } = options;
  return {
    headers,
    ...(config.getCurrentCluster()?.proxyUrl === undefined ? {} : { agent: agent as Agent }),
    tls: {
      ca,
      cert,
      key,
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
      ...(servername === undefined ? {} : { servername }),
    },
  };
}
