/**
 * The two things that the ca does, each from the call to the answer, in this order: rate of the source, form and
 * audience of the token, bound on concurrency, proof of the token, rate of the pod, revocation, and only then what is
 * asked for. Who the caller is comes from the token alone.
 */
import type { Clock } from "../lib/clock/clock.ts";
import { controlPlane, formatSpiffeId } from "../lib/identity/spiffe-id.ts";
import { hosts } from "../lib/kube/names.ts";
import { RateLimiter } from "../lib/limit/rate-limit.ts";
import type { RateLimit } from "../lib/limit/rate-limit.ts";
import type { IstioCertificateRequest, IstioCertificateResponse } from "../lib/proto/gen/istio/v1/auth/ca.ts";
import type { Audit, Operation } from "./audit.ts";
import type { Authenticator, Caller } from "./authn/caller.ts";
import type { Publisher } from "./bundle/publisher.ts";
import { isDenied } from "./bundle/view.ts";
import { denial } from "./denial.ts";
import type { Denial } from "./denial.ts";
import { readCsr } from "./issue/csr.ts";
import { issueForControlPlane, issueForPod } from "./issue/issue.ts";
import type { Leaf } from "./issue/issue.ts";
import { leafTtl } from "./issue/validity.ts";
import type { SigningAuthority } from "./store/authority.ts";
import type { ProjectIssuer, Store } from "./store/store.ts";
import type { GeneralName } from "./x509/extensions.ts";
import { writePem } from "./x509/pem.ts";

/** A call as it arrives: where from, and the values of its `authorization` metadata. */
export type Call = { readonly source: string; readonly authorization: readonly string[] };

export type CaSettings = {
  readonly trustDomain: string;
  readonly leafTtl: number;
  readonly rateLimit: RateLimit;
  readonly mostConcurrent: number;
  /** Of these at a time: where the API server is slow, a source within its rate would have all places. */
  readonly mostOfOneSource: number;
};
export type CaParts = {
  readonly settings: CaSettings;
  readonly authenticator: Authenticator;
  readonly store: Store;
  readonly publisher: Publisher;
  readonly audit: Audit;
  readonly clock: Clock;
};

export type Answer = { readonly kind: "answer"; readonly response: IstioCertificateResponse };

const controllerNames: readonly GeneralName[] = [hosts.controller, `${hosts.controller}.cluster.local`].map((text) => ({
  kind: "dns",
  text,
}));

const bearer = /^Bearer +([^ ]+)$/i;

export class Ca {
  readonly #parts: CaParts;
  readonly #sources: RateLimiter;
  readonly #pods: RateLimiter;
  #underWay = 0;
  readonly #underWayOf = new Map<string, number>();

  constructor(parts: CaParts) {
    this.#parts = parts;
    this.#sources = new RateLimiter(parts.settings.rateLimit);
    this.#pods = new RateLimiter(parts.settings.rateLimit);
  }

