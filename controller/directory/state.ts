/**
 * The cluster as the directory sees it, changed one object at a time: entries of each project with the number of the
 * change that made them what they are, so that a stream asks only for what is newer than what it has sent. An event costs
 * what it touches: its own entry, its project's Services, and who claims the same address.
 */
import { hash } from "node:crypto";
import type { DocumentProject, DocumentService, DocumentWorkload } from "../../lib/directory/document.ts";
import type { EndpointSlice, Namespace, Node, Pod, Service, ServiceCidr } from "../../lib/kube/objects.ts";
import { keyOf } from "../../lib/kube/informer.ts";
import type { Change } from "../../lib/kube/informer.ts";
import { isIpv6 } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { Mode } from "../../lib/project/mode.ts";
import { isProject } from "../../lib/project/settings.ts";
import { clusterAddresses, isClaimable } from "./addresses.ts";
import type { ClusterAddresses } from "./addresses.ts";
import { claimedIpsOf, clusterIpsOf, projectOf, serviceOf, workloadOf } from "./entities.ts";

export type StateSettings = { readonly defaultMode: Mode; readonly clusterRanges: readonly string[] };

/** `value` null: gone. `digest` tells whether it has changed: as text it would be larger than the value itself. */
export type Entry<T> = { readonly value: T | null; readonly digest: string; readonly change: number };

export type ServicePair = {
  /** With the addresses that count for the Service's own project. */
  readonly own: DocumentService;
  /** With its cluster addresses only; null where it has none. */
  readonly foreign: DocumentService | null;
};

/** What one project holds. */
export type ProjectEntries = {
  project: Entry<DocumentProject>;
  readonly workloads: Map<string, Entry<DocumentWorkload>>;
  readonly services: Map<string, Entry<ServicePair>>;
};

/** How many entries that are gone are remembered, so that streams can tell it; older streams get everything anew. */
const mostTombstones = 20_000;

type Indexed = {
  readonly previous: Service | undefined;
  readonly next: Service | undefined;
  readonly addressesOf: (service: Service) => readonly string[];
};

const digestOf = (value: unknown): string => hash("sha256", JSON.stringify(value), "base64");

const sliceService = ({ metadata }: EndpointSlice): string =>
  `${metadata.namespace ?? ""}/${metadata.labels?.["kubernetes.io/service-name"] ?? ""}`;

const addressesOfNode = (node: Node | undefined): ReadonlySet<string> =>
  new Set(node?.status?.addresses?.map(({ address }) => address));

export class ClusterState {
  readonly #settings: StateSettings;
  readonly #projects = new Map<string, ProjectEntries>();
  readonly #services = new Map<string, Service>();
  /** The same by their project: an event reads those of its own only. */
  readonly #servicesOf = new Map<string, Map<string, Service>>();
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #nodes = new Map<string, Node>();
  readonly #cidrs = new Map<string, ServiceCidr>();
  /** Uids of the pods that hold an address. */
  readonly #holders = new Map<string, Set<string>>();
  readonly #workloads = new Map<string, DocumentWorkload>();
  /** Services by their cluster addresses, and by those that they claim. */
  readonly #vips = new Map<string, Set<string>>();
  readonly #claims = new Map<string, Set<string>>();
  readonly #tombstones: { readonly change: number; readonly forget: () => void }[] = [];
  #cluster: Entry<ClusterAddresses> = { value: null, digest: "", change: 0 };
  #change = 0;
  #oldest = 0;
  readonly #touched = new Set<string>();
  readonly #onMoved: ((ip: string) => void)[] = [];
  /** How many pods have their first address of each family. */
  readonly #first = { ipv4: 0, ipv6: 0 };

  constructor(settings: StateSettings) {
    this.#settings = settings;
    this.#renewCluster();
  }

  /** The number of the newest change. */
  get change(): number {
    return this.#change;
  }

