/**
 * Keeps a program's credentials: waits for the root, follows the CA's trust bundle, gets a certificate, renews it.
 *
 *   waiting for the root -> waiting for a bundle -> waiting for a certificate -> holding -> (renewing -> holding)*
 *                                                                                        \-> ended: `current()` is null
 *
 * - Every certificate has a new key, which never leaves this process's memory.
 * - What the CA sends is judged by the same verifier as any peer's before it is used.
 * - A bundle that says what the last one said is no news: nobody is told.
 * - Whatever fails is tried again; meanwhile the certificate in use stays, until its end. Then nothing flows.
 */
import { generateKeyPair } from "node:crypto";
import { isDeepStrictEqual, promisify } from "node:util";
import { until } from "../clock/clock.ts";
import type { Clock, Timer } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import type { Bundle } from "../proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import { createCsr } from "../x509/csr.ts";
import type { TrustBundle } from "../x509/verify.ts";
import type { StreamEnd } from "../grpc/channel.ts";
import type { BootstrapTrust, CaClient, Issued } from "./ca-client.ts";
import { judgeIssued, readBundle } from "./judge.ts";
import type { Credentials, Identity, OwnName } from "./identity.ts";
import { renewAfter, retryAfter } from "./renewal.ts";

export type AgentOptions = {
  readonly own: OwnName;
  readonly maxLeafLifetimeMs: number;
  /** Reads and checks the root file; throws with a sentence while it cannot be used. */
  readonly readTrust: () => Promise<BootstrapTrust>;
  readonly connect: (trust: BootstrapTrust) => Promise<CaClient>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
};

/** How long a renewed certificate may wait for the bundle version that belongs to it. */
const bundlePatienceMs = 10_000;

const newKeyPair = promisify(generateKeyPair);

/** `message`: as it came. */
type Trusted = { readonly bundle: TrustBundle; readonly roots: readonly string[]; readonly message: Bundle };

type Listener = (credentials: Credentials) => void;

type Attempt =
  | { readonly kind: "done"; readonly identity: Identity }
  | { readonly kind: "failed"; readonly why: string };

export class IdentityAgent {
  readonly #options: AgentOptions;
  readonly #listeners = new Set<Listener>();
  #credentials: Credentials | null = null;
  #trusted: Trusted | null = null;
  #client: CaClient | null = null;
  #timer: Timer | null = null;
  #stopped = false;
  #renewing = false;
  #attempts = 0;
  #watchAttempts = 0;
  #wakeBundle: () => void = () => {};
  #cancelWatch: () => void = () => {};

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** Null before the first certificate and after the end of the last. */
  current(): Credentials | null {
    const credentials = this.#credentials;
    return credentials !== null && this.#options.clock.now() < credentials.identity.notAfter ? credentials : null;
  }

