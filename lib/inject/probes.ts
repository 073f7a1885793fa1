/**
 * Probes and lifecycle handlers that a kubelet performs over the network go to the proxy's health port, which performs
 * the declared one inside the pod; the declared ones travel in the proxy's environment, and come back from there. exec and
 * sleep stay as they are, and so does what names another host. Pure.
 */
import { isTree } from "../json/tree.ts";
import type { Tree } from "../json/tree.ts";
import type { Container } from "../kube/objects.ts";
import { defaultPorts } from "../net/ports.ts";

/** A probe's or handler's own action, with its port as a number. */
export type DeclaredAction = {
  readonly httpGet?: Tree;
  readonly tcpSocket?: Tree;
  readonly grpc?: Tree;
  readonly timeoutSeconds?: number;
};
/** By the path on the health port. */
export type Declared = Readonly<Record<string, DeclaredAction>>;

const probes = { livenessProbe: "liveness", readinessProbe: "readiness", startupProbe: "startup" } as const;
const handlers = ["postStart", "preStop"] as const;
const networkActions = ["httpGet", "tcpSocket", "grpc"] as const;

function portNumber(port: unknown, container: Container): number | null {
  if (typeof port === "number") return port;
  if (typeof port !== "string") return null;
  if (/^[0-9]{1,5}$/.test(port)) return Number(port);
  return container.ports?.find(({ name }) => name === port)?.containerPort ?? null;
}

type Action = { readonly kind: (typeof networkActions)[number]; readonly fields: Tree };

/** The action that is to be performed in the pod; null for one that stays with the kubelet. */
function actionOf(holder: Tree, container: Container): Action | null {
  for (const kind of networkActions) {
    const fields = holder[kind];
    if (!isTree(fields)) continue;
    const port = portNumber(fields["port"], container);
    const host = fields["host"];
    if (port === null || (typeof host === "string" && host !== "")) return null;
    return { kind, fields: { ...fields, port } };
  }
  return null;
}

const redirected = (path: string): Tree => ({ httpGet: { path, port: defaultPorts.health, scheme: "HTTP" } });

const without = (holder: Tree, ...names: readonly string[]): Tree =>
  Object.fromEntries(Object.entries(holder).filter(([name]) => !names.includes(name)));

type Redirected = { readonly container: Container; readonly declared: Declared };

export function redirectProbes(container: Container): Redirected {
  const declared: Record<string, DeclaredAction> = {};
  const changes: Record<string, Tree> = {};
  for (const [field, name] of Object.entries(probes)) {
    const probe = container[field];
    const action = isTree(probe) ? actionOf(probe, container) : null;
    if (!isTree(probe) || action === null) continue;
    const path = `/probe/${container.name}/${name}`;
    const timeout = probe["timeoutSeconds"];
    declared[path] = {
      [action.kind]: action.fields,
      ...(typeof timeout === "number" ? { timeoutSeconds: timeout } : {}),
    };
    changes[field] = { ...without(probe, action.kind), ...redirected(path) };
  }
  const lifecycle = isTree(container["lifecycle"]) ? container["lifecycle"] : {};
  for (const name of handlers) {
    const handler = lifecycle[name];
    const action = isTree(handler) ? actionOf(handler, container) : null;
    if (action === null) continue;
    const path = `/hook/${container.name}/${name}`;
    declared[path] = { [action.kind]: action.fields };
    changes["lifecycle"] = { ...(changes["lifecycle"] ?? lifecycle), [name]: redirected(path) };
  }
  return { container: { ...container, ...changes }, declared };
}

/** The container as it was declared. */
export function restoreProbes(container: Container, declared: Declared): Container {
  const changes: Record<string, Tree> = {};
  for (const [field, name] of Object.entries(probes)) {
    const probe = container[field];
    const action = declared[`/probe/${container.name}/${name}`];
    if (isTree(probe) && action !== undefined)
      changes[field] = { ...without(probe, "httpGet"), ...without(action, "timeoutSeconds") };
  }
  const lifecycle = container["lifecycle"];
  for (const name of handlers) {
    const action = declared[`/hook/${container.name}/${name}`];
    if (isTree(lifecycle) && action !== undefined)
      changes["lifecycle"] = { ...(changes["lifecycle"] ?? lifecycle), [name]: action };
  }
  return { ...container, ...changes };
}

/** What an injected proxy's environment says; nothing where it says nothing that can be read. */
export function readDeclared(text: string | undefined): Declared {
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    return isTree(value) ? (value as Declared) : {};
  } catch {
    return {};
  }
}