  /** Changes up to this one are not told apart any more. */
  get oldest(): number {
    return this.#oldest;
  }

  get cluster(): Entry<ClusterAddresses> {
    return this.#cluster;
  }

  entriesOf(project: string): ProjectEntries | undefined {
    return this.#projects.get(project);
  }

  /** Addresses whose holder changed since the last call. */
  takeTouched(): readonly string[] {
    const touched = [...this.#touched];
    this.#touched.clear();
    return touched;
  }

  /** Calls back at once with each address that comes to somebody, or goes. */
  onMoved(listener: (ip: string) => void): void {
    this.#onMoved.push(listener);
  }

  /** Whether a pod may hold the address beside one of the other family that it is listed by. */
  mayBeSecond(ip: Ip): boolean {
    const { ipv4, ipv6 } = this.#first;
    return (isIpv6(ip) ? ipv4 : ipv6) > 0 || ipv4 + ipv6 === 0;
  }

  podsAt(ip: string): readonly DocumentWorkload[] {
    return this.#vips.has(ip) ? [] : this.#claimants(ip);
  }

  serviceAt(ip: string): Service | undefined {
    const [name] = this.#vips.get(ip) ?? [];
    return name === undefined ? undefined : this.#services.get(name);
  }

  nodeAt(ip: string): string | undefined {
    for (const node of this.#nodes.values())
      if (node.status?.addresses?.some(({ address }) => address === ip)) return node.metadata.name;
    return undefined;
  }

  namespace(change: Change<Namespace>): void {
    const { metadata } = change.object;
    const enabled = change.kind !== "removed" && isProject(metadata);
    const entries = this.#entries(metadata.name);
    const value = enabled ? projectOf(change.object, this.#settings.defaultMode) : null;
    entries.project = this.#next(entries.project, value);
    if (change.kind === "removed") this.#forgetEmpty();
  }

  pod(change: Change<Pod>): void {
    const { uid, namespace = "" } = change.object.metadata;
    const next = change.kind === "removed" ? null : workloadOf(change.object);
    const previous = this.#workloads.get(uid);
    const [old, fresh] = [new Set(previous?.ips), new Set(next?.ips)];
    const addresses = old.union(fresh);
    this.#hold(uid, previous, next);
    for (const ip of old.symmetricDifference(fresh)) this.#moved(ip);
    // Who claims one of these addresses too is seen by more projects now, or by fewer.
    const concerned = [...addresses].flatMap((ip) => this.#claimants(ip));
    this.#renewWorkloads(concerned, [{ uid, project: namespace }]);
  }

  service(change: Change<Service>): void {
    const key = keyOf(change.object);
    const previous = this.#services.get(key);
    const next = change.kind === "removed" ? undefined : change.object;
    this.#store(key, change.object.metadata.namespace ?? "", next);
    this.#index(this.#claims, key, { previous, next, addressesOf: claimedIpsOf });
    for (const ip of this.#index(this.#vips, key, { previous, next, addressesOf: clusterIpsOf })) {
      this.#moved(ip);
      this.#renewWorkloads(this.#claimants(ip));
    }
    this.#renewServices(change.object.metadata.namespace ?? "");
  }

  slice(change: Change<EndpointSlice>): void {
    // By its label, which may be changed.
    if (change.kind === "updated" && sliceService(change.old) !== sliceService(change.object))
      this.slice({ kind: "removed", object: change.old });
    const service = sliceService(change.object);
    const slices = this.#slices.get(service) ?? new Map<string, EndpointSlice>();
    if (change.kind === "removed") slices.delete(keyOf(change.object));
    else slices.set(keyOf(change.object), change.object);
    if (slices.size === 0) this.#slices.delete(service);
    else this.#slices.set(service, slices);
    const [project = ""] = service.split("/");
    if (this.#services.has(service)) this.#renewServices(project, service);
  }

  node(change: Change<Node>): void {
    const { name } = change.object.metadata;
    const before = addressesOfNode(this.#nodes.get(name));
    if (change.kind === "removed") this.#nodes.delete(name);
    else this.#nodes.set(name, change.object);
    for (const ip of before.symmetricDifference(addressesOfNode(this.#nodes.get(name)))) this.#moved(ip);
    this.#renewCluster();
  }

  serviceCidr(change: Change<ServiceCidr>): void {
    if (change.kind === "removed") this.#cidrs.delete(change.object.metadata.name);
    else this.#cidrs.set(change.object.metadata.name, change.object);
    this.#renewCluster();
  }

  #entries(project: string): ProjectEntries {
    const known = this.#projects.get(project);
    if (known !== undefined) return known;
    const made: ProjectEntries = {
      project: { value: null, digest: digestOf(null), change: 0 },
      workloads: new Map(),
      services: new Map(),
    };
    this.#projects.set(project, made);
    return made;
  }

  /** Namespaces come and go without an end. No stream sees one that is no project. */
  #forgetEmpty(): void {
    for (const [name, { project, workloads, services }] of this.#projects)
      if (project.value === null && workloads.size === 0 && services.size === 0) this.#projects.delete(name);
  }

  /** The same entry where nothing that is told has changed. */
  #next<T>(entry: Entry<T> | undefined, value: T | null): Entry<T> {
    const digest = digestOf(value);
    if (entry !== undefined && entry.digest === digest) return entry;
    return { value, digest, change: ++this.#change };
  }

  #put<T>(map: Map<string, Entry<T>>, key: string, value: T | null): void {
    const before = map.get(key);
    if (before === undefined && value === null) return;
    const entry = this.#next(before, value);
    if (entry === before) return;
    map.set(key, entry);
    if (value !== null) return;
    this.#tombstones.push({
      change: entry.change,
      forget: () => {
        if (map.get(key) === entry) map.delete(key);
      },
    });
    while (this.#tombstones.length > mostTombstones) {
      const oldest = this.#tombstones.shift()!;
      oldest.forget();
      this.#oldest = oldest.change;
    }
  }

  #hold(uid: string, previous: DocumentWorkload | undefined, next: DocumentWorkload | null): void {
    for (const ip of previous?.ips ?? []) {
      const holders = this.#holders.get(ip);
      holders?.delete(uid);
      if (holders?.size === 0) this.#holders.delete(ip);
    }
    this.#countFirst(previous, -1);
    this.#countFirst(next, 1);
    if (next === null) {
      this.#workloads.delete(uid);
      return;
    }
    this.#workloads.set(uid, next);
    for (const ip of next.ips) {
      const holders = this.#holders.get(ip) ?? new Set<string>();
      this.#holders.set(ip, holders.add(uid));
    }
  }

  #countFirst(workload: DocumentWorkload | null | undefined, change: 1 | -1): void {
    const first = workload?.ips[0];
    if (first !== undefined) this.#first[isIpv6(first as Ip) ? "ipv6" : "ipv4"] += change;
  }

  /** Pods whose status says that they have the address. */
  #claimants(ip: string): readonly DocumentWorkload[] {
    return [...(this.#holders.get(ip) ?? [])].map((uid) => this.#workloads.get(uid)!);
  }

  #renewWorkloads(...concerned: readonly (readonly Pick<DocumentWorkload, "uid" | "project">[])[]): void {
    const uids = new Set(concerned.flat().map(({ uid }) => uid));
    const projects = new Set(concerned.flat().map(({ project }) => project));
    for (const project of projects) for (const uid of uids) this.#renewWorkload(project, uid);
  }

  /** A project knows its own pods, and those that claim an address of one of them: it has to see the conflict. */
  #renewWorkload(project: string, uid: string): void {
    const workload = this.#workloads.get(uid);
    const held = workload === undefined ? null : this.#held(workload);
    const concerns =
      held !== null &&
      (held.project === project ||
        held.ips.some((ip) => this.#claimants(ip).some((other) => other.project === project)));
    this.#put(this.#entries(project).workloads, uid, concerns ? held : null);
  }

  /** What an API server has given to a Service it gives to no pod, whatever a status says. */
  #held(workload: DocumentWorkload): DocumentWorkload | null {
    const ips = workload.ips.filter((ip) => !this.#vips.has(ip));
    if (ips.length === workload.ips.length) return workload;
    return ips.length === 0 ? null : { ...workload, ips };
  }

  #store(key: string, project: string, service: Service | undefined): void {
    const siblings = this.#servicesOf.get(project) ?? new Map<string, Service>();
    if (service === undefined) {
      this.#services.delete(key);
      siblings.delete(key);
    } else {
      this.#services.set(key, service);
      siblings.set(key, service);
    }
    if (siblings.size === 0) this.#servicesOf.delete(project);
    else this.#servicesOf.set(project, siblings);
  }

  /** Keeps which Services have or claim an address; gives the addresses for which that changed. */
  #index(
    index: Map<string, Set<string>>,
    service: string,
    { previous, next, addressesOf }: Indexed,
  ): readonly string[] {
    const [old, fresh] = [previous, next].map((each) => new Set(each === undefined ? [] : addressesOf(each)));
    const changed = [...old!.symmetricDifference(fresh!)];
    for (const ip of changed) {
      const services = index.get(ip) ?? new Set<string>();
      if (fresh!.has(ip)) services.add(service);
      else services.delete(service);
      if (services.size === 0) index.delete(ip);
      else index.set(ip, services);
    }
    return changed;
  }

  /** An address has come to somebody or gone: a Service may claim it only while it is nobody's. */
  #moved(ip: string): void {
    this.#touched.add(ip);
    for (const listener of this.#onMoved) listener(ip);
    const projects = new Set(
      [...(this.#claims.get(ip) ?? [])].map((key) => this.#services.get(key)?.metadata.namespace ?? ""),
    );
    for (const project of projects) this.#renewServices(project);
  }

  /** All of a project, since two of its Services may claim one address: the first by name has it. */
  #renewServices(project: string, only?: string): void {
    const { services } = this.#entries(project);
    const taken = new Set<string>();
    const present = [...(this.#servicesOf.get(project) ?? [])].toSorted(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, service] of present) {
      const own = clusterIpsOf(service);
      const claimed = claimedIpsOf(service).filter((ip) => this.#mayClaim(ip) && !taken.has(ip));
      for (const ip of claimed) taken.add(ip);
      if (only === undefined || only === key) this.#put(services, key, this.#pairOf(service, own, claimed));
    }
    if (only === undefined)
      for (const key of services.keys()) if (!this.#services.has(key)) this.#put(services, key, null);
  }

  #pairOf(service: Service, own: readonly string[], claimed: readonly string[]): ServicePair | null {
    const slices = [...(this.#slices.get(keyOf(service))?.values() ?? [])];
    const all = serviceOf(service, slices, [...own, ...claimed]);
    return all === null ? null : { own: all, foreign: serviceOf(service, slices, own) };
  }

  #mayClaim(ip: string): boolean {
    return isClaimable(ip, this.#cluster.value!) && !this.#holders.has(ip) && !this.#vips.has(ip);
  }

  #renewCluster(): void {
    const value = clusterAddresses([...this.#nodes.values()], [...this.#cidrs.values()], this.#settings.clusterRanges);
    const before = this.#cluster;
    this.#cluster = this.#next(before.value === null ? undefined : before, value);
    if (this.#cluster === before) return;
    const claiming = new Set<string>();
    for (const service of this.#services.values())
      if (claimedIpsOf(service).length > 0) claiming.add(service.metadata.namespace ?? "");
    for (const project of claiming) this.#renewServices(project);
  }
}
