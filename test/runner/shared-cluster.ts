/**
 * Files for which one cluster will do, with the chart in it, run one after the other in the same: to bring one up takes longer than
 * most of them. Each has namespaces of its own. Alone, a file brings up its own.
 */
import { whyNoCluster } from "../cluster/cluster.ts";
import { Mesh, valuesOfAll } from "../e2e/kit.ts";

const sharing: readonly string[] = ["test/e2e/late-pod", "test/e2e/life", "test/e2e/modes", "test/e2e/workloads"];

export const shares = (path: string): boolean => sharing.some((beginning) => path.startsWith(beginning));

/** What the files are told, and the end. Null where no cluster can be had: the files say why. */
export async function startSharedCluster(): Promise<{
  readonly env: Readonly<Record<string, string>>;
  readonly stop: () => Promise<void>;
} | null> {
  if (whyNoCluster() !== null) return null;
  const mesh = await Mesh.start({ values: valuesOfAll });
  const { name, index } = mesh.cluster.place;
  return { env: { TENCRYPT_E2E_CLUSTER: `${name}/${index}` }, stop: () => mesh.stop() };
}
