/**
 * The dialled side of re-authentication in band: judges the peer's new certificate by the rules of a handshake, for the
 * very pod that it is already, and answers with ours. A request that is refused changes nothing but its number.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Expected, Peer } from "../../lib/x509/verify.ts";
import type { Fault } from "../../lib/x509/fault.ts";
import {
  checkProof,
  createProof,
  decodeProof,
  digestOf,
  encodeProof,
  longestProof,
  reauthenticationPath,
} from "./proof.ts";
import type { Proof } from "./proof.ts";
import { readBody } from "./read-body.ts";
import type { ServerSession } from "./session.ts";
import { keyingMaterial, nextTerms } from "./terms.ts";
import { refuseRequest } from "./told-reason.ts";
import { uncertified } from "./verify-peer.ts";
import type { Welcome } from "./verify-peer.ts";

/** For the whole of the request to arrive. */
const requestTimeoutMs = 5_000;

export const asksReauthentication = (headers: IncomingHttpHeaders): boolean =>
  headers[":method"] === "POST" && headers[":path"] === reauthenticationPath;

export async function answerReauthentication(
  stream: ServerHttp2Stream,
  session: ServerSession,
  welcome: Welcome,
): Promise<void> {
  const answer = session.exchangeUnderWay ? refuse("one exchange at a time") : await exchange(stream, session, welcome);
  session.exchanged(answer.kind === "refused" ? answer : null);
  if (answer.kind === "refused") return refuseRequest(stream, 403, answer.reason);
  if (stream.destroyed) return;
  stream.respond({ ":status": 200 });
  stream.end(answer.body);
}

type Answer = { readonly kind: "renewed"; readonly body: Buffer } | ({ readonly kind: "refused" } & Fault);

const refuse = (detail: string): Answer => ({ kind: "refused", reason: "bad_reauthentication", detail });

async function exchange(stream: ServerHttp2Stream, session: ServerSession, welcome: Welcome): Promise<Answer> {
  session.exchangeUnderWay = true;
  const body = await readBody(stream, { longest: longestProof, timeoutMs: requestTimeoutMs, clock: welcome.clock });
  session.exchangeUnderWay = false;
  if (body.kind === "failed") return refuse(body.detail);
  const read = decodeProof(body.bytes);
  if (read.kind === "malformed") return { kind: "refused", ...read.fault };
  const { sequence } = read.proof;
  if (sequence <= session.exchanges) return refuse(`exchange ${sequence} after ${session.exchanges}`);
  session.exchanges = sequence;
  return judge({ proof: read.proof, digest: digestOf(body.bytes) }, session, welcome);
}

/** From here on in one turn: what is judged is what stands. */
function judge(
  request: { readonly proof: Proof; readonly digest: Uint8Array },
  session: ServerSession,
  { credentials, projects, maxLeafLifetimeMs, clock }: Welcome,
): Answer {
  const own = credentials();
  if (own === null) return { kind: "refused", ...uncertified };
  const { terms, facts } = session;
  if (!projects().has(terms.peer.id.project))
    return { kind: "refused", reason: "identity_mismatch", detail: "a project that is no longer a peer" };
  const { leaves } = terms;
  const verdict = checkProof(
    request.proof,
    { role: "client", keyingMaterial: keyingMaterial(facts.socket, "client"), leaves, request: null },
    { now: clock.now(), expected: samePod(terms.peer), bundle: own.bundle, maxLeafLifetimeMs },
  );
  if (verdict.kind === "refusal") return { kind: "refused", reason: verdict.reason, detail: verdict.detail };
  const { identity } = own;
  const proof = createProof(
    { role: "server", keyingMaterial: keyingMaterial(facts.socket, "server"), leaves, request: request.digest },
    { sequence: request.proof.sequence, chain: identity.chain, key: identity.key },
  );
  const shown = { client: digestOf(request.proof.chain[0]!), server: digestOf(identity.chain[0]!) };
  session.renewed(nextTerms(terms, verdict, { identity, leaves: shown }));
  return { kind: "renewed", body: encodeProof(proof) };
}

const samePod = ({ id, pod }: Peer): Expected => ({
  kind: "pod",
  project: id.project,
  serviceAccount: id.serviceAccount,
  podUid: pod?.podUid ?? "",
});
