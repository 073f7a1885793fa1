/**
 * The form of what injection adds to a pod, as far as it makes the pod protected: that its images run what they are made
 * for, with their rights and no others, on volumes and settings that nobody else fills. `lib/inject/` writes by it,
 * `readSidecar` reads by it; a pod lives long, so what an earlier release wrote has to be of the form too. Pure.
 */
import { isDeepStrictEqual } from "node:util";
import { isTree } from "../json/tree.ts";
import type { Tree } from "../json/tree.ts";
import { defaultPorts, portSetting } from "../net/ports.ts";
import type { Ports } from "../net/ports.ts";
import { apiTokenFolder, containers, podMarks, volumes } from "./names.ts";
import type { Container, EnvVar, PodSpec } from "./objects.ts";
import type { Volume } from "./own-volumes.ts";

/**
 * What init and the proxy would take anyway. Both are told: a Service of the project called `tencrypt-metrics` makes the
 * kubelet give every container TENCRYPT_METRICS_PORT=tcp://..., except where it is in the pod's spec.
 */
export const portSettings: Readonly<Record<string, number>> = Object.fromEntries(
  (Object.keys(defaultPorts) as (keyof Ports)[]).map((name) => [portSetting(name), defaultPorts[name]]),
);

const unprivileged = {
  privileged: false,
  readOnlyRootFilesystem: true,
  allowPrivilegeEscalation: false,
  seccompProfile: { type: "RuntimeDefault" },
} as const;

export const initSecurity = {
  ...unprivileged,
  capabilities: { add: ["NET_ADMIN"], drop: ["ALL"] },
  runAsUser: 0,
  runAsGroup: 0,
  runAsNonRoot: false,
} as const;

export const proxySecurity = (uid: number) =>
  ({
    ...unprivileged,
    capabilities: { drop: ["ALL"] },
    runAsUser: uid,
    runAsGroup: uid,
    runAsNonRoot: true,
  }) as const;

/** The runtime puts an empty file at this path: over a program of ours it would take its place. */
export const terminationMessages = {
  terminationMessagePath: "/dev/termination-log",
  terminationMessagePolicy: "File",
} as const;

export type Mount = { readonly name: string; readonly readOnly?: true; readonly mountPath: string };

const state: Mount = { name: volumes.state.name, mountPath: volumes.state.folder };
/** Something that is there already keeps the API's token out: neither container has any business with the API. */
const noApiToken: Mount = { name: volumes.root.name, readOnly: true, mountPath: apiTokenFolder };

export const initMounts: readonly Mount[] = [state, noApiToken];
export const proxyMounts: readonly Mount[] = [
  { name: volumes.token.name, readOnly: true, mountPath: volumes.token.folder },
  { name: volumes.root.name, readOnly: true, mountPath: volumes.root.folder },
  state,
  noApiToken,
];

/** What the proxy is told of its own pod: only the kubelet says it. */
export const podFields: Readonly<Record<string, string>> = {
  TENCRYPT_NAMESPACE: "metadata.namespace",
  TENCRYPT_SERVICE_ACCOUNT: "spec.serviceAccountName",
  TENCRYPT_POD_NAME: "metadata.name",
  TENCRYPT_POD_UID: "metadata.uid",
  TENCRYPT_POD_IPS: "status.podIPs",
};

/** Of a container of ours, what an injected one may differ in and must not. */
type Form = {
  /** `NODE_OPTIONS` or `LD_PRELOAD` would run code of somebody else in our image. */
  readonly variable: RegExp;
  readonly mounts: readonly Mount[];
  readonly security: Tree;
};

const initForm: Form = {
  variable: /^(?:TENCRYPT_PROXY_UID|TENCRYPT_UDP|XTABLES_LOCKFILE)$/,
  mounts: initMounts,
  security: initSecurity,
};
const proxyForm = (uid: number): Form => ({
  variable: /^(?:TENCRYPT|OTEL)_[A-Z_]+$/,
  mounts: proxyMounts,
  security: proxySecurity(uid),
});

/** Whatever is not among them makes a container run something else, or later, or somewhere else: `command`, `envFrom`. */
const knownFields: ReadonlySet<string> = new Set([
  "name",
  "image",
  "imagePullPolicy",
  "restartPolicy",
  "env",
  "ports",
  "resources",
  "resizePolicy",
  "volumeMounts",
  "startupProbe",
  "readinessProbe",
  "livenessProbe",
  "terminationMessagePath",
  "terminationMessagePolicy",
  "securityContext",
]);

/** Why the container is none of injection's; null where it is one. */
export const initProblem = (container: Container): string | null =>
  container.restartPolicy === undefined ? formProblem(container, initForm) : "it has a restartPolicy";

export function proxyProblem(container: Container): string | null {
  const uid = container.securityContext?.runAsUser;
  if (uid === undefined || uid === 0) return "it is told no UID of its own";
  const startup = probeProblem(container["startupProbe"]);
  return startup === null ? formProblem(container, proxyForm(uid)) : `its startupProbe ${startup}`;
}

