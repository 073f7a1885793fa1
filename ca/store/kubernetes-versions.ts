/**
 * Numbers the states of knowledge for all replicas: a ConfigMap holds the newest number and the digest of what was true
 * then. A number is taken by changing it under the version that was read, which only one replica can. Beside it the
 * root's certificate is published.
 */
import { isStatus } from "../../lib/kube/client.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { rootConfigMap } from "../../lib/kube/names.ts";
import type { ConfigMap } from "../../lib/kube/objects.ts";
import { writePem } from "../x509/pem.ts";
import type { SigningAuthority } from "./authority.ts";
import { StoreError } from "./files.ts";
import { digestOf, nextNumber } from "./store.ts";
import type { Floor, Knowledge, Published } from "./store.ts";

const name = "tencrypt-bundle";
const mostAttempts = 20;
const labels = { "app.kubernetes.io/part-of": "tencrypt" };
const pathOf = (namespace: string): string => `/api/v1/namespaces/${namespace}/configmaps`;

/** True if it was written; false if another replica was faster. */
async function write(
  client: KubeClient,
  namespace: string,
  { before, data }: { readonly before: ConfigMap | null; readonly data: Readonly<Record<string, string>> },
): Promise<boolean> {
  const body = { apiVersion: "v1", kind: "ConfigMap", data };
  try {
    if (before === null) await client.create(pathOf(namespace), { ...body, metadata: { name, labels } });
    else
      await client.replace(`${pathOf(namespace)}/${name}`, {
        ...body,
        metadata: { name, labels, resourceVersion: before.metadata.resourceVersion },
      });
    return true;
  } catch (error) {
    if (isStatus(error, 404, 409)) return false;
    throw error;
  }
}

/** Far above any number of ours, which are milliseconds, and within the 64 bits of the wire. */
const numberText = /^[0-9]{1,18}$/;

/** Somebody else may have written it: what is no number is told, and not made up. */
function numberOf(record: ConfigMap | null): bigint {
  const text = record?.data?.["version"] ?? "0";
  if (!numberText.test(text))
    throw new StoreError(`ConfigMap ${name}: version is not a number: delete it, and the ca makes another`);
  return BigInt(text);
}

/**
 * `observe` runs after the newest number was read, so what it sees is at least as new as the state that this number
 * stands for; if another replica takes the next number meanwhile, everything is done again.
 */
export async function numberKnowledge(
  client: KubeClient,
  namespace: string,
  floor: Floor,
  observe: () => Promise<Knowledge>,
): Promise<Published> {
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const before = await client.find<ConfigMap>(`${pathOf(namespace)}/${name}`);
    const latest = numberOf(before);
    const knowledge = await observe();
    const digest = digestOf(knowledge);
    if (before?.data?.["digest"] === digest && latest >= floor.atLeast) return { version: latest, knowledge };
    const version = nextNumber(latest, floor);
    if (await write(client, namespace, { before, data: { version: version.toString(), digest } }))
      return { version, knowledge };
  }
  throw new StoreError(`ConfigMap ${name}: the state of the store changes faster than it can be numbered`);
}

export async function publishRoot(client: KubeClient, namespace: string, root: SigningAuthority): Promise<void> {
  const path = `${pathOf(namespace)}/${rootConfigMap.name}`;
  const data = { [rootConfigMap.key]: writePem("CERTIFICATE", root.certificate.der) };
  const present = await client.find<ConfigMap>(path);
  if (present?.data?.[rootConfigMap.key] === data[rootConfigMap.key]) return;
  const metadata = { name: rootConfigMap.name, labels };
  try {
    if (present === null)
      await client.create(pathOf(namespace), { apiVersion: "v1", kind: "ConfigMap", metadata, data });
    else await client.patch(path, { data });
  } catch (error) {
    // Another replica published the same root.
    if (!isStatus(error, 409)) throw error;
  }
}
