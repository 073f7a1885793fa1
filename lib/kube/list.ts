/** All objects of a kind, page by page. */
import type { KubeClient } from "./client.ts";

type Page<T> = { readonly items: readonly T[]; readonly metadata: { readonly continue?: string } };

export type Listing = { readonly labelSelector?: string; readonly pageSize?: number };

/** One page is held at a time: what is only counted may be of any number. */
export async function* pages<T>(
  client: Pick<KubeClient, "get">,
  path: string,
  { labelSelector = "", pageSize = 500 }: Listing = {},
): AsyncGenerator<readonly T[]> {
  let token = "";
  do {
    const query = new URLSearchParams({ limit: String(pageSize) });
    if (labelSelector !== "") query.set("labelSelector", labelSelector);
    if (token !== "") query.set("continue", token);
    const { items, metadata } = await client.get<Page<T>>(`${path}?${query.toString()}`);
    yield items;
    token = metadata.continue ?? "";
  } while (token !== "");
}

export async function listAll<T>(client: KubeClient, path: string, labelSelector = ""): Promise<readonly T[]> {
  const items: T[] = [];
  for await (const page of pages<T>(client, path, { labelSelector })) items.push(...page);
  return items;
}
