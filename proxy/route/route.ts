/**
 * Where an outbound connection goes: into the tunnel, out in clear, to the own application, or nowhere.
 *
 * The only inputs are the original destination, the view and a number to choose with. What a mode allows, every looser
 * mode allows too. A protected peer is reached through the tunnel or not at all. Rules of `allow-egress` never reach an
 * internal or unknown address. Pure; runs once per connection.
 */
import type { Reason } from "../../lib/errors/reasons.ts";
import { formatEndpoint, isIpv6 } from "../../lib/net/address.ts";
import type { Endpoint, Ip } from "../../lib/net/address.ts";
import type { PeerClass } from "../observe/events.ts";
import { claimantsOf, classify, isOutsideUnheld, peerClass, workloadAt } from "./classify.ts";
import type { AddressKind } from "./classify.ts";
import type { DryRun, Known, LookUp, View } from "./policy.ts";
import { namesAddress } from "../../lib/project/rules.ts";
import { backendsOf } from "./document.ts";
import { podName } from "./snapshot.ts";
import type { Backends, Service, Workload } from "./snapshot.ts";
import type { Mode } from "../../lib/project/mode.ts";

/** A protected pod to dial: the tunnel ends at `ip:tunnelPort`, `ip:port` is the `:authority`. */
export type Candidate = {
  readonly ip: Ip;
  readonly port: number;
  readonly tunnelPort: number;
  readonly workload: Workload;
};

/**
 * Why clear is allowed: `permissive` towards what should be encrypted but is not yet; `outside` as external traffic
 * before; by a rule; or because the cluster's own services are always named.
 */
export type ClearWhy = "permissive" | "outside" | "allow-egress" | "cluster-service";

type Facts = {
  readonly class: PeerClass;
  /** The pod at the (first) endpoint where the directory names one. */
  readonly workload: Workload | null;
  /** The Service that was dialled. */
  readonly service: Service | null;
};

export type Route =
  /** The first candidate is the choice; up to two more follow for a Service, never for a pod address. */
  | (Facts & {
      readonly kind: "tunnel";
      readonly candidates: readonly [Candidate, ...Candidate[]];
      readonly dryRun: DryRun | null;
    })
  | (Facts & {
      readonly kind: "clear";
      readonly endpoints: readonly [Endpoint, ...Endpoint[]];
      readonly why: ClearWhy;
      readonly dryRun: DryRun | null;
    })
  /** Only if the application's first bytes are a TLS ClientHello; else refuse `egress_not_allowed`. */
  | (Facts & {
      readonly kind: "clear-if-tls";
      readonly endpoints: readonly [Endpoint, ...Endpoint[]];
      readonly dryRun: null;
    })
  /** The own application: dialled inside the pod. */
  | (Facts & { readonly kind: "local"; readonly endpoint: Endpoint; readonly dryRun: null })
  | LookUp
  | (Facts & { readonly kind: "refuse"; readonly reason: Reason; readonly detail: string });

export type RouteInput = Known & {
  readonly destination: Endpoint;
  /** A whole number from 0 to 2^32-1, random or counting: chooses among a Service's endpoints. */
  readonly pick: number;
};

/** One decision under one mode. */
type Question = { readonly input: RouteInput; readonly view: View; readonly mode: Mode };

const mostAlternatives = 2;

export function route(input: RouteInput): Route {
  const { view } = input;
  if (view === null) return noDirectory;
  const decided = decide({ input, view, mode: view.policy.mode });
  // A stricter mode can differ only where something goes out in clear.
  if (decided.kind !== "clear" || view.policy.dryRun === null) return decided;
  return { ...decided, dryRun: dryRunOf(decide({ input, view, mode: view.policy.dryRun })) };
}

/** The same for one endpoint, that of a connection which is open: nothing is chosen, and a dry run says nothing of it. */
export function routeEndpoint(input: RouteInput, endpoint: Endpoint): Route {
  const { view } = input;
  return view === null ? noDirectory : toEndpoint({ input, view, mode: view.policy.mode }, endpoint);
}

/** The same of one that was just dialled, without another look-up. */
export const routeKnown = (view: View, endpoint: Endpoint): Route =>
  routeEndpoint({ destination: endpoint, pick: 0, view, lookUp: null, asked: null }, endpoint);

