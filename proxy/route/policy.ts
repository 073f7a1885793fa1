/**
 * The policy that holds for this pod, computed once for each snapshot, so that a decision is a few map look-ups.
 *
 * A mode never loosens: the strictest of the floor written into the pod, the project's mode and the workload's mode
 * holds. A peer project counts only while both sides name each other with the uid that each really has. Pure.
 */
import type { Endpoint, Ip } from "../../lib/net/address.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import { podsAt } from "./snapshot.ts";
import type { Project, Snapshot, Workload } from "./snapshot.ts";
import { isStricter, strictest } from "../../lib/project/mode.ts";
import type { Mode } from "../../lib/project/mode.ts";
import { namesAddress, namesCaller } from "../../lib/project/rules.ts";
import type { AddressRule, CallerRule, IngressRule } from "../../lib/project/rules.ts";

/** What the pod knows of itself, from its static settings. */
export type Self = {
  readonly project: string;
  readonly podUid: string;
  readonly ips: ReadonlySet<Ip>;
  /** TENCRYPT_MODE. */
  readonly floor: Mode;
  /** Every port that one of the pod's own proxy listeners has. */
  readonly proxyPorts: ReadonlySet<number>;
};

export type Policy = {
  readonly mode: Mode;
  /** Stricter than `mode`, or null. */
  readonly dryRun: Mode | null;
  /** Null: the default of the mode that decides. */
  readonly nodeSources: "accept" | "refuse" | null;
  /** The own project and its mutual peers: also whom the verifier expects on 15008. */
  readonly internalProjects: ReadonlySet<string>;
  /** The lists of namespace and workload, where it has one: what they name, each of them names. */
  readonly allowEgress: readonly (readonly AddressRule[])[];
  readonly allowIngress: readonly IngressRules[];
  /** The non-empty lists of namespace and workload: a caller has to be in each of them. */
  readonly allowFrom: readonly (readonly CallerRule[])[];
  readonly allowFromDryRun: readonly (readonly CallerRule[])[];
};

export type IngressRules = { readonly addresses: readonly AddressRule[]; readonly callers: readonly CallerRule[] };

/** A snapshot as this pod sees it: what `route`, `authorizeStream` and `authorizeClear` decide on. */
export type View = {
  readonly snapshot: Snapshot;
  readonly self: Self;
  readonly policy: Policy;
  /** The node that this pod runs on, where that is known. */
  readonly node: string | null;
  /** Endpoints that stay reachable in clear in `strict` without a rule: cluster DNS and the API server. */
  readonly clusterServices: ReadonlyMap<Ip, ReadonlySet<number>>;
};

/**
 * What a look-up of an unknown address gave: a pod holds it (and the view now names it), none does, none did when it was
 * last asked for, or nobody said.
 */
export type LookUpAnswer = "held" | "unheld" | "last-unheld" | "no-answer";

/**
 * Ask for `ip`, then call again with the answer (and the view of then). `lastWillDo`: an answer from before will do, if it was
 * that nobody holds the address.
 */
export type LookUp = { readonly kind: "look-up"; readonly ip: Ip; readonly lastWillDo: boolean };

/** What a decision is made on, beside what it is about. */
export type Known = {
  /** Null before the first snapshot. */
  readonly view: View | null;
  /** Null until a look-up was made for this decision. */
  readonly lookUp: LookUpAnswer | null;
  /** The address that it was made for. */
  readonly asked: Ip | null;
};

/** What a decision is once a look-up was made, or none was needed. */
export type Decided<D> = Exclude<D, LookUp>;

/** What the stricter mode of a dry run would refuse. `unlessTls`: only if the first bytes are no TLS ClientHello. */
export type DryRun = { readonly reason: Reason; readonly detail: string; readonly unlessTls: boolean };

/** Why a connection may not be there, or may not stay; null: it may. */
export type Verdict = { readonly reason: Reason; readonly detail: string } | null;

/** Services, and their port, that `strict` lets pods reach in clear; whoever can make one of these owns the cluster anyway. */
const clusterServicePorts: ReadonlyMap<string, number> = new Map([
  ["kube-system/kube-dns", 53],
  ["openshift-dns/dns-default", 53],
  ["default/kubernetes", 443],
]);

