/** Who calls, once proven, and the two steps in which an authenticator proves it. */
import type { Denial } from "../denial.ts";
import type { PodIdentity } from "../../lib/x509/verify.ts";

/** A proven caller. Project and namespace are one thing. */
export type Caller = {
  readonly kind: "caller";
  /** The controller gets a certificate of the control-plane CA and sees every project. */
  readonly role: "pod" | "controller";
  readonly pod: Omit<PodIdentity, "namespaceUid">;
  /** Null: the store knows it. */
  readonly namespaceUid: string | null;
  /** The end of the proof, in milliseconds since the epoch: a stream that was opened with it ends then. */
  readonly provenUntil: number;
};

/** A token of the right form and audience; nothing of it is proven yet. */
export type Inspected = {
  readonly kind: "inspected";
  /** `source` is the address that the call comes from. */
  prove(source: string): Promise<Caller | Denial>;
};

/** `inspect` does no I/O, so that garbage costs nothing; `prove` may, and runs under the bound on concurrency. */
export type Authenticator = { inspect(token: string): Inspected | Denial };