function formProblem(container: Container, form: Form): string | null {
  const field = Object.entries(container).find(([name, value]) => value !== undefined && !knownFields.has(name));
  if (field !== undefined) return `it has ${field[0]}`;
  const probe = ["startupProbe", "readinessProbe", "livenessProbe"].find(
    (name) => container[name] !== undefined && probeProblem(container[name]) !== null,
  );
  if (probe !== undefined) return `its ${probe} ${probeProblem(container[probe])}`;
  const variable = (container.env ?? []).find((each, index, all) => variableProblem(each, index, all, form));
  if (variable !== undefined) return `it is given ${variable.name}`;
  const mount = (container.volumeMounts ?? []).find((each) => !form.mounts.some((known) => isMount(each, known)));
  if (mount !== undefined) return `${mount.name} is mounted at ${mount.mountPath}`;
  const message = Object.entries(terminationMessages).find(([name, value]) => (container[name] ?? value) !== value);
  if (message !== undefined) return `it has another ${message[0]}`;
  if (wantsDevices(container["resources"])) return "it claims devices";
  return isDeepStrictEqual(container.securityContext, form.security) ? null : "it has another securityContext";
}

/** Among limits and requests a device has a vendor in its name. */
export const isDevice = (resource: string): boolean => resource.includes("/");

/** What a device's driver or plugin adds to a container are mounts and variables too. */
function wantsDevices(resources: unknown): boolean {
  if (!isTree(resources)) return false;
  const { claims, limits = {}, requests = {} } = resources;
  return claims !== undefined || Object.keys({ ...(limits as Tree), ...(requests as Tree) }).some(isDevice);
}

/** What the kubelet would run in the container is none of ours; what it asks for is the proxy's own health. */
function probeProblem(probe: unknown): string | null {
  if (!isTree(probe)) return "is missing";
  const { httpGet, exec, tcpSocket, grpc } = probe;
  if (exec !== undefined || tcpSocket !== undefined || grpc !== undefined) return "is none over HTTP";
  return isTree(httpGet) && httpGet["port"] === defaultPorts.health && httpGet["host"] === undefined
    ? null
    : "does not ask the proxy";
}

/** The last of two of the same name would count. */
const variableProblem = (each: EnvVar, index: number, all: readonly EnvVar[], { variable }: Form): boolean =>
  !(isPortSetting(each) || variable.test(each.name)) ||
  all.findIndex(({ name }) => name === each.name) !== index ||
  !isPlain(each);

const isPortSetting = ({ name }: EnvVar): boolean => Object.hasOwn(portSettings, name);

/** Settings are in the pod's spec, which cannot change; what is elsewhere could say anything later. */
function isPlain({ name, value, valueFrom }: EnvVar): boolean {
  // Rules and proxy have to mean the same port, and nobody else's.
  if (Object.hasOwn(portSettings, name)) return valueFrom === undefined && value === String(portSettings[name]);
  const field = Object.hasOwn(podFields, name) ? podFields[name] : undefined;
  if (field === undefined) return valueFrom === undefined;
  return value === undefined && isDeepStrictEqual(valueFrom, { fieldRef: { apiVersion: "v1", fieldPath: field } });
}

/** A sub-path could be a link, and a mount that propagates show what is mounted later. */
const isMount = (
  { name, mountPath, ...rest }: Tree & { readonly name: string; readonly mountPath: string },
  known: Mount,
) =>
  name === known.name &&
  mountPath === known.mountPath &&
  Object.keys(rest).every((field) => field === "readOnly") &&
  (rest["readOnly"] ?? false) === (known.readOnly ?? false);

/** An ephemeral container can be given the processes of another one. */
export const looksIntoOurs = ({ targetContainerName }: Container): boolean =>
  Object.values(containers).some((name) => name === targetContainerName);

/** Why the pod's volumes are not those of injection; null where they are. */
export function volumesProblem({ volumes: listed = [] }: PodSpec, audience: string): string | null {
  for (const [name, isGood] of Object.entries(contents)) {
    const found = listed.filter((each) => each.name === name);
    if (found.length !== 1 || !isGood(found[0]!, audience)) return `volume ${name} is not as injection writes it`;
  }
  return null;
}

/** What each holds, and nothing beside: an application that could write there would speak to the proxy. */
const contents: Readonly<Record<string, (volume: Volume, audience: string) => boolean>> = {
  [volumes.token.name]: ({ projected }, audience) => {
    const [source, ...others] = isTree(projected) ? ((projected["sources"] ?? []) as readonly Tree[]) : [];
    const token = source?.["serviceAccountToken"];
    if (source === undefined || others.length > 0 || Object.keys(source).length !== 1 || !isTree(token)) return false;
    return token["audience"] === audience && token["path"] === volumes.token.file;
  },
  [volumes.root.name]: ({ downwardAPI }) => {
    const item = {
      path: volumes.root.file,
      fieldRef: { apiVersion: "v1", fieldPath: `metadata.annotations['${podMarks.root}']` },
    };
    return isTree(downwardAPI) && isDeepStrictEqual(downwardAPI["items"], [item]);
  },
  [volumes.state.name]: ({ emptyDir }) => isTree(emptyDir) && emptyDir["medium"] === "Memory",
};
