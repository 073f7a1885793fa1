/** Tencrypt's own programs in a cluster, started by the contract of docs/config.md and nothing else. */
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Child } from "./child.ts";
import type { Cluster } from "./cluster.ts";
import { scriptOf, uids } from "./enter.ts";
import type { Pod } from "./pod.ts";
import { proxyLaunch, proxyMemoryMib } from "../../build/proxy-launch.ts";
import { audience, issuer, keySet, newTokenKey, tokenFor } from "../tokens/tokens.ts";
import type { TokenKeyPair } from "../tokens/tokens.ts";

export type ProgramOptions = {
  /** Added to the environment that the contract names; an empty text takes a variable away. */
  readonly env?: Readonly<Record<string, string>>;
  /** Wait for the event `ready` (default), or only start. */
  readonly wait?: boolean;
};

export type Ca = {
  readonly child: Child;
  readonly pod: Pod;
  readonly address: string;
  readonly rootFile: string;
  /** The store's folder: `projects/<name>/...` */
  readonly store: string;
  /** Signs the tokens that the CA believes. */
  readonly tokenKey: TokenKeyPair;
  /** Starts it again on the same store, after its child has been stopped. */
  restart(options?: ProgramOptions): Promise<Ca>;
};

const caPort = 15_012;

export type CaOptions = ProgramOptions & {
  /** Runs in the place of the program, with the same environment. */
  readonly script?: string;
};

/** The CA in a pod of its own, with the static authenticator and a store that knows the uids of the cluster's projects. */
export async function startCa(cluster: Cluster, { script, ...options }: CaOptions = {}): Promise<Ca> {
  const pod = await cluster.pod({ name: "ca", project: "tencrypt-ca", serviceAccount: "tencrypt-ca", listed: false });
  const tokenKey = newTokenKey();
  const store = cluster.makeFolder("ca-store", uids.ca);
  const jwks = join(cluster.makeFolder("ca-settings", 0), "jwks.json");
  cluster.writeFile(jwks, keySet(tokenKey), 0o444);
  const address = `${pod.ip}:${caPort}`;
  const rootFile = join(cluster.makeFolder("trust", 0), "root.pem");
  const start = async (more: ProgramOptions): Promise<Ca> => {
    registerProjects(cluster, store);
    const env = {
      TENCRYPT_CA_LISTEN: address,
      TENCRYPT_TRUST_DOMAIN: cluster.trustDomain,
      TENCRYPT_AUTHENTICATOR: "jwks",
      TENCRYPT_JWKS_FILE: jwks,
      TENCRYPT_TOKEN_ISSUER: issuer,
      TENCRYPT_TOKEN_AUDIENCE: audience,
      TENCRYPT_CA_STORE: store,
      TENCRYPT_LEAF_TTL: "24h",
      ...more.env,
    };
    const child = pod.spawn("ca", pod.nodeCommand(script ?? scriptOf("ca")), { uid: uids.ca, env });
    if (more.wait !== false) {
      await child.event("ready");
      copyFileSync(join(store, "root.pem"), rootFile);
      cluster.writeRights(rootFile, 0o444);
    }
    return { child, pod, address, rootFile, store, tokenKey, restart: (again = options) => start(again) };
  };
  return start(options);
}

/** A namespace's uid comes from the API server in a cluster; with a folder as store it is given beforehand. */
export function registerProjects(cluster: Cluster, store: string): void {
  for (const { name, uid } of cluster.projects.values()) {
    if (name === "tencrypt-ca") continue;
    const folder = join(store, "projects", name);
    mkdirSync(folder, { recursive: true });
    for (const path of [join(store, "projects"), folder]) cluster.writeRights(path, 0o700, uids.ca);
    cluster.writeFile(join(folder, "uid"), uid, 0o600, uids.ca);
  }
}

/** Applies the capture rules and proves them; needs nothing else to run in the pod. */
export async function startInit(
  pod: Pod,
  options: ProgramOptions & { args?: readonly string[] } = {},
): Promise<string> {
  const env = { TENCRYPT_PROXY_UID: `${uids.proxy}`, TENCRYPT_UDP: "allow", ...options.env };
  const [node = "", ...args] = pod.nodeCommand(scriptOf("init"), options.args);
  return pod.must(node, args, { uid: uids.root, env });
}

export type ProxyOptions = ProgramOptions & {
  readonly ca: Ca;
  readonly mode?: "permissive" | "project" | "strict";
  /** In place of a good token for the pod. */
  readonly token?: string;
  /** How many files it may open: one number, or `soft:hard`. */
  readonly nofile?: number | `${number}:${number}`;
};

/** A good token for the pod, valid for an hour from `now`. */
export function podToken(ca: Ca, pod: Pod, now?: number): string {
  const { project, serviceAccount, name, uid, accountUid } = pod.facts;
  return tokenFor(ca.tokenKey, { project, serviceAccount, pod: name, podUid: uid, serviceAccountUid: accountUid }, now);
}

/** The proxy's environment; files that it names are made. */
export function proxyEnvironment(cluster: Cluster, pod: Pod, options: ProxyOptions): Readonly<Record<string, string>> {
  const { facts } = pod;
  const folder = cluster.makeFolder(`proxy-${facts.name}`, uids.proxy);
  const tokenFile = join(folder, "token");
  cluster.writeFile(tokenFile, options.token ?? podToken(options.ca, pod), 0o400, uids.proxy);
  const env: Record<string, string> = {
    TENCRYPT_TRUST_DOMAIN: cluster.trustDomain,
    TENCRYPT_NAMESPACE: facts.project,
    TENCRYPT_SERVICE_ACCOUNT: facts.serviceAccount,
    TENCRYPT_POD_NAME: facts.name,
    TENCRYPT_POD_UID: facts.uid,
    TENCRYPT_POD_IPS: facts.ips.join(","),
    TENCRYPT_CA_ADDRESS: options.ca.address,
    TENCRYPT_CA_ROOT_FILE: options.ca.rootFile,
    TENCRYPT_TOKEN_FILE: tokenFile,
    TENCRYPT_DIRECTORY_FILE: cluster.directoryFile,
    TENCRYPT_MODE: options.mode ?? "project",
    TENCRYPT_STATE_DIR: cluster.makeFolder(`proxy-${facts.name}/state`, uids.proxy),
    ...options.env,
  };
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
}

/** The command line that starts it as the image does; `proxyLaunch.env` goes with it. */
export function proxyCommand(pod: Pod): readonly string[] {
  const [node = "", ...args] = pod.nodeCommand(scriptOf("proxy"));
  return [node, ...proxyLaunch.flags, ...args];
}

/** The proxy as in a cluster: its own uid, no capability, as much memory as the chart gives it. The directory has to be written for it to get ready. */
export async function startProxy(cluster: Cluster, pod: Pod, options: ProxyOptions): Promise<Child> {
  const env = proxyEnvironment(cluster, pod, options);
  const limit = options.nofile === undefined ? [] : ["prlimit", `--nofile=${options.nofile}`];
  const memory = cluster.limitMemory(pod.name, proxyMemoryMib);
  const child = pod.spawn("proxy", [...limit, ...proxyCommand(pod)], {
    uid: uids.proxy,
    env: { ...proxyLaunch.env, ...env },
    memory,
  });
  if (options.wait !== false) await child.event("ready");
  return child;
}
