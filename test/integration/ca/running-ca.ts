/** The real ca in this process on a store and a key set of its own, with its log lines and clients over real TLS. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { inspect } from "node:util";
import { credentials, Metadata } from "@grpc/grpc-js";
import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import { readConfig } from "../../../ca/config.ts";
import { start } from "../../../ca/start.ts";
import type { RunningCa } from "../../../ca/start.ts";
import { systemClock } from "../../../lib/clock/clock.ts";
import type { Clock } from "../../../lib/clock/clock.ts";
import { createLog } from "../../../lib/log/log.ts";
import { IstioCertificateServiceClient } from "../../../lib/proto/gen/istio/v1/auth/ca.ts";
import type { IstioCertificateRequest, IstioCertificateResponse } from "../../../lib/proto/gen/istio/v1/auth/ca.ts";
import { TrustBundleClient } from "../../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import type { Bundle } from "../../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import { createCsr } from "../../../lib/x509/csr.ts";
import { audience, issuer, newTokenKey, tokenFolder, tokenFor } from "../../tokens/tokens.ts";
import type { TokenKeyPair, Workload } from "../../tokens/tokens.ts";

export const trustDomain = "cluster.local";
export const cart: Workload = { project: "shop", serviceAccount: "cart", pod: "cart-1", podUid: "9f3e" };

export type LogLine = Readonly<Record<string, unknown>> & { readonly event: string };
export type Outcome =
  | { readonly kind: "issued"; readonly response: IstioCertificateResponse }
  | { readonly kind: "refused"; readonly code: number; readonly details: string };

/** Fails with the refusal. */
export function issued(outcome: Outcome): IstioCertificateResponse {
  assert.ok(outcome.kind === "issued", inspect(outcome));
  return outcome.response;
}

export type TestCa = {
  readonly ca: RunningCa;
  readonly store: string;
  readonly jwksFile: string;
  readonly tokenKey: TokenKeyPair;
  readonly lines: LogLine[];
  /** Everything that was logged, as written. */
  text(): string;
  rootPem(): string;
  /** `token` null: none. */
  create(request?: Partial<IstioCertificateRequest>, token?: string | null): Promise<Outcome>;
  watch(token?: string): BundleReader;
  token(workload?: Workload): string;
  /** The lines of one event. */
  events(event: string): LogLine[];
};

export type Options = {
  readonly env?: Readonly<Record<string, string>>;
  readonly store?: string;
  readonly clock?: Clock;
  readonly tokenKey?: TokenKeyPair;
};

export const newKey = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;
export const newCsr = (): string => createCsr(newKey());

const steps = new WeakMap<TestContext, (() => unknown)[]>();

/** Runs after the test, the last one first: `t.after` alone keeps the order, and would take the store from a running ca. */
export function cleanUp(t: TestContext, step: () => unknown): void {
  const known = steps.get(t);
  if (known !== undefined) {
    known.push(step);
    return;
  }
  const list = [step];
  steps.set(t, list);
  t.after(async () => {
    for (const each of list.toReversed()) await each();
  });
}

export function newStore(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "tencrypt-ca-"));
  cleanUp(t, () => rmSync(path, { recursive: true, force: true }));
  return path;
}

export function environment(store: string, jwksFile: string): Record<string, string> {
  return {
    TENCRYPT_CA_LISTEN: "127.0.0.1:0",
    TENCRYPT_TRUST_DOMAIN: trustDomain,
    TENCRYPT_AUTHENTICATOR: "jwks",
    TENCRYPT_JWKS_FILE: jwksFile,
    TENCRYPT_TOKEN_ISSUER: issuer,
    TENCRYPT_TOKEN_AUDIENCE: audience,
    TENCRYPT_CA_STORE: store,
    TENCRYPT_CA_SERVING_NAMES: "localhost,127.0.0.1",
    TENCRYPT_CA_RATE_LIMIT: "1000",
    TENCRYPT_CA_RATE_BURST: "1000",
  };
}

