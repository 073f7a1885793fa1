/** What the pods of the probe showed. Pure. */
import type { InitEvent } from "./init-events.ts";

export type Reach =
  | { readonly kind: "reached" }
  /** `unknown`: the user may not ask. */
  | { readonly kind: "unreached" | "unknown"; readonly why: string };

export type ProbedPod = {
  readonly node: string;
  /** Why it did not start, or was not done in time; null where it did all of its work. */
  readonly fault: string | null;
  readonly ips: readonly string[];
  /** Of its log. */
  readonly events: readonly InitEvent[];
  /** By the API server; null where the pod did not come so far. */
  readonly reach: Reach | null;
};

export type ProbeFacts = {
  /** The first is the one that the others called, directly and through a Service. */
  readonly pods: readonly ProbedPod[];
  readonly serviceIp: string;
  readonly unready: readonly string[];
  /** Nodes that were not looked at, since there are more than are looked at. */
  readonly beyond: number;
};