  /** `request` is null where it could not be decoded. */
  async createCertificate(call: Call, request: IstioCertificateRequest | null): Promise<Answer | Denial> {
    return this.#audited("certificate", call, async (caller) =>
      request === null
        ? denial("request_malformed", "not the message that the method takes")
        : this.#issue(call, caller, request),
    );
  }

  /** Whose bundle to stream, and until when. */
  async admitWatch(call: Call): Promise<Caller | Denial> {
    return this.#audited("bundle", call, (caller) => Promise.resolve(caller));
  }

  /** A request that did not become a call: who wanted what is not known. */
  refuseRequest(source: string, why: Denial): void {
    this.#parts.audit.refused("request", why, { source, caller: null, spiffeId: null });
  }

  /** Runs `serve` for a proven caller, within the bound on concurrency; every refusal gets its audit line here. */
  async #audited<T>(
    operation: Operation,
    call: Call,
    serve: (caller: Caller) => Promise<T | Denial>,
  ): Promise<T | Denial> {
    let caller: Caller | null = null;
    const outcome = await this.#bounded(async () => {
      const admitted = await this.#admit(call);
      if (admitted.kind === "denial") return admitted;
      caller = admitted;
      return this.#permitted(admitted) ?? serve(admitted);
    }, call);
    if (isDenial(outcome))
      this.#parts.audit.refused(operation, outcome, {
        source: call.source,
        caller,
        spiffeId: caller === null ? null : this.#uriOf(caller),
      });
    return outcome;
  }

  async #bounded<T>(serve: () => Promise<T | Denial>, call: Call): Promise<T | Denial> {
    if (!this.#sources.take(call.source, this.#parts.clock.monotonic()))
      return denial("rate_limited", "the source's limit");
    if (this.#underWay >= this.#parts.settings.mostConcurrent)
      return denial("ca_busy", `${this.#underWay} calls under way`);
    const ofSource = this.#underWayOf.get(call.source) ?? 0;
    if (ofSource >= this.#parts.settings.mostOfOneSource)
      return denial("ca_busy", `${ofSource} calls of the source under way`);
    this.#count(call.source, 1);
    try {
      return await serve();
    } finally {
      this.#count(call.source, -1);
    }
  }

  #count(source: string, change: 1 | -1): void {
    this.#underWay += change;
    const left = (this.#underWayOf.get(source) ?? 0) + change;
    if (left === 0) this.#underWayOf.delete(source);
    else this.#underWayOf.set(source, left);
  }

  async #admit(call: Call): Promise<Caller | Denial> {
    const token = call.authorization.length === 1 ? bearer.exec(call.authorization[0]!)?.[1] : undefined;
    if (token === undefined)
      return denial("token_missing", `${call.authorization.length} authorization values, not one Bearer token`);
    const inspected = this.#parts.authenticator.inspect(token);
    return inspected.kind === "denial" ? inspected : inspected.prove(call.source);
  }

  #permitted({ pod }: Caller): Denial | null {
    if (!this.#pods.take(pod.podUid, this.#parts.clock.monotonic())) return denial("rate_limited", "the pod's limit");
    return this.#revoked(pod);
  }

  #revoked({ namespace, podUid }: Caller["pod"]): Denial | null {
    return isDenied(namespace, podUid, this.#parts.publisher.current.knowledge) ? denial("pod_denied", podUid) : null;
  }

  async #issue(call: Call, caller: Caller, request: IstioCertificateRequest): Promise<Answer | Denial> {
    const { settings, store, clock } = this.#parts;
    if (request.metadata.length > 0) return denial("metadata_refused", "the field metadata is present");
    const lifetime = leafTtl(request.validityDuration, settings.leafTtl);
    if (lifetime.kind === "denial") return lifetime;
    const csr = readCsr(request.csr, this.#uriOf(caller));
    if (csr.kind === "denial") return csr;
    if (caller.role === "controller") return this.#answerController(call, caller, { ...csr, ttl: lifetime.ttl });
    const issuer = await store.issuerOf(caller.pod.namespace, caller.namespaceUid);
    if (issuer.kind === "denial") return issuer;
    const surroundings = {
      trustDomain: settings.trustDomain,
      root: store.root,
      issuer: issuer.authority,
      now: clock.now(),
    };
    const leaf = issueForPod(
      { pod: { ...caller.pod, namespaceUid: issuer.uid }, publicKey: csr.publicKey, ttl: lifetime.ttl },
      surroundings,
    );
    return leaf.kind === "denial" ? leaf : this.#answer(call, caller, { leaf, issuer });
  }

  /** The answer names a bundle version in which the issuer is listed, so that the caller's peers can know it too. */
  async #answer(
    call: Call,
    caller: Caller,
    { leaf, issuer }: { leaf: Leaf; issuer: ProjectIssuer },
  ): Promise<Answer | Denial> {
    const { publisher } = this.#parts;
    if (!this.#isListed(caller, issuer)) await publisher.refresh();
    if (!this.#isListed(caller, issuer)) return denial("store_unavailable", "the project's CA is not in the bundle");
    // While the CA was not listed, nor was who is denied.
    const revoked = this.#revoked(caller.pod);
    if (revoked !== null) return revoked;
    return this.#issued(call, caller, {
      leaf,
      issuer: issuer.authority,
      bundleVersion: publisher.current.version,
    });
  }

  #issued(
    call: Call,
    caller: Caller,
    { leaf, issuer, bundleVersion }: { leaf: Leaf; issuer: SigningAuthority; bundleVersion: bigint },
  ): Answer | Denial {
    const { audit, store } = this.#parts;
    if (!audit.hasRoom()) return denial("ca_busy", "nobody reads the log, and this would have no line in it");
    const chain = [leaf.der, issuer.certificate.der, store.root.certificate.der];
    audit.issued(
      { serial: leaf.serial, notAfter: leaf.notAfter, bundleVersion },
      { source: call.source, caller, spiffeId: this.#uriOf(caller) },
    );
    return {
      kind: "answer",
      response: { certChain: chain.map((der) => writePem("CERTIFICATE", der)), bundleVersion },
    };
  }

  /** The names are those of its Service: the API server knows it by name, proxies by its SPIFFE ID. */
  #answerController(
    call: Call,
    caller: Caller,
    { publicKey, ttl }: { readonly publicKey: Uint8Array; readonly ttl: number },
  ): Answer | Denial {
    const { settings, store, clock, publisher } = this.#parts;
    const { project, serviceAccount } = controlPlane.controller;
    const issuer = store.controlPlane;
    const leaf = issueForControlPlane(
      { project, serviceAccount, servingNames: controllerNames, publicKey, ttl },
      { trustDomain: settings.trustDomain, root: store.root, issuer, now: clock.now() },
    );
    if (leaf.kind === "denial") return leaf;
    return this.#issued(call, caller, { leaf, issuer, bundleVersion: publisher.current.version });
  }

  #isListed({ pod }: Caller, { authority }: ProjectIssuer): boolean {
    const known = this.#parts.publisher.current.knowledge.projects.get(pod.namespace);
    return known?.authorities.some((der) => Buffer.compare(der, authority.certificate.der) === 0) ?? false;
  }

  #uriOf({ pod }: Caller): string {
    return formatSpiffeId({
      trustDomain: this.#parts.settings.trustDomain,
      project: pod.namespace,
      serviceAccount: pod.serviceAccount,
    });
  }
}

const isDenial = (outcome: unknown): outcome is Denial =>
  typeof outcome === "object" && outcome !== null && "kind" in outcome && outcome.kind === "denial";
