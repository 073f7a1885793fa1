/**
 * The dialling side of re-authentication in band: streams that are open outlive the certificates that their session was
 * made with, as long as both ends go on to prove who they are. proof.ts has what is signed, docs/adr/0009 why.
 *
 * - One exchange shows both ends' certificates: soon after ours was renewed, and each time that half of what the session
 *   has left is over, by when the peer has renewed its own. An idle session is given up instead.
 * - A refusal (any answer but 200) changes nothing: the next exchange may go better, and the end stays where it was.
 * - Without an answer, or with one that is not good, the two ends no longer agree on what was shown: the session takes
 *   no new streams, is not asked again, and ends with its certificates.
 */
import type { ClientHttp2Stream } from "node:http2";
import { until } from "../../lib/clock/clock.ts";
import type { Clock, Timer } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import type { Expected } from "../../lib/x509/verify.ts";
import {
  checkProof,
  createProof,
  decodeProof,
  digestOf,
  encodeProof,
  longestProof,
  reauthenticationPath,
} from "./proof.ts";
import { readBody } from "./read-body.ts";
import type { ClientSession } from "./session.ts";
import { keyingMaterial, nextTerms } from "./terms.ts";
import { toldReason } from "./told-reason.ts";
import type { Identified } from "./verify-peer.ts";

export const exchangeTimeoutMs = 5_000;
/** Sessions with many peers do not all sign and verify in one turn when our certificate is renewed. */
const longestSpreadMs = 2_000;
const shortestPauseMs = 250;

/** `random`: in [0, 1). */
export type ReauthenticationContext = Identified & { readonly random: () => number };

type Outcome =
  | { readonly kind: "renewed" }
  /** `final`: no other exchange may follow on this session. */
  | { readonly kind: "failed"; readonly reason: Reason; readonly detail: string; readonly final: boolean };

export class Reauthentication {
  readonly #session: ClientSession;
  readonly #expected: Expected;
  readonly #context: ReauthenticationContext;
  #timer: Timer;

  constructor(session: ClientSession, expected: Expected, context: ReauthenticationContext) {
    this.#session = session;
    this.#expected = expected;
    this.#context = context;
    this.#timer = this.#arm(this.#left() / 2);
    session.facts.http2.once("close", () => this.#timer.cancel());
  }

  /** Our certificate was renewed. */
  soon(): void {
    if (this.#session.streams === 0) return this.#session.retire();
    this.#timer.cancel();
    this.#timer = this.#arm(this.#context.random() * Math.min(longestSpreadMs, this.#left() / 10));
  }

  #left(): number {
    return this.#session.end - this.#context.clock.now();
  }

  #arm(delayMs: number): Timer {
    const { clock } = this.#context;
    return until(clock, clock.now() + delayMs, () => void this.#attempt());
  }

  async #attempt(): Promise<void> {
    const session = this.#session;
    if (!session.isOpen || session.exchangeUnderWay) return;
    if (session.streams === 0) return session.retire();
    const credentials = this.#context.credentials();
    if (credentials !== null) {
      session.exchangeUnderWay = true;
      const outcome = await exchange(session, this.#expected, { ...this.#context, own: credentials }).catch(unforeseen);
      session.exchangeUnderWay = false;
      session.exchanged(outcome.kind === "failed" ? outcome : null);
      if (outcome.kind === "failed" && outcome.final) return session.retire();
      if (this.#context.credentials()?.identity.generation !== credentials.identity.generation) return this.soon();
    }
    this.#timer.cancel();
    this.#timer = this.#arm(Math.max(this.#left() / 2, shortestPauseMs));
  }
}

/** `own`: what we show, fixed at the start. */
type ExchangeContext = ReauthenticationContext & { readonly own: Credentials };

async function exchange(
  session: ClientSession,
  expected: Expected,
  { own, credentials, maxLeafLifetimeMs, clock }: ExchangeContext,
): Promise<Outcome> {
  const { identity } = own;
  const { leaves } = session.terms;
  const { socket } = session.facts;
  const sequence = ++session.exchanges;
  // Both now: the socket may be gone when the answer is here.
  const material = { client: keyingMaterial(socket, "client"), server: keyingMaterial(socket, "server") };
  const binding = { role: "client", keyingMaterial: material.client, leaves, request: null } as const;
  const request = encodeProof(createProof(binding, { sequence, chain: identity.chain, key: identity.key }));
  const answer = await post(session, request, clock);
  if (answer.kind === "failed") return answer;
  const read = decodeProof(answer.body);
  if (read.kind === "malformed") return { kind: "failed", ...read.fault, final: true };
  if (read.proof.sequence !== sequence) return notGood(`answers exchange ${read.proof.sequence}`);
  // What the peer shows is judged by what is known now.
  const { bundle } = credentials() ?? own;
  const verdict = checkProof(
    read.proof,
    { role: "server", keyingMaterial: material.server, leaves, request: digestOf(request) },
    { now: clock.now(), expected, bundle, maxLeafLifetimeMs },
  );
  if (verdict.kind === "refusal")
    return { kind: "failed", reason: verdict.reason, detail: verdict.detail, final: true };
  const shown = { client: digestOf(identity.chain[0]!), server: digestOf(read.proof.chain[0]!) };
  session.renewed(nextTerms(session.terms, verdict, { identity, leaves: shown }));
  return { kind: "renewed" };
}

const notGood = (detail: string): Outcome & { kind: "failed" } => ({
  kind: "failed",
  reason: "bad_reauthentication",
  detail,
  final: true,
});

/** A session that ends in this very turn, for example. */
const unforeseen = (error: unknown): Outcome => notGood(error instanceof Error ? error.message : String(error));

type Answer = { readonly kind: "answer"; readonly body: Buffer } | (Outcome & { kind: "failed" });

async function post(session: ClientSession, request: Buffer, clock: Clock): Promise<Answer> {
  const stream = session.facts.http2.request(
    { ":method": "POST", ":scheme": "https", ":authority": "peer", ":path": reauthenticationPath },
    { endStream: false },
  );
  const answered = head(stream);
  stream.end(request);
  const body = await readBody(stream, { longest: longestProof, timeoutMs: exchangeTimeoutMs, clock });
  if (body.kind === "failed") {
    stream.destroy();
    return notGood(`no answer: ${body.detail}`);
  }
  const { status, reason } = await answered;
  if (status === 0) return notGood("no answer: reset");
  if (status === 200) return { kind: "answer", body: body.bytes };
  return { kind: "failed", reason, detail: `the peer's proxy answered ${status}`, final: false };
}

/** Status 0 without one. */
function head(stream: ClientHttp2Stream): Promise<{ status: number; reason: Reason }> {
  stream.on("error", () => {});
  return new Promise((resolve) => {
    stream.once("response", (headers) => resolve({ status: headers[":status"] ?? 0, reason: toldReason(headers) }));
    stream.once("close", () => resolve({ status: 0, reason: "peer_refused" }));
  });
}
