/**
 * The root: published, not about to end, still in its Secret, and the one that pods believe. Of the Secret only the
 * certificate is kept, and whether its key is there. What no certificate can be read from is a finding, never an error.
 */
import { X509Certificate, createPrivateKey } from "node:crypto";
import type { KubeClient } from "../../lib/kube/client.ts";
import { containers, control, rootSecret } from "../../lib/kube/names.ts";
import type { Secret } from "../../lib/kube/objects.ts";
import { readSidecar } from "../../lib/kube/sidecar.ts";
import { matchesPins } from "../../lib/trust/bundle.ts";
import { workloadOf } from "../workloads.ts";
import { levelOfEnd } from "./authorities.ts";
import { settingOf } from "./deployed.ts";
import type { Deployment, Facts, PodFact, RootSecretFact } from "./facts.ts";
import { finding, notKnown } from "./finding.ts";
import type { Judged } from "./finding.ts";
import { readable } from "./readable.ts";
import type { Readable } from "./readable.ts";
import { restartOf } from "./restart.ts";

const day = 86_400_000;

export async function rootSecretOf(client: KubeClient, ca: Readable<Deployment | null>): Promise<RootSecretFact> {
  // It may have been told to take a Secret of another name.
  if (ca.kind === "unreadable") return { kind: "unknown", why: `which it is, the ca's Deployment tells: ${ca.why}` };
  const name = broughtRoot(ca.value) ?? rootSecret;
  const path = `/api/v1/namespaces/${control.ca.namespace}/secrets/${name}`;
  const found = await readable(`secret ${name}`, client.find<Secret>(path));
  if (found.kind === "unreadable") return { kind: "unknown", why: found.why };
  if (found.value === null) return { kind: "absent", name };
  const decoded = (key: string): string => Buffer.from(found.value?.data?.[key] ?? "", "base64").toString();
  const [pem, key] = [decoded("tls.crt"), decoded("tls.key")];
  return { kind: "found", name, pem, fault: faultOf(pem, key) };
}

/** The Secret that the ca was told to take its root from, instead of making one. */
const broughtRoot = (ca: Deployment | null): string | undefined => settingOf(ca, "TENCRYPT_CA_ROOT_SECRET");

function faultOf(pem: string, key: string): string | null {
  const certificate = certificateIn(pem);
  if (certificate === null) return "tls.crt is no certificate";
  try {
    return certificate.checkPrivateKey(createPrivateKey(key)) ? null : "tls.key is not the certificate's";
  } catch {
    return "tls.key is no key";
  }
}

function certificateIn(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem);
  } catch {
    return null;
  }
}

export function judgeRoot(
  rootPem: string | null,
  { rootSecret: secret, ca, now }: Pick<Facts, "rootSecret" | "ca" | "now">,
): readonly Judged[] {
  if (rootPem === null) {
    const text = "no root is published in tencrypt-ca";
    // Where no ca was installed there was never a Secret either.
    if (secret.kind === "absent" && ca.kind === "read" && ca.value === null)
      return [{ ...finding("TC-CA-01", "failed", text), next: "tencrypt install" }];
    return unpublished(text, secret);
  }
  const certificate = certificateIn(rootPem);
  if (certificate === null) return unpublished("what is published as the root is no certificate", secret);
  const end = Date.parse(certificate.validTo);
  const left = Math.floor((end - now) / day);
  const level = levelOfEnd(end, now);
  return [
    finding("TC-CA-01", "good", "root published"),
    finding("TC-CA-02", level, `root certificate ends in ${left} days`, [`not after ${new Date(end).toISOString()}`]),
    ...kept(secret, certificate),
  ];
}

/** A restart publishes the root of a Secret that is sound; without one it makes another root, or ends the ca for good. */
function unpublished(text: string, secret: RootSecretFact): readonly Judged[] {
  const judged = kept(secret, null);
  const worse = judged.find(({ level }) => level !== "good");
  const missed = finding("TC-CA-01", "failed", text);
  return [worse === undefined ? missed : { ...missed, next: worse.next }, ...judged];
}

/** A ca that runs has its root in memory: whether it can start again, only the Secret tells. */
function kept(secret: RootSecretFact, published: X509Certificate | null): readonly Judged[] {
  switch (secret.kind) {
    case "unknown":
      return [
        notKnown("TC-CA-05", "TC-K8S-05", "the root's Secret cannot be read: whether it is there is not known", [
          secret.why,
        ]),
      ];
    case "absent":
      return [finding("TC-CA-05", "failed", `Secret ${secret.name}, which holds the root, is not there`)];
    case "found": {
      const isPublished = published === null || certificateIn(secret.pem)?.raw.equals(published.raw) === true;
      const fault = secret.fault ?? (isPublished ? null : "it holds another root than the published one");
      return fault === null
        ? [finding("TC-CA-05", "good", `the root is in Secret ${secret.name}`)]
        : [finding("TC-CA-05", "failed", `Secret ${secret.name} is no root to issue with: ${fault}`)];
    }
  }
}

/** Nothing is said where there is no root that can be compared: that is told elsewhere. */
export function judgePins(
  project: string,
  rootPem: Readable<string | null>,
  pods: readonly PodFact[],
): readonly Judged[] {
  const root = rootPem.kind === "read" && rootPem.value !== null ? certificateIn(rootPem.value) : null;
  if (root === null) return [];
  const strangers = pods.filter((pod) => readSidecar(pod).kind === "sidecar" && believesAnother(pod, root.raw));
  if (strangers.length === 0) return [finding("TC-PRJ-04", "good", "pods believe the published root")];
  const text = `${strangers.length} pods believe another root and can talk to none of the others`;
  const names = strangers.map(({ metadata }) => metadata.name);
  const next = restartOf(project, strangers.map(workloadOf)).join("; ");
  return [{ ...finding("TC-PRJ-04", "failed", text, names), next }];
}

/** Whoever names no pin believes what it was given. */
function believesAnother({ spec }: PodFact, root: Buffer): boolean {
  const proxy = spec.initContainers?.find(({ name }) => name === containers.proxy);
  const text = proxy?.env?.find(({ name }) => name === "TENCRYPT_CA_ROOT_PINS")?.value ?? "";
  const pins = text
    .split(",")
    .map((pin) => pin.trim())
    .filter((pin) => pin !== "");
  return pins.length > 0 && !matchesPins(root, pins);
}