function dryRunOf(stricter: Route): DryRun | null {
  switch (stricter.kind) {
    case "refuse":
      return { reason: stricter.reason, detail: stricter.detail, unlessTls: false };
    case "look-up":
      return { reason: "destination_unknown", detail: stricter.ip, unlessTls: false };
    case "clear-if-tls":
      return { reason: "egress_not_allowed", detail: stricter.class, unlessTls: true };
    default:
      return null;
  }
}

function decide(question: Question): Route {
  const { snapshot } = question.view;
  const { destination } = question.input;
  const isNode = snapshot.nodeAddresses.has(destination.ip);
  const service = snapshot.vips.get(destination.ip);
  if (service !== undefined) {
    if (service.backends.has(destination.port))
      return toService(question, service, backendsFor(question.view, service, destination.port));
    // A load balancer may hand out the nodes' own addresses, which then serve more than the Service.
    if (!isNode) return refuse("unknown_service_port", service.fullName, serviceFacts(question.view, service));
  }
  return isNode ? toNode(question) : toEndpoint(question, destination);
}

/** A node's kernel leads some of its ports to pods: these are pods of the project as much as any. */
function toNode(question: Question): Route {
  const { snapshot, policy } = question.view;
  const { destination } = question.input;
  const nodePort = snapshot.nodePorts.get(destination.port);
  if (nodePort !== undefined)
    return toService(question, nodePort.service, nodePort.service.backends.get(nodePort.port));
  const hostPort = snapshot.hostPorts.size === 0 ? undefined : snapshot.hostPorts.get(formatEndpoint(destination));
  const isInternal = hostPort !== undefined && policy.internalProjects.has(hostPort.workload.project);
  return toEndpoint(question, isInternal ? hostPort.endpoint : destination);
}

/** What was found on the way round a Service's endpoints. */
type Found = { readonly allowed: Allowed[]; unknown: Route | null; refused: Refused | null };
type Refused = Extract<Route, { kind: "refuse" }>;
type Allowed = Exclude<Route, { kind: "look-up" | "refuse" }>;

/**
 * Goes round the endpoints once, from the chosen one on: the first that may be dialled, and alternatives of its kind.
 * Where none may, an endpoint that a look-up could still name comes before a refusal.
 */
function toService(question: Question, service: Service, byFamily: Backends | undefined): Route {
  const backends = byFamily?.[isIpv6(question.input.destination.ip) ? "ipv6" : "ipv4"] ?? [];
  if (backends.length === 0) return refuse("no_ready_endpoint", service.fullName, serviceFacts(question.view, service));
  const start = startOf(question, service, backends);
  const found: Found = { allowed: [], unknown: null, refused: null };
  for (let step = 0; step < backends.length && found.allowed.length <= mostAlternatives; step++) {
    note(found, toEndpoint(question, backends[(start + step) % backends.length]!));
  }
  if (found.allowed.length > 0) return joined(found.allowed, service);
  return found.unknown ?? { ...found.refused!, service };
}

/** With `internalTrafficPolicy: Local` those on the own node; where that is not known, all: nothing is lost by it. */
function backendsFor({ node }: View, service: Service, port: number): Backends | undefined {
  if (service.internalTrafficPolicy === "Cluster" || node === null) return service.backends.get(port);
  return backendsOf(
    service.endpoints.filter((endpoint) => endpoint.node === node),
    port,
  );
}

function note(found: Found, next: Route): void {
  if (next.kind === "refuse") found.refused ??= next;
  else if (next.kind === "look-up") found.unknown ??= next;
  else {
    const first = found.allowed[0] ?? next;
    if (next.kind === first.kind && next.class === first.class) found.allowed.push(next);
  }
}

/** One route of all: alternatives never change the kind, so that a tunnel has no clear fall-back. */
function joined(routes: readonly Allowed[], service: Service): Route {
  const first = routes[0]!;
  const more = routes.slice(1);
  switch (first.kind) {
    case "tunnel":
      return {
        ...first,
        service,
        candidates: [first.candidates[0], ...more.flatMap((next) => (next.kind === "tunnel" ? next.candidates : []))],
      };
    case "clear":
    case "clear-if-tls":
      return {
        ...first,
        service,
        endpoints: [first.endpoints[0], ...more.flatMap((next) => ("endpoints" in next ? next.endpoints : []))],
      };
    case "local":
      return { ...first, service };
  }
}

