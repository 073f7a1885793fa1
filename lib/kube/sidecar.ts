/**
 * Whether a pod is protected, by what cannot change in its life: its containers. init first, proxy second and a native
 * sidecar, both with the token volume to themselves and with nothing that makes their images run something else, not on
 * the host's network. Whether the images are ours is for the caller to compare. Pure.
 */
import { modes } from "../project/mode.ts";
import type { Mode } from "../project/mode.ts";
import { apiTokenFolder, caAudience, containers, volumes } from "./names.ts";
import type { Container, Pod, PodSpec } from "./objects.ts";
import { holdsToken, isOwnVolume, mountsOwnVolume } from "./own-volumes.ts";

export type Sidecar = {
  readonly kind: "sidecar";
  readonly initImage: string;
  readonly proxyImage: string;
  /** The floor; what is not known is `strict`. */
  readonly mode: Mode;
  readonly tunnelPort: number;
};

export type SidecarReading = Sidecar | { readonly kind: "none"; readonly why: string };

const defaultTunnelPort = 15008;
const none = (why: string): SidecarReading => ({ kind: "none", why });

const setting = ({ env }: Container, name: string): string | undefined =>
  env?.find((variable) => variable.name === name)?.value;

const mountsToken = ({ volumeMounts }: Container): boolean =>
  volumeMounts?.some(({ name }) => name === volumes.token.name) ?? false;

/** `audience` is that of the tokens which the ca takes. */
export function readSidecar({ spec }: Pod, audience: string = caAudience): SidecarReading {
  if (spec.hostNetwork === true) return none("the pod is on the host's network");
  const [init, proxy] = spec.initContainers ?? [];
  if (init?.name !== containers.init) return none(`its first init container is not ${containers.init}`);
  if (proxy?.name !== containers.proxy) return none(`its second init container is not ${containers.proxy}`);
  if (proxy.restartPolicy !== "Always") return none(`${containers.proxy} is no sidecar: restartPolicy is not Always`);
  if (!mountsToken(proxy)) return none(`${containers.proxy} does not mount ${volumes.token.name}`);
  if (mountsToken(init)) return none(`${containers.init} mounts ${volumes.token.name}`);
  const taken = takenFromProxy(spec, audience);
  if (taken !== null) return none(taken);
  for (const container of [init, proxy]) {
    const change = changeOf(container);
    if (change !== null) return none(`${container.name} is not as its image is made: ${change}`);
  }
  return sidecarOf(init, proxy);
}

/** What is the proxy's alone and another container has, or could have; null where there is nothing. */
function takenFromProxy(spec: PodSpec, audience: string): string | null {
  const [, , ...others] = spec.initContainers ?? [];
  const thief = [...others, ...spec.containers, ...(spec.ephemeralContainers ?? [])].find(mountsOwnVolume);
  if (thief !== undefined) return `container ${thief.name} mounts a volume of the proxy`;
  const token = (spec.volumes ?? []).find((volume) => !isOwnVolume(volume) && holdsToken(volume, audience));
  return token === undefined ? null : `volume ${token.name} holds a token for the ca`;
}

const ownFolders: ReadonlySet<string> = new Set([
  ...Object.values(volumes).map(({ folder }) => folder),
  apiTokenFolder,
]);
/** `NODE_OPTIONS` or `LD_PRELOAD` would run code of somebody else in our image. */
const ownVariable = /^(?:TENCRYPT_[A-Z_]+|OTEL_[A-Z_]+|XTABLES_LOCKFILE)$/;

/** What makes the container run something else than its image says; null where nothing does. */
function changeOf({ command, args, lifecycle, env = [], volumeMounts = [] }: Container): string | null {
  if (command !== undefined || args !== undefined) return "it has a command of its own";
  if (lifecycle !== undefined) return "it has a lifecycle handler";
  const variable = env.find(({ name }) => !ownVariable.test(name));
  if (variable !== undefined) return `it is given ${variable.name}`;
  const mount = volumeMounts.find((each) => !isOwnVolume(each) || !ownFolders.has(each.mountPath));
  return mount === undefined ? null : `${mount.name} is mounted at ${mount.mountPath}`;
}

function sidecarOf(init: Container, proxy: Container): Sidecar {
  const port = Number(setting(proxy, "TENCRYPT_TUNNEL_PORT") ?? defaultTunnelPort);
  const mode = setting(proxy, "TENCRYPT_MODE");
  return {
    kind: "sidecar",
    initImage: init.image ?? "",
    proxyImage: proxy.image ?? "",
    mode: modes.find((known) => known === mode) ?? "strict",
    tunnelPort: Number.isInteger(port) && port > 0 && port < 65_536 ? port : defaultTunnelPort,
  };
}

/** The pod runs to no end any more: it holds no address. */
export const isTerminal = ({ status }: Pod): boolean => status?.phase === "Succeeded" || status?.phase === "Failed";

/** The pod's own addresses, as the API shows them; none on the host's network or once it has ended. */
export function addressesOf(pod: Pod): readonly string[] {
  if (pod.spec.hostNetwork === true || isTerminal(pod)) return [];
  const listed = (pod.status?.podIPs ?? []).map(({ ip }) => ip).filter((ip) => ip !== undefined && ip !== "");
  if (listed.length > 0) return listed as readonly string[];
  return pod.status?.podIP === undefined || pod.status.podIP === "" ? [] : [pod.status.podIP];
}
