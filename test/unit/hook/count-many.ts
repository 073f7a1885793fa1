/** A worker that counts the protected pods of a large cluster, and says what it counted. */
import { parentPort } from "node:worker_threads";
import { countProtected } from "../../../lib/kube/protected-pods.ts";
import { protectedSpec } from "../../cluster/protected-pod.ts";

export type Counted = { readonly shop: number; readonly billing: number; readonly pages: number };

const total = 15_000;
const size = 200;

const annotations = { note: "n".repeat(4_000) };
const items = Array.from({ length: size }, (_, index) => ({
  metadata: { name: `pod-${index}`, namespace: index % 2 === 0 ? "shop" : "billing", annotations },
  spec: { ...protectedSpec(), containers: [{ name: "app", image: "app" }] },
}));
const text = JSON.stringify({ items });

let pages = 0;
const counts = await countProtected({
  get: async <T>(path: string): Promise<T> => {
    const query = new URL(path, "https://api").searchParams;
    if (query.get("limit") !== String(size) || Number(query.get("continue")) !== pages) throw new Error(path);
    pages++;
    const metadata = pages * size < total ? { continue: String(pages) } : {};
    return { ...(JSON.parse(text) as object), metadata } as T;
  },
});
const counted: Counted = { shop: counts.get("shop") ?? 0, billing: counts.get("billing") ?? 0, pages };
parentPort?.postMessage(counted);