export async function startCa(t: TestContext, options: Options = {}): Promise<TestCa> {
  const tokenKey = options.tokenKey ?? newTokenKey();
  const folder = tokenFolder(tokenKey);
  cleanUp(t, () => folder.remove());
  const store = options.store ?? newStore(t);
  let text = "";
  const lines: LogLine[] = [];
  const write = (line: string): void => {
    text += line;
    lines.push(JSON.parse(line) as LogLine);
  };
  const config = readConfig({ ...environment(store, folder.jwksFile), ...options.env });
  const ca = await start(config, options.clock ?? systemClock, createLog({ level: "info", now: Date.now, write }));
  cleanUp(t, () => ca.stop());
  const token = (workload = cart): string => tokenFor(tokenKey, workload);
  const rootPem = (): string => readFileSync(join(store, "root.pem"), "utf8");
  const clients = clientsOf(t, ca.port, rootPem());
  return {
    ca,
    store,
    jwksFile: folder.jwksFile,
    tokenKey,
    lines,
    text: () => text,
    rootPem,
    token,
    create: (request = {}, given = token()) => clients.create(request, given),
    watch: (given = token()) => clients.watch(given),
    events: (event) => lines.filter((line) => line.event === event),
  };
}

export type Clients = {
  create(request: Partial<IstioCertificateRequest>, token: string | null): Promise<Outcome>;
  watch(token: string): BundleReader;
};

export function clientsOf(t: TestContext, port: number, rootPem: string): Clients {
  const channel = credentials.createSsl(Buffer.from(rootPem));
  // Node refuses an address as server name; the certificate names localhost too.
  const options = { "grpc.ssl_target_name_override": "localhost", "grpc.use_local_subchannel_pool": 1 };
  const istio = new IstioCertificateServiceClient(`127.0.0.1:${port}`, channel, options);
  const bundles = new TrustBundleClient(`127.0.0.1:${port}`, channel, options);
  cleanUp(t, () => {
    istio.close();
    bundles.close();
  });
  return {
    create: (request, token) =>
      new Promise((resolve) => {
        const full = { csr: newCsr(), validityDuration: 0n, metadata: [], ...request };
        istio.createCertificate(full, metadataOf(token), { deadline: Date.now() + 10_000 }, (error, response) => {
          resolve(
            error === null
              ? { kind: "issued", response }
              : { kind: "refused", code: error.code, details: error.details },
          );
        });
      }),
    watch: (token) => {
      const reader = new BundleReader(bundles.watch({}, metadataOf(token)));
      cleanUp(t, () => reader.cancel());
      return reader;
    },
  };
}

function metadataOf(token: string | null): Metadata {
  const metadata = new Metadata();
  if (token !== null) metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

type End = { readonly kind: "end" } | { readonly kind: "error"; readonly code: number; readonly details: string };

/** Reads a stream of bundles one at a time. */
export class BundleReader {
  readonly #stream: ClientReadableStream<Bundle>;
  readonly #arrived: (Bundle | End)[] = [];
  #wake: () => void = () => {};

  constructor(stream: ClientReadableStream<Bundle>) {
    this.#stream = stream;
    stream.on("data", (bundle: Bundle) => this.#push(bundle));
    stream.on("end", () => this.#push({ kind: "end" }));
    stream.on("error", (error: ServiceError) =>
      this.#push({ kind: "error", code: error.code, details: error.details }),
    );
  }

  /** The next bundle, or how the stream ended. */
  async next(): Promise<Bundle | End> {
    while (this.#arrived.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#arrived.shift()!;
  }

  /** The next bundle that fits; throws if the stream ends before. */
  async until(fits: (bundle: Bundle) => boolean): Promise<Bundle> {
    for (;;) {
      const next = await this.next();
      if ("kind" in next) throw new Error(`the stream ended: ${JSON.stringify(next)}`);
      if (fits(next)) return next;
    }
  }

  cancel(): void {
    this.#stream.cancel();
  }

  #push(item: Bundle | End): void {
    this.#arrived.push(item);
    this.#wake();
  }
}
