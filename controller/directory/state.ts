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
import type { Ip } from "../../lib/net/address.ts";
import type { Mode } from "../../lib/project/mode.ts";
import { isProject } from "../../lib/project/settings.ts";
import { claimable, clusterAddresses } from "./addresses.ts";
import type { ClusterAddresses } from "./addresses.ts";
import { Claims } from "./claims.ts";
import { claimedIpsOf, clusterIpsOf, projectOf, serviceOf, sizeOf, withoutPorts, workloadOf } from "./entities.ts";
import { Holders } from "./holders.ts";
import { Room } from "./room.ts";

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

/** Octets in an update, about, of the Services of a project: some 50 000 endpoints with two ports. */
const mostOfServices = 8 * 1024 * 1024;

const projectOfKey = (key: string): string => key.slice(0, key.indexOf("/"));

/** The addresses that a Service has got or lost, and all that it has now. */
function difference(
  previous: Service | undefined,
  next: Service | undefined,
  addressesOf: (service: Service) => readonly string[],
): readonly [changed: readonly string[], fresh: ReadonlySet<string>] {
  const [old, fresh] = [previous, next].map((each) => new Set(each === undefined ? [] : addressesOf(each)));
  return [[...old!.symmetricDifference(fresh!)], fresh!];
}

const digestOf = (value: unknown): string => hash("sha256", JSON.stringify(value), "base64");

const sliceService = ({ metadata }: EndpointSlice): string =>
  `${metadata.namespace ?? ""}/${metadata.labels?.["kubernetes.io/service-name"] ?? ""}`;

const addressesOfNode = (node: Node | undefined): ReadonlySet<string> =>
  new Set(node?.status?.addresses?.map(({ address }) => address));

/** What counts of a node; its kubelet writes other things to it all the time. */
const factsOfNode = (node: Node | undefined): string =>
  node === undefined ? "none" : JSON.stringify([node.spec?.podCIDR, node.spec?.podCIDRs, node.status?.addresses]);

export class ClusterState {
  readonly #settings: StateSettings;
  readonly #projects = new Map<string, ProjectEntries>();
  readonly #services = new Map<string, Service>();
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #nodes = new Map<string, Node>();
  readonly #cidrs = new Map<string, ServiceCidr>();
  /** Services by their cluster addresses. */
  readonly #vips = new Map<string, Set<string>>();
  readonly #claims = new Claims();
  readonly #room = new Room(mostOfServices);
  readonly #holders = new Holders();
  readonly #tombstones: { readonly change: number; readonly forget: () => void }[] = [];
  #cluster: Entry<ClusterAddresses> = { value: null, digest: "", change: 0 };
  #isClaimable: (ip: string) => boolean = () => false;
  #isClusterDue = false;
  readonly #servicesDue = new Set<string>();
  #change = 0;
  #oldest = 0;
  readonly #touched = new Set<string>();
  readonly #onMoved: ((ip: string) => void)[] = [];

  constructor(settings: StateSettings) {
    this.#settings = settings;
    this.#renewCluster();
  }

  /** The number of the newest change. */
  get change(): number {
    this.#settle();
    return this.#change;
  }

  /** Changes up to this one are not told apart any more. */
  get oldest(): number {
    this.#settle();
    return this.#oldest;
  }

  get cluster(): Entry<ClusterAddresses> {
    this.#settle();
    return this.#cluster;
  }

  /** Services that are told without their ports, because their project has too many. */
  get cut(): number {
    this.#settle();
    return this.#room.waiting;
  }

  entriesOf(project: string): ProjectEntries | undefined {
    this.#settle();
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
    return this.#holders.mayBeSecond(ip);
  }

