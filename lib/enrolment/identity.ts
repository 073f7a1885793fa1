/** What a program is: one certificate with its key, and the trust bundle it judges others by. The key lives in memory only. */
import type { KeyObject } from "node:crypto";
import type { TrustBundle } from "../x509/verify.ts";

/** Whom the certificate has to name. `podUid` null: a program of the control plane, under the control-plane CA. */
export type OwnName = {
  readonly trustDomain: string;
  readonly project: string;
  readonly serviceAccount: string;
  readonly podUid: string | null;
};

/** One certificate of ours. Each renewal makes a new one, with a new key and the next generation. */
export type Identity = {
  readonly generation: number;
  readonly uri: string;
  readonly key: KeyObject;
  /** PKCS#8; a function, so that the text exists only while a TLS context is made. */
  readonly keyPem: () => string;
  /** Leaf and project CA. */
  readonly chainPem: string;
  /** The same in DER. */
  readonly chain: readonly Uint8Array[];
  /** The project CA that issued it, DER. */
  readonly issuer: Uint8Array;
  readonly serial: string;
  readonly notBefore: number;
  readonly notAfter: number;
};

/** Certificate and bundle as they are used together; replaced as a whole. */
export type Credentials = {
  readonly identity: Identity;
  readonly bundle: TrustBundle;
  /** PEM of the bundle's roots; the same array for as long as they are the same. */
  readonly roots: readonly string[];
};
