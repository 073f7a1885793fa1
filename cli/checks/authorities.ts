/**
 * When the authorities below the root end: the control-plane CA's and each project's. From their Secrets, of which only
 * the certificates are kept; from the ca's metrics for who may not read Secrets. The metrics show what the ca can use: an
 * authority that has ended is not among them.
 */
import { X509Certificate } from "node:crypto";
import type { KubeClient } from "../../lib/kube/client.ts";
import { listAll } from "../../lib/kube/list.ts";
import { containers, control, projectSecretLabel } from "../../lib/kube/names.ts";
import type { Namespace, Secret } from "../../lib/kube/objects.ts";
import { isTerminal, readSidecar } from "../../lib/kube/sidecar.ts";
import type { AuthorityFact, PodFact } from "./facts.ts";
import { finding } from "./finding.ts";
import type { Judged } from "./finding.ts";
import { read, readable } from "./readable.ts";
import type { Readable } from "./readable.ts";

const day = 86_400_000;
const warningMs = 90 * day;
/** Leaves may live this long: from here on certificates are shorter than asked for. */
const failingMs = 30 * day;

/** Of any authority, the root too. */
export const levelOfEnd = (notAfter: number, now: number): "good" | "warning" | "failed" =>
  notAfter - now > warningMs ? "good" : notAfter - now > failingMs ? "warning" : "failed";

const controlPlaneSecret = "tencrypt-control-plane";

export async function authorities(
  client: KubeClient,
  metrics: readonly string[],
): Promise<Readable<readonly AuthorityFact[]>> {
  const path = `/api/v1/namespaces/${control.ca.namespace}/secrets`;
  const secrets = await readable("authorities", listAll<Secret>(client, path, "app.kubernetes.io/part-of=tencrypt"));
  if (secrets.kind === "read") return read(secrets.value.flatMap(fromSecret));
  return metrics.length === 0 ? secrets : read(once(metrics.flatMap(fromMetrics)));
}

function fromSecret({ metadata, data }: Secret): readonly AuthorityFact[] {
  const project = metadata.labels?.[projectSecretLabel] ?? null;
  if (project === null && metadata.name !== controlPlaneSecret) return [];
  try {
    const { validTo } = new X509Certificate(Buffer.from(data?.["tls.crt"] ?? "", "base64"));
    return [{ project, notAfter: Date.parse(validTo) }];
  } catch {
    return [{ project, notAfter: null }];
  }
}

/** The value of labels beyond the bound. */
const overflow = "overflow";

const gauge =
  /^tencrypt_ca_authority_end_timestamp_seconds\{authority="(control-plane|project)",project="([^"]*)"\} ([0-9.e+]+)/gm;

const fromMetrics = (text: string): readonly AuthorityFact[] =>
  [...text.matchAll(gauge)].map(([, kind, project = "", seconds]) => ({
    project: kind === "project" ? project : null,
    notAfter: Number(seconds) * 1000,
  }));

/** Each replica shows all of them. */
const once = (found: readonly AuthorityFact[]): readonly AuthorityFact[] => [
  ...new Map(found.map((each) => [JSON.stringify(each), each])).values(),
];

export type Protected = { readonly projects: readonly Namespace[]; readonly pods: readonly PodFact[] };

/**
 * Of the control plane and of projects that have protected pods: the ca keeps the Secrets of all that ever had some. A
 * project's CA is made with its first certificate: where a proxy has one, there has to be a CA.
 */
export function judgeAuthorities(all: readonly AuthorityFact[], now: number, { projects, pods }: Protected): Judged {
  const names = projects.map(({ metadata }) => metadata.name);
  const injected = pods.filter((pod) => readSidecar(pod).kind === "sidecar" && !isTerminal(pod));
  const living = [null, ...names.filter((name) => injected.some(isIn(name)))];
  const unnamed = living.filter((project) => !all.some((each) => each.project === project));
  // The ca's metrics name only so many projects: what is not named then may be among the others.
  const others = all.filter(({ project }) => project === overflow);
  const certified = injected.filter(hasCertificate);
  const isDue = (project: string | null): boolean => project === null || certified.some(isIn(project));
  const missing = others.length === 0 ? unnamed.filter(isDue) : [];
  const found = [
    ...all.filter(({ project }) => project !== overflow && living.includes(project)),
    ...(unnamed.length > 0 ? others : []),
  ];
  const levels = found.map(({ notAfter }) => (notAfter === null ? "failed" : levelOfEnd(notAfter, now)));
  const details = [
    ...missing.map((project) => `${nameOf(project)}: there is none`),
    ...found.filter((_, index) => levels[index] !== "good").map((each) => endOf(each)),
  ];
  if (missing.length > 0 || levels.includes("failed"))
    return finding("TC-CA-04", "failed", "an authority is missing, has ended, or ends within 30 days", details);
  return levels.includes("warning")
    ? finding("TC-CA-04", "warning", "an authority ends within 90 days", details)
    : finding("TC-CA-04", "good", `${found.length} authorities go on for 90 days`);
}

const isIn =
  (project: string) =>
  ({ metadata }: PodFact): boolean =>
    metadata.namespace === project;

/** Its startup probe passes once it has one. */
const hasCertificate = ({ status }: PodFact): boolean =>
  status?.initContainerStatuses?.find(({ name }) => name === containers.proxy)?.started === true;

const nameOf = (project: string | null): string =>
  project === null ? "the control-plane CA" : `the CA of project ${project}`;

const endOf = ({ project, notAfter }: AuthorityFact): string =>
  `${nameOf(project)}: ${notAfter === null ? "the certificate cannot be read" : `not after ${new Date(notAfter).toISOString()}`}`;
