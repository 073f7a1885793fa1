/** Where the proxy's knowledge of the cluster comes from (contract): a watched file, or a stream from the controller. */
import type { Credentials } from "../../lib/enrolment/identity.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { LookUpAnswer, View } from "../route/policy.ts";

export type DirectoryRefusal = { readonly reason: Reason; readonly problems: readonly string[] };

export type DirectorySource = {
  /** Null before the first acceptable snapshot. */
  current(): View | null;
  /** Who is called, from now on, when there is another view. There is one listener. */
  onChange(listener: () => void): void;
  /** Why the newest state is not in use; null when it is. */
  refusal(): DirectoryRefusal | null;
  /**
   * Asks anew who holds an address that the view does not name; answers within 2 s. Many callers share one question. With
   * `lastWillDo` the answer may be that nobody held it when it was last asked for.
   */
  lookUp(ip: Ip, lastWillDo: boolean): Promise<LookUpAnswer>;
  /** The pod's certificate or the trust bundle is another now. */
  renew(credentials: Credentials): void;
  close(): void;
};
