/**
 * When the authorities below the root end: the control-plane CA's and each project's. From their Secrets, of which only
 * the certificates are kept; from the ca's metrics for who may not read Secrets. The metrics show what the ca can use: an
 * authority that has ended is not among them.
 */
import { X509Certificate } from "node:crypto";
import type { KubeClient } from "../../lib/kube/client.ts";
import { listAll } from "../../lib/kube/list.ts";
import { control, projectSecretLabel } from "../../lib/kube/names.ts";
import type { Namespace, Secret } from "../../lib/kube/objects.ts";
import { readSidecar } from "../../lib/kube/sidecar.ts";
import type { PodFact } from "./facts.ts";
import { finding } from "./finding.ts";
import type { Judged } from "./finding.ts";
import { read, readable } from "./readable.ts";
import type { Readable } from "./readable.ts";

export type AuthorityFact = {
  /** Null: the control plane's. */
  readonly project: string | null;
  /** In milliseconds since the epoch; null where the certificate cannot be read. */
  readonly notAfter: number | null;
};

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

/** A project's CA is made with its first certificate: where pods are protected, there has to be one. */
export function judgeAuthorities(found: readonly AuthorityFact[], now: number, { projects, pods }: Protected): Judged {
  const withProxy = new Set(
    pods.filter((pod) => readSidecar(pod).kind === "sidecar").map(({ metadata }) => metadata.namespace),
  );
  const wanted = [null, ...projects.map(({ metadata }) => metadata.name).filter((name) => withProxy.has(name))];
  // The ca's metrics name only so many projects: what is not named then may be among the others.
  const isComplete = !found.some(({ project }) => project === overflow);
  const missing = isComplete ? wanted.filter((project) => !found.some((each) => each.project === project)) : [];
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

const nameOf = (project: string | null): string =>
  project === null ? "the control-plane CA" : `the CA of project ${project}`;

const endOf = ({ project, notAfter }: AuthorityFact): string =>
  `${nameOf(project)}: ${notAfter === null ? "the certificate cannot be read" : `not after ${new Date(notAfter).toISOString()}`}`;