/** The snapshot must have passed `accept`: it names the own project and pod. */
export function buildView(snapshot: Snapshot, self: Self): View {
  const project = snapshot.projects.get(self.project);
  if (project === undefined) throw new Error("a view needs a snapshot that names the own project");
  const own = ownWorkload(snapshot, self);
  return {
    snapshot,
    self,
    policy: policyOf(project, own, { floor: self.floor, snapshot }),
    node: own?.node ?? null,
    clusterServices: clusterServices(snapshot),
  };
}

/** The own entry, found by the own addresses and uid. */
function ownWorkload(snapshot: Snapshot, self: Self): Workload | null {
  for (const ip of self.ips) {
    const own = ownAt(snapshot, ip, self);
    if (own !== undefined) return own;
  }
  return null;
}

/** The own entry at one address. Another pod that claims it too does not make the snapshot wrong about us. */
export const ownAt = (snapshot: Snapshot, ip: Ip, self: Self): Workload | undefined =>
  podsAt(snapshot, ip).find(({ uid, project }) => uid === self.podUid && project === self.project);

function policyOf(
  project: Project,
  workload: Workload | null,
  { floor, snapshot }: { floor: Mode; snapshot: Snapshot },
): Policy {
  const mode = strictest(strictest(floor, project.mode), workload?.mode ?? null);
  return {
    mode,
    dryRun: dryRunOf(mode, project, workload),
    nodeSources: workload?.nodeSources === "refuse" ? "refuse" : project.nodeSources,
    internalProjects: new Set([project.name, ...mutualPeers(project, snapshot)]),
    allowEgress: [project.allowEgress, workload?.allowEgress ?? null].filter((rules) => rules !== null),
    allowIngress: [project.allowIngress, workload?.allowIngress ?? null]
      .filter((rules) => rules !== null)
      .map(ingressRules),
    allowFrom: [project.allowFrom, workload?.allowFrom ?? []].filter(notEmpty),
    allowFromDryRun: [project.allowFromDryRun, workload?.allowFromDryRun ?? []].filter(notEmpty),
  };
}

/** The stricter of what namespace and workload try, where that is stricter than what holds. */
function dryRunOf(mode: Mode, project: Project, workload: Workload | null): Mode | null {
  const tried = strictest(strictest(mode, project.dryRun), workload?.dryRun ?? null);
  return isStricter(tried, mode) ? tried : null;
}

const ingressRules = (rules: readonly IngressRule[]): IngressRules => ({
  addresses: rules.filter((rule): rule is AddressRule => "cidr" in rule),
  callers: rules.filter((rule): rule is CallerRule => !("cidr" in rule)),
});

const notEmpty = (rules: readonly CallerRule[]): boolean => rules.length > 0;

/** Projects that we name and that name us, each with the uid that the other's namespace has now. */
function mutualPeers(own: Project, snapshot: Snapshot): string[] {
  return own.peers
    .filter((peer) => {
      const theirs = snapshot.projects.get(peer.name);
      if (theirs === undefined || theirs.uid !== peer.uid) return false;
      return theirs.peers.some((back) => back.name === own.name && back.uid === own.uid);
    })
    .map((peer) => peer.name);
}

function clusterServices(snapshot: Snapshot): ReadonlyMap<Ip, ReadonlySet<number>> {
  const found = new Map<Ip, Set<number>>();
  const add = ({ ip, port }: Endpoint): void => {
    found.set(ip, (found.get(ip) ?? new Set()).add(port));
  };
  for (const service of new Set(snapshot.vips.values())) {
    const port = clusterServicePorts.get(service.fullName);
    const backends = port === undefined ? undefined : service.backends.get(port);
    backends?.ipv4.forEach(add);
    backends?.ipv6.forEach(add);
  }
  return found;
}

/** `workload` is the pod at the source address, where the directory names one. */
export const namesSource = ({ allowIngress }: Policy, { ip, port }: Endpoint, workload: Workload | null): boolean =>
  allowIngress.every(
    ({ addresses, callers }) =>
      namesAddress(addresses, ip, port) || (workload !== null && namesCaller(callers, workload, port)),
  );

export function nodeSourcesAccepted(policy: Policy, mode: Mode): boolean {
  return (policy.nodeSources ?? (mode === "strict" ? "refuse" : "accept")) === "accept";
}
