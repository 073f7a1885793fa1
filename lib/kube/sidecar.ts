/**
 * Whether a pod is protected, by what cannot change in its life: its spec. init first, proxy second and a native sidecar,
 * both as injection writes them, with token, volumes and UID to themselves, and no way in for others. A pod may have been
 * made while no webhook looked, so nothing is taken for granted but that the images, which the caller compares, are ours.
 * Pure.
 */
import { defaultPorts } from "../net/ports.ts";
import { modes } from "../project/mode.ts";
import type { Mode } from "../project/mode.ts";
import { caAudience, containers, volumes } from "./names.ts";
import type { Container, Pod, PodSpec } from "./objects.ts";
import { foreignToken, mountsOwnVolume } from "./own-volumes.ts";
import { initProblem, looksIntoOurs, proxyProblem, volumesProblem } from "./sidecar-form.ts";

export type Sidecar = {
  readonly kind: "sidecar";
  readonly initImage: string;
  readonly proxyImage: string;
  /** The floor; what is not known is `strict`. */
  readonly mode: Mode;
  readonly tunnelPort: number;
};

export type SidecarReading = Sidecar | { readonly kind: "none"; readonly why: string };

const none = (why: string): SidecarReading => ({ kind: "none", why });

const setting = ({ env }: Container, name: string): string | undefined =>
  env?.find((variable) => variable.name === name)?.value;

const mountsToken = ({ volumeMounts }: Container): boolean =>
  volumeMounts?.some(({ name }) => name === volumes.token.name) ?? false;

/** `audience` is that of the tokens which the ca takes. */
export function readSidecar({ spec }: Pod, audience: string = caAudience): SidecarReading {
  const [init, proxy] = spec.initContainers ?? [];
  if (init?.name !== containers.init) return none(`its first init container is not ${containers.init}`);
  if (proxy?.name !== containers.proxy) return none(`its second init container is not ${containers.proxy}`);
  if (proxy.restartPolicy !== "Always") return none(`${containers.proxy} is no sidecar: restartPolicy is not Always`);
  if (!mountsToken(proxy)) return none(`${containers.proxy} does not mount ${volumes.token.name}`);
  const why =
    openToOthers(spec) ??
    takenFromProxy(spec, audience) ??
    ofContainer(init, initProblem(init)) ??
    ofContainer(proxy, proxyProblem(proxy)) ??
    volumesProblem(spec, audience) ??
    uidProblem(spec, init, proxy);
  return why === null ? sidecarOf(init, proxy) : none(why);
}

const ofContainer = ({ name }: Container, problem: string | null): string | null =>
  problem === null ? null : `${name} is not as injection writes it: ${problem}`;

/** What lets others see into the pod, or takes its network away. */
function openToOthers({
  hostNetwork,
  hostPID,
  shareProcessNamespace,
  ephemeralContainers = [],
}: PodSpec): string | null {
  if (hostNetwork === true) return "the pod is on the host's network";
  if (hostPID === true) return "the pod shares the host's processes";
  if (shareProcessNamespace === true) return "its containers share their processes";
  const guest = ephemeralContainers.find(looksIntoOurs);
  return guest === undefined ? null : `container ${guest.name} shares the processes of one of ours`;
}

const applicationsOf = ({ initContainers = [], containers: listed, ephemeralContainers = [] }: PodSpec) => [
  ...initContainers.slice(2),
  ...listed,
  ...ephemeralContainers,
];

/** What is the proxy's alone and another container has, or could have; null where there is nothing. */
function takenFromProxy(spec: PodSpec, audience: string): string | null {
  const thief = applicationsOf(spec).find(mountsOwnVolume);
  if (thief !== undefined) return `container ${thief.name} mounts a volume of the proxy`;
  const token = foreignToken(spec, audience);
  return token === undefined ? null : `volume ${token.name} holds a token for the ca`;
}

/** What the rules leave alone has to be the proxy, and nobody beside it. */
function uidProblem(spec: PodSpec, init: Container, proxy: Container): string | null {
  const uid = proxy.securityContext?.runAsUser;
  if (setting(init, "TENCRYPT_PROXY_UID") !== String(uid)) return "the rules are for another UID than the proxy's";
  const twin = applicationsOf(spec).find(
    ({ securityContext }) => (securityContext?.runAsUser ?? spec.securityContext?.runAsUser) === uid,
  );
  return twin === undefined ? null : `container ${twin.name} runs under the proxy's UID`;
}

function sidecarOf(init: Container, proxy: Container): Sidecar {
  const mode = setting(proxy, "TENCRYPT_MODE");
  return {
    kind: "sidecar",
    initImage: init.image ?? "",
    proxyImage: proxy.image ?? "",
    mode: modes.find((known) => known === mode) ?? "strict",
    tunnelPort: defaultPorts.tunnel,
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
