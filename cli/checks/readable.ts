/** A fact that the API server gave, or why it did not: what could not be seen is never taken for what is not there. */
import { KubeError } from "../../lib/kube/client.ts";

export type Unreadable = { readonly kind: "unreadable"; readonly what: string; readonly why: string };
export type Readable<T> = { readonly kind: "read"; readonly value: T } | Unreadable;

export const read = <T>(value: T): Readable<T> => ({ kind: "read", value });

/** Nobody answers, or nobody knows the caller: that ends the command, in words of its own. */
const ending: readonly number[] = [0, 401];

export async function readable<T>(what: string, answer: Promise<T>): Promise<Readable<T>> {
  try {
    return read(await answer);
  } catch (error) {
    if (!(error instanceof KubeError) || ending.includes(error.code)) throw error;
    return { kind: "unreadable", what, why: error.message };
  }
}