/** ClientIP affinity needs no memory: every proxy ranks the endpoints by its own pod's uid, and keeps its first. */
function startOf(question: Question, service: Service, backends: readonly Endpoint[]): number {
  if (service.sessionAffinity === "None") return (question.input.pick >>> 0) % backends.length;
  const seed = fnv1a(0x811c9dc5, question.view.self.podUid);
  let best = 0;
  let highest = -1;
  for (const [index, backend] of backends.entries()) {
    const weight = fnv1a(seed, backend.ip);
    if (weight > highest) [best, highest] = [index, weight];
  }
  return best;
}

function fnv1a(seed: number, text: string): number {
  let hash = seed;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** One address and port, classed by the address. */
function toEndpoint(question: Question, endpoint: Endpoint): Route {
  const { view } = question;
  const kind = classify(view, endpoint.ip);
  const workload = kind === "internal" || kind === "other-project" ? workloadAt(view, endpoint.ip) : null;
  const facts: Facts = { class: peerClass(view, kind, endpoint.ip), workload, service: null };
  if (isProxyPort(view, { kind, workload, port: endpoint.port }))
    return refuse("proxy_port", String(endpoint.port), facts);
  switch (kind) {
    case "self":
      return { kind: "local", endpoint, dryRun: null, ...facts };
    case "conflict":
      return refuse("address_conflict", claimantsOf(view, endpoint.ip), facts);
    case "internal":
      return toInternal(question, endpoint, facts);
    case "unknown":
      return toUnknown(question, endpoint, facts);
    case "other-project":
    case "node":
    case "external":
      return toOutside(question, endpoint, facts);
  }
}

/** A proxy's port would loop here, and open a relay at any other pod. */
function isProxyPort(view: View, at: { kind: AddressKind; workload: Workload | null; port: number }): boolean {
  if (at.kind === "external" || at.kind === "node") return false;
  return view.self.proxyPorts.has(at.port) || at.workload?.tunnelPort === at.port;
}

function toInternal(question: Question, endpoint: Endpoint, facts: Facts): Route {
  const workload = facts.workload!;
  if (workload.tunnelPort !== null) {
    const candidate = { ip: endpoint.ip, port: endpoint.port, tunnelPort: workload.tunnelPort, workload };
    return { kind: "tunnel", candidates: [candidate], dryRun: null, ...facts };
  }
  if (question.mode === "permissive") return clear(endpoint, "permissive", facts);
  return refuse("peer_not_enrolled", podName(workload), facts);
}

function toUnknown(question: Question, endpoint: Endpoint, facts: Facts): Route {
  const { lookUp, asked } = question.input;
  // Clear text that was sent to a new pod is on the wire: what was nobody's before may not be so now.
  if (lookUp === null) return { kind: "look-up", ip: endpoint.ip, lastWillDo: false };
  // What was told of one endpoint of a Service says nothing of another.
  const answer = asked === endpoint.ip ? lookUp : "no-answer";
  if (answer === "unheld" && isOutsideUnheld(question.view, endpoint.ip))
    return toOutside(question, endpoint, { ...facts, class: "external" });
  if (question.mode === "permissive") return clear(endpoint, "permissive", facts);
  return refuse("destination_unknown", answer, facts);
}

/** To somebody who need not be reached encrypted. A rule may name the endpoint, or the Service address that was dialled. */
function toOutside(question: Question, endpoint: Endpoint, facts: Facts): Route {
  const { view, mode } = question;
  if (mode !== "strict") return clear(endpoint, "outside", facts);
  const dialled = question.input.destination;
  if (view.clusterServices.get(endpoint.ip)?.has(endpoint.port) === true)
    return clear(endpoint, "cluster-service", facts);
  const isNamed = view.policy.allowEgress.every(
    (rules) =>
      namesAddress(rules, endpoint.ip, endpoint.port) ||
      (dialled !== endpoint && namesAddress(rules, dialled.ip, dialled.port)),
  );
  if (isNamed) return clear(endpoint, "allow-egress", facts);
  return { kind: "clear-if-tls", endpoints: [endpoint], dryRun: null, ...facts };
}

const clear = (endpoint: Endpoint, why: ClearWhy, facts: Facts): Route => ({
  kind: "clear",
  endpoints: [endpoint],
  why,
  dryRun: null,
  ...facts,
});

const refuse = (reason: Reason, detail: string, facts: Facts): Refused => ({
  kind: "refuse",
  reason,
  detail,
  ...facts,
});

const serviceFacts = (view: View, service: Service): Facts => ({
  class: view.policy.internalProjects.has(service.project) ? "internal" : "other-project",
  workload: null,
  service,
});

const noDirectory = refuse("no_directory", "before the first snapshot", {
  class: "none",
  workload: null,
  service: null,
});
