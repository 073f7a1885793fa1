/**
 * What the controller's stream has told so far: the entries of the directory document, each as it came and as it was read.
 * An update is taken as a whole or not at all; versions only go up. Reading is incremental: an entry is judged when it
 * comes, and the maps of a snapshot are put together from entries that were judged. Pure.
 */
import type {
  DirectoryDocument,
  DocumentProject,
  DocumentService,
  DocumentWorkload,
} from "../../lib/directory/document.ts";
import { fromProject, fromService, fromWorkload } from "../../lib/directory/wire.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { Cidr } from "../../lib/net/cidr.ts";
import type { Revision, Update } from "../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { buildSnapshot } from "../route/build.ts";
import type { Placed } from "../route/build.ts";
import {
  readProject,
  readLookUpRanges,
  readRanges,
  readService,
  readWorkload,
  unknownFeatures,
} from "../route/document.ts";
import { Field, Findings } from "../route/fields.ts";
import type { Project, Service, Snapshot, Workload } from "../route/snapshot.ts";

type Entry<Raw, Read> = { readonly raw: Raw; readonly read: Read };
type Entries<Raw, Read> = ReadonlyMap<string, Entry<Raw, Read>>;

type ClusterFacts = {
  readonly requires: readonly string[];
  readonly clusterRanges: readonly string[];
  readonly lookUpRanges: readonly string[];
  readonly nodeAddresses: readonly string[];
};

type ClusterRead = {
  readonly ranges: readonly Cidr[];
  readonly lookUpRanges: readonly Cidr[];
  readonly nodes: readonly Ip[];
};

export type Knowledge = {
  readonly version: bigint;
  /** What the server goes on from; of no meaning to anybody else. */
  readonly resume: string;
  /** Of each kind the newest that any update was made of. */
  readonly revisions: readonly Revision[];
  readonly cluster: Entry<ClusterFacts, ClusterRead>;
  readonly projects: Entries<DocumentProject, Project>;
  readonly workloads: Entries<DocumentWorkload, Workload>;
  readonly services: Entries<DocumentService, Service>;
};

export type Refused = { readonly kind: "refused"; readonly reason: Reason; readonly problems: readonly string[] };
export type Applied = { readonly kind: "applied"; readonly knowledge: Knowledge; readonly warnings: readonly string[] };

const refused = (reason: Reason, problems: readonly string[]): Refused => ({ kind: "refused", reason, problems });

/** Removals first: an update may take an entry away and bring another of its name. */
export function applyUpdate(before: Knowledge | null, update: Update): Applied | Refused {
  if (before !== null && update.version <= before.version)
    return refused("directory_not_newer", [`version ${update.version} after ${before.version}`]);
  const base = update.full ? null : before;
  if (!update.full && base === null) return refused("directory_malformed", ["changes without a state to change"]);
  const facts = update.cluster ?? base?.cluster.raw;
  if (facts === undefined) return refused("directory_malformed", ["cluster: missing"]);
  const revisions = newest(before?.revisions ?? [], update.revisions);
  return assemble(base, {
    head: { version: update.version, resume: update.resume, revisions },
    facts,
    isNew: update.cluster !== undefined,
    projects: update.projects.map(fromProject),
    workloads: update.workloads.map(fromWorkload),
    services: update.services.map(fromService),
    removed: { projects: update.removedProjects, workloads: update.removedWorkloads, services: update.removedServices },
  });
}

/** Of each kind the highest: whoever says less at times makes us go back to no state that we are past. */
function newest(before: readonly Revision[], now: readonly Revision[]): readonly Revision[] {
  const highest = new Map<string, bigint>();
  for (const { kind, resourceVersion } of [...before, ...now]) {
    const seen = highest.get(kind);
    if (seen === undefined || seen < resourceVersion) highest.set(kind, resourceVersion);
  }
  return [...highest].map(([kind, resourceVersion]) => ({ kind, resourceVersion }));
}

/** What was kept of an earlier state. */
export function restoreKnowledge(
  head: Pick<Knowledge, "version" | "resume" | "revisions">,
  { requires, clusterRanges, lookUpRanges, nodeAddresses, projects, workloads, services }: DirectoryDocument,
): Applied | Refused {
  const facts = { requires, clusterRanges, lookUpRanges, nodeAddresses };
  const removed = { projects: [], workloads: [], services: [] };
  return assemble(null, { head, facts, isNew: true, projects, workloads, services, removed });
}

