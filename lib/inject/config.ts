/** What an installation puts into every pod. Pure. */
import type { Mode } from "../project/mode.ts";

export type Amounts = { readonly cpu?: string; readonly memory?: string };

export type InjectConfig = {
  readonly version: string;
  readonly trustDomain: string;
  /** Of projects that name none. */
  readonly defaultMode: Mode;
  readonly initImage: string;
  readonly proxyImage: string;
  readonly imagePullPolicy: string;
  readonly proxyUid: number;
  /** `host:port`. */
  readonly caAddress: string;
  readonly directoryAddress: string;
  /** PEM, and its SHA-256 pins. */
  readonly rootPem: string;
  readonly rootPins: readonly string[];
  readonly maxLeafLifetime: string;
  readonly otlpEndpoint: string | null;
  readonly requests: Amounts;
  readonly limits: Amounts;
};