  podsAt(ip: string): readonly DocumentWorkload[] {
    return this.#vips.has(ip) ? [] : this.#holders.at(ip).map((workload) => this.#held(workload)!);
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
    const previous = this.#holders.get(uid);
    const [old, fresh] = [new Set(previous?.ips), new Set(next?.ips)];
    const addresses = old.union(fresh);
    this.#holders.put(uid, next);
    for (const ip of old.symmetricDifference(fresh)) this.#moved(ip);
    // Who claims one of these addresses too is seen by more projects now, or by fewer.
    const rivals = [...addresses].flatMap((ip) => this.#holders.at(ip));
    for (const project of this.#holders.projectsAt(addresses).add(namespace)) this.#renewWorkload(project, uid);
    for (const rival of new Set(rivals)) this.#renewWorkload(namespace, rival.uid);
  }

  service(change: Change<Service>): void {
    const key = keyOf(change.object);
    const previous = this.#services.get(key);
    const next = change.kind === "removed" ? undefined : change.object;
    if (next === undefined) this.#services.delete(key);
    else this.#services.set(key, next);
    const rivals = this.#claim(key, previous, next);
    for (const ip of this.#index(key, previous, next)) {
      this.#moved(ip);
      for (const { uid, ips } of this.#holders.at(ip))
        for (const project of this.#holders.projectsAt(ips)) this.#renewWorkload(project, uid);
    }
    for (const each of [key, ...rivals]) this.#servicesDue.add(each);
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
    if (this.#services.has(service)) this.#servicesDue.add(service);
  }

  node(change: Change<Node>): void {
    const { name } = change.object.metadata;
    const before = this.#nodes.get(name);
    if (change.kind === "removed") this.#nodes.delete(name);
    else this.#nodes.set(name, change.object);
    const now = this.#nodes.get(name);
    if (factsOfNode(before) === factsOfNode(now)) return;
    this.#isClusterDue = true;
    for (const ip of addressesOfNode(before).symmetricDifference(addressesOfNode(now))) this.#moved(ip);
  }

  serviceCidr(change: Change<ServiceCidr>): void {
    if (change.kind === "removed") this.#cidrs.delete(change.object.metadata.name);
    else this.#cidrs.set(change.object.metadata.name, change.object);
    this.#isClusterDue = true;
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

  /** A project knows its own pods, and those that claim an address of one of them: it has to see the conflict. */
  #renewWorkload(project: string, uid: string): void {
    const workload = this.#holders.get(uid);
    const held = workload === undefined ? null : this.#held(workload);
    const concerns = held !== null && (held.project === project || this.#holders.projectsAt(held.ips).has(project));
    this.#put(this.#entries(project).workloads, uid, concerns ? held : null);
  }

  /** What an API server has given to a Service it gives to no pod, whatever a status says. */
  #held(workload: DocumentWorkload): DocumentWorkload | null {
    const ips = workload.ips.filter((ip) => !this.#vips.has(ip));
    if (ips.length === workload.ips.length) return workload;
    return ips.length === 0 ? null : { ...workload, ips };
  }

  /** Keeps which Services have an address; gives the addresses for which that changed. */
  #index(key: string, previous: Service | undefined, next: Service | undefined): readonly string[] {
    const [changed, fresh] = difference(previous, next, clusterIpsOf);
    for (const ip of changed) {
      const services = this.#vips.get(ip) ?? new Set<string>();
      if (fresh.has(ip)) services.add(key);
      else services.delete(key);
      if (services.size === 0) this.#vips.delete(ip);
      else this.#vips.set(ip, services);
    }
    return changed;
  }

  /** Keeps which Services claim an address; gives those of the project that get one by it, or lose it. */
  #claim(key: string, previous: Service | undefined, next: Service | undefined): readonly string[] {
    const claimant = { project: projectOfKey(key), service: key };
    const [changed, fresh] = difference(previous, next, claimedIpsOf);
    return changed.flatMap((ip) => {
      const before = this.#claims.first(claimant.project, ip);
      if (fresh.has(ip)) this.#claims.add(ip, claimant);
      else this.#claims.remove(ip, claimant);
      const after = this.#claims.first(claimant.project, ip);
      return [before, after].filter((each) => each !== undefined);
    });
  }

  /** An address has come to somebody or gone: a Service may claim it only while it is nobody's. */
  #moved(ip: string): void {
    this.#touched.add(ip);
    for (const listener of this.#onMoved) listener(ip);
    for (const key of this.#claims.firsts(ip)) this.#servicesDue.add(key);
  }

  #renewService(key: string): void {
    const project = projectOfKey(key);
    const service = this.#services.get(key);
    const told = service === undefined ? null : this.#toldOf(service);
    const { fits, mayFit } = this.#room.take(project, key, told === null ? 0 : sizeOf(told));
    for (const each of mayFit) this.#servicesDue.add(each);
    const own = told === null || fits ? told : withoutPorts(told);
    this.#put(this.#entries(project).services, key, own === null ? null : this.#pairOf(service!, own));
  }

  /** Two Services of a project may claim one address: the first by name has it. */
  #claimedBy(service: Service): readonly string[] {
    const key = keyOf(service);
    return claimedIpsOf(service).filter(
      (ip) => this.#claims.first(projectOfKey(key), ip) === key && this.#mayClaim(ip),
    );
  }

  #toldOf(service: Service): DocumentService | null {
    const slices = [...(this.#slices.get(keyOf(service))?.values() ?? [])];
    return serviceOf(service, slices, [...clusterIpsOf(service), ...this.#claimedBy(service)]);
  }

  /** Endpoints by thousands are made once. */
  #pairOf(service: Service, own: DocumentService): ServicePair {
    const vips = clusterIpsOf(service);
    return { own, foreign: vips.length === 0 ? null : { ...own, vips } };
  }

  #mayClaim(ip: string): boolean {
    return this.#isClaimable(ip) && !this.#holders.has(ip) && !this.#vips.has(ip);
  }

  /** What is made of many objects is made when it is asked for: nodes and a Service's slices come by thousands. */
  #settle(): void {
    if (this.#isClusterDue) this.#renewCluster();
    // What becomes smaller makes room for others, which are due then.
    while (this.#servicesDue.size > 0) {
      const due = [...this.#servicesDue];
      this.#servicesDue.clear();
      for (const key of due) this.#renewService(key);
    }
  }

  #renewCluster(): void {
    this.#isClusterDue = false;
    const value = clusterAddresses([...this.#nodes.values()], [...this.#cidrs.values()], this.#settings.clusterRanges);
    const before = this.#cluster;
    this.#cluster = this.#next(before.value === null ? undefined : before, value);
    if (this.#cluster === before) return;
    this.#isClaimable = claimable(value);
    for (const key of this.#claims.all()) this.#servicesDue.add(key);
  }
}