type Parts = {
  readonly head: Pick<Knowledge, "version" | "resume" | "revisions">;
  readonly facts: ClusterFacts;
  readonly isNew: boolean;
  readonly projects: readonly DocumentProject[];
  readonly workloads: readonly DocumentWorkload[];
  readonly services: readonly DocumentService[];
  readonly removed: Readonly<Record<"projects" | "workloads" | "services", readonly string[]>>;
};

const fullName = ({ project, name }: DocumentService): string => `${project}/${name}`;

type At = (key: string, value: unknown) => Field;

function assemble(base: Knowledge | null, parts: Parts): Applied | Refused {
  const findings = new Findings();
  const root = new Field(null, findings);
  const at: At = (key, value) => new Field(value, findings, { parent: root, key });
  const { facts, head, removed, projects, workloads, services } = parts;
  const unknown = unknownFeatures(at("requires", facts.requires));
  if (unknown.length > 0) return refused("directory_requires_unknown_feature", unknown);
  const knowledge: Knowledge = {
    ...head,
    cluster: base !== null && !parts.isNew ? base.cluster : { raw: facts, read: readCluster(facts, at) },
    projects: changed(base?.projects, {
      removed: removed.projects,
      list: projects,
      key: ({ name }) => name,
      read: (project) => readProject(at(`project ${project.name}`, project)),
    }),
    workloads: changed(base?.workloads, {
      removed: removed.workloads,
      list: workloads,
      key: ({ uid }) => uid,
      read: (workload) => readWorkload(at(`pod ${workload.project}/${workload.pod}`, workload)),
    }),
    services: changed(base?.services, {
      removed: removed.services,
      list: services,
      key: fullName,
      read: (service) => readService(at(`Service ${fullName(service)}`, service)),
    }),
  };
  if (findings.failed) return refused("directory_malformed", findings.lines());
  return { kind: "applied", knowledge, warnings: findings.warnings };
}

const readCluster = (facts: ClusterFacts, at: At): Knowledge["cluster"]["read"] => ({
  ranges: readRanges(at("clusterRanges", facts.clusterRanges)),
  lookUpRanges: readLookUpRanges(at("lookUpRanges", facts.lookUpRanges)),
  nodes: facts.nodeAddresses.map((address) => at("nodeAddresses", address).ip()),
});

type EntryChange<Raw, Read> = {
  readonly removed: readonly string[];
  readonly list: readonly Raw[];
  readonly key: (raw: Raw) => string;
  readonly read: (raw: Raw) => Read;
};

function changed<Raw, Read>(
  before: Entries<Raw, Read> | undefined,
  { removed, list, key, read }: EntryChange<Raw, Read>,
): Entries<Raw, Read> {
  if (before !== undefined && list.length === 0 && removed.length === 0) return before;
  const next = new Map(before);
  for (const name of removed) next.delete(name);
  for (const raw of list) next.set(key(raw), { raw, read: read(raw) });
  return next;
}

export type Built =
  | { readonly kind: "snapshot"; readonly snapshot: Snapshot; readonly warnings: readonly string[] }
  | Refused;

export function snapshotOf(knowledge: Knowledge): Built {
  const findings = new Findings();
  const placed = <Read>(kind: string, entries: Entries<unknown, Read>): readonly Placed<Read>[] =>
    [...entries].map(([key, { read }]) => ({
      field: { problem: (text: string) => findings.problem(`${kind} ${key}`, text) },
      value: read,
    }));
  const snapshot = buildSnapshot(
    {
      version: Number(knowledge.version),
      clusterRanges: knowledge.cluster.read.ranges,
      lookUpRanges: knowledge.cluster.read.lookUpRanges,
      nodeAddresses: knowledge.cluster.read.nodes,
      projects: placed("projects", knowledge.projects),
      workloads: placed("workloads", knowledge.workloads),
      services: placed("services", knowledge.services),
    },
    findings,
  );
  if (findings.failed) return refused("directory_malformed", findings.lines());
  return { kind: "snapshot", snapshot, warnings: findings.warnings };
}

/** The same as a document, to be kept. */
export const documentOf = ({ version, cluster, projects, workloads, services }: Knowledge): DirectoryDocument => ({
  version: Number(version),
  ...cluster.raw,
  projects: [...projects.values()].map(({ raw }) => raw),
  workloads: [...workloads.values()].map(({ raw }) => raw),
  services: [...services.values()].map(({ raw }) => raw),
});

/** The pods that a look-up names; null if one of them cannot be read. */
export function readPods(pods: readonly DocumentWorkload[]): readonly Workload[] | null {
  const findings = new Findings();
  const workloads = pods.map((pod) => readWorkload(new Field(pod, findings)));
  return findings.failed ? null : workloads;
}