  /** What the certificate in use has left; 0 where there is none. */
  #leftMs(): number {
    return Math.max(0, (this.#credentials?.identity.notAfter ?? 0) - this.#options.clock.now());
  }

  onChange(listener: Listener): void {
    this.#listeners.add(listener);
  }

  /** Returns at once; `onChange` tells when there are credentials. */
  start(): void {
    void this.#followBundle();
    void this.#renew();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#cancelWatch();
    this.#client?.close();
  }

  /** The client is made anew after a failure, so that a replaced root file is seen. */
  async #ca(): Promise<CaClient> {
    if (this.#client === null) {
      const client = await this.#options.connect(await this.#options.readTrust());
      // Two callers may have waited for it: the first one's stays.
      if (this.#client === null) this.#client = client;
      else client.close();
    }
    return this.#client;
  }

  async #followBundle(): Promise<void> {
    if (this.#stopped) return;
    try {
      const client = await this.#ca();
      const cancel = await client.watch({
        onMessage: (bundle) => this.#bundleArrived(bundle),
        onEnd: (how) => this.#bundleLost(how),
      });
      if (this.#stopped) return cancel();
      this.#cancelWatch = cancel;
    } catch (error) {
      this.#bundleLost({ kind: "failed", error: sentence(error) });
    }
  }

  #bundleLost(how: StreamEnd): void {
    if (this.#stopped) return;
    // Every token ends. One that ends before it has brought a bundle is of no use.
    const isExpected = how.kind === "over" && this.#trusted !== null && this.#watchAttempts === 0;
    this.#watchAttempts++;
    const delay = retryAfter(this.#watchAttempts, this.#leftMs(), this.#options.random());
    const retryInMs = Math.round(delay);
    if (isExpected) this.#options.log("debug", "trust_bundle_stream_over", { retryInMs });
    else this.#options.log("warn", "trust_bundle_unavailable", { error: whyEnded(how), retryInMs });
    this.#forgetClient();
    this.#options.clock.after(delay, () => void this.#followBundle());
  }

  #forgetClient(): void {
    this.#client?.close();
    this.#client = null;
  }

  #bundleArrived(message: Bundle): void {
    this.#watchAttempts = 0;
    if (isDeepStrictEqual(message, this.#trusted?.message)) return;
    const read = readBundle(message, this.#options.own.trustDomain, this.#trusted?.bundle ?? null);
    if (read.kind === "refused") {
      this.#options.log("error", "trust_bundle_refused", { version: message.version, problems: read.problems });
      return;
    }
    if (this.#trusted !== null && read.bundle.version < this.#trusted.bundle.version) {
      this.#options.log("warn", "trust_bundle_refused", {
        version: read.bundle.version,
        problems: ["older than the one in use"],
      });
      return;
    }
    const held = this.#trusted?.roots;
    const roots = held !== undefined && isDeepStrictEqual(held, read.roots) ? held : read.roots;
    this.#trusted = { bundle: read.bundle, roots, message };
    this.#options.log("info", "trust_bundle_updated", {
      version: read.bundle.version,
      projects: [...read.bundle.projects.keys()],
    });
    this.#wakeBundle();
    const identity = this.#credentials?.identity;
    if (identity === undefined) return;
    this.#publish({ bundle: read.bundle, roots, identity });
    if (!listsIssuer(read.bundle, identity, this.#options.own)) this.#renewNow();
  }

  /** The CA that issued our certificate was replaced: peers refuse it from now on. */
  #renewNow(): void {
    if (this.#renewing) return;
    this.#timer?.cancel();
    void this.#renew();
  }

  async #renew(): Promise<void> {
    if (this.#stopped) return;
    this.#renewing = true;
    const attempt = await this.#attempt();
    this.#renewing = false;
    if (this.#stopped) return;
    const { clock, random, log } = this.#options;
    if (attempt.kind === "failed") {
      this.#attempts++;
      const delay = retryAfter(this.#attempts, this.#leftMs(), random());
      log("warn", "certificate_renewal_failed", {
        error: attempt.why,
        attempt: this.#attempts,
        retryInMs: Math.round(delay),
        certificateEnds: this.#credentials?.identity.notAfter ?? null,
      });
      this.#timer = clock.after(delay, () => void this.#renew());
      return;
    }
    this.#attempts = 0;
    const { identity } = attempt;
    const delay = renewAfter(clock.now(), identity.notAfter, random());
    log("info", "certificate_received", {
      identity: identity.uri,
      serial: identity.serial,
      notAfter: new Date(identity.notAfter).toISOString(),
      renewInMs: Math.round(delay),
    });
    this.#timer = until(clock, clock.now() + delay, () => void this.#renew());
    const { bundle, roots } = this.#trusted!;
    this.#publish({ bundle, roots, identity });
  }

  async #attempt(): Promise<Attempt> {
    try {
      const { privateKey } = await newKeyPair("ec", { namedCurve: "P-256" });
      const issued = await (await this.#ca()).issue(createCsr(privateKey));
      if (!(await this.#bundleOf(issued)))
        return { kind: "failed", why: `the trust bundle of version ${issued.bundleVersion} did not arrive in time` };
      const generation = (this.#credentials?.identity.generation ?? 0) + 1;
      return judgeIssued(issued.chain, privateKey, {
        generation,
        now: this.#options.clock.now(),
        bundle: this.#trusted!.bundle,
        options: this.#options,
      });
    } catch (error) {
      return { kind: "failed", why: sentence(error) };
    }
  }

  /** Waits until the bundle is at least as new as the certificate says; false when it does not come. */
  async #bundleOf(issued: Issued): Promise<boolean> {
    const isThere = (): boolean => this.#trusted !== null && this.#trusted.bundle.version >= issued.bundleVersion;
    if (isThere()) return true;
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(bundlePatienceMs, resolve);
      this.#wakeBundle = () => {
        if (!isThere()) return;
        timer.cancel();
        resolve();
      };
    });
    this.#wakeBundle = () => {};
    return isThere();
  }

  #publish(credentials: Credentials): void {
    this.#credentials = credentials;
    for (const listener of this.#listeners) listener(credentials);
  }
}

const whyEnded = (how: StreamEnd): string => (how.kind === "over" ? "the CA ended the stream" : how.error);
const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The control-plane CA stands in no list: it is what the root issued for that purpose. */
const listsIssuer = (bundle: TrustBundle, identity: Identity, { project, podUid }: OwnName): boolean =>
  podUid === null ||
  (bundle.projects.get(project)?.authorities ?? []).some(
    (authority) => Buffer.compare(authority.der, identity.issuer) === 0,
  );
