/** All objects of a kind, page by page. */
import type { KubeClient } from "./client.ts";

type Page<T> = { readonly items: readonly T[]; readonly metadata: { readonly continue?: string } };

const pageSize = "500";

export async function listAll<T>(client: KubeClient, path: string, labelSelector = ""): Promise<readonly T[]> {
  const items: T[] = [];
  let token = "";
  do {
    const query = new URLSearchParams({ limit: pageSize });
    if (labelSelector !== "") query.set("labelSelector", labelSelector);
    if (token !== "") query.set("continue", token);
    const page = await client.get<Page<T>>(`${path}?${query.toString()}`);
    items.push(...page.items);
    token = page.metadata.continue ?? "";
  } while (token !== "");
  return items;
}
