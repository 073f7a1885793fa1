/**
 * Who may come in: streams on 15008, whose caller is proven by its certificate, and clear text captured on 15006, whose
 * caller is known by its source address only. What a mode allows, every looser mode allows too. Pure.
 */
import { isLinkLocal, isLoopback, parseEndpoint } from "../../lib/net/address.ts";
import type { Endpoint, Ip } from "../../lib/net/address.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import type { Peer } from "../../lib/x509/verify.ts";
import type { PeerClass } from "../observe/events.ts";
import { claimantsOf, classify, isOutsideUnheld, peerClass, workloadAt } from "./classify.ts";
import type { AddressKind } from "./classify.ts";
import { namesSource, nodeSourcesAccepted } from "./policy.ts";
import type { DryRun, Known, LookUp, Policy, Self, Verdict, View } from "./policy.ts";
import { namesCaller } from "../../lib/project/rules.ts";
import type { Caller } from "../../lib/project/rules.ts";
import { podName } from "./snapshot.ts";
import type { Workload } from "./snapshot.ts";
import type { Mode } from "../../lib/project/mode.ts";
import type { CallerRule } from "../../lib/project/rules.ts";

/** `workload` is the pod at the source address, where the directory names one. */
type Facts = { readonly class: PeerClass; readonly workload: Workload | null };

type Refuse = Facts & { readonly kind: "refuse"; readonly reason: Reason; readonly detail: string };

/** HTTP status of a refused CONNECT: 400 its form, 403 policy, 503 not able to. */
export type RefuseStream = Refuse & { readonly status: 400 | 403 | 503 };

export type StreamDecision =
  /** `endpoint` is what to dial: byte-equal to one of the pod's own addresses. */
  (Facts & { readonly kind: "allow"; readonly endpoint: Endpoint; readonly dryRun: DryRun | null }) | RefuseStream;

export type ClearDecision = (Facts & { readonly kind: "allow"; readonly dryRun: DryRun | null }) | LookUp | Refuse;

export type StreamInput = {
  /** `:authority` as received. */
  readonly authority: string;
  /** The pod uid that the caller means; null from proxies that do not say. */
  readonly pod: string | null;
  /** The session's source address, as `ipFromSocket` gives it. */
  readonly source: Ip;
  /** As verified on this session. */
  readonly peer: Pick<Peer, "id" | "pod">;
  readonly self: Self;
  /** Null before the first snapshot. */
  readonly view: View | null;
};

export type ClearInput = Pick<Known, "view" | "lookUp"> & {
  /** The original destination. */
  readonly destination: Endpoint;
  readonly source: Ip;
  readonly self: Self;
};

const nobody: Facts = { class: "none", workload: null };

export function authorizeStream(input: StreamInput): StreamDecision {
  const { self, view, peer } = input;
  const endpoint = parseEndpoint(input.authority);
  if (endpoint === null) return { ...refuse("bad_request", "authority", nobody), status: 400 };
  const misdirected = wrongDestination(self, endpoint);
  if (misdirected !== null) return { ...misdirected, status: 403 };
  if (input.pod !== null && input.pod !== self.podUid)
    return { ...refuse("not_my_address", `pod ${input.pod}`, nobody), status: 403 };
  if (view === null) return { ...refuse("no_directory", "before the first snapshot", nobody), status: 503 };
  const refused = wrongCaller(view, input, endpoint.port);
  if (refused !== null) return { ...refused, status: 403 };
  const facts: Facts = { class: "internal", workload: workloadAt(view, input.source) };
  return { kind: "allow", endpoint, dryRun: callerDryRun(view, peer.id, endpoint.port), ...facts };
}

/** What both inbound paths refuse whoever asks. */
function wrongDestination(self: Self, destination: Endpoint): Refuse | null {
  if (self.proxyPorts.has(destination.port)) return refuse("proxy_port", String(destination.port), nobody);
  if (!self.ips.has(destination.ip) || isLoopback(destination.ip) || isLinkLocal(destination.ip))
    return refuse("not_my_address", destination.ip, nobody);
  return null;
}

/** The certificate decides who calls; a source address that the directory knows must be that pod's. */
function wrongCaller(view: View, { source, peer }: StreamInput, port: number): Refuse | null {
  const kind = classify(view, source);
  const workload = workloadAt(view, source);
  const facts: Facts = { class: peerClass(view, kind, source), workload };
  if (kind === "conflict") return refuse("address_conflict", claimantsOf(view, source), facts);
  if (workload !== null && workload.uid !== peer.pod?.podUid) return refuse("wrong_pod", podName(workload), facts);
  const refused = refusedCaller(view.policy, peer.id, port);
  return refused === null ? null : refuse(refused.reason, refused.detail, facts);
}

/** What the rules have against a caller that has shown its certificate. Also asked for connections that are open. */
export function refusedCaller(policy: Policy, caller: Caller, port: number): Verdict {
  const detail = `${caller.project}/${caller.serviceAccount}`;
  // A session outlives the peer relation it was made under.
  if (!policy.internalProjects.has(caller.project)) return { reason: "identity_mismatch", detail };
  return inEach(policy.allowFrom, caller, port) ? null : { reason: "caller_not_allowed", detail };
}

const inEach = (lists: readonly (readonly CallerRule[])[], caller: Caller, port: number): boolean =>
  lists.every((rules) => namesCaller(rules, caller, port));

function callerDryRun(view: View, caller: Caller, port: number): DryRun | null {
  if (inEach(view.policy.allowFromDryRun, caller, port)) return null;
  return { reason: "caller_not_allowed", detail: `${caller.project}/${caller.serviceAccount}`, unlessTls: false };
}

export function authorizeClear(input: ClearInput): ClearDecision {
  const { self, view } = input;
  const misdirected = wrongDestination(self, input.destination);
  if (misdirected !== null) return misdirected;
  if (view === null) return refuse("no_directory", "before the first snapshot", nobody);
  const decided = decide({ input, view, mode: view.policy.mode });
  if (decided.kind !== "allow" || decided.dryRun !== null || view.policy.dryRun === null) return decided;
  // The stricter mode would have asked.
  const asked = input.lookUp === "last-unheld" ? { ...input, lookUp: "unheld" as const } : input;
  return { ...decided, dryRun: dryRunOf(decide({ input: asked, view, mode: view.policy.dryRun })) };
}

/** One decision under one mode. */
type Question = { readonly input: ClearInput; readonly view: View; readonly mode: Mode };

function decide(question: Question): ClearDecision {
  const { view, input } = question;
  const found = classify(view, input.source);
  const kind = found === "unknown" && isUnheld(question) ? unheldSource(view, input.source) : found;
  if (kind === "unknown" && input.lookUp === null)
    return { kind: "look-up", ip: input.source, lastWillDo: lastWillDo(question.mode) };
  const workload = workloadAt(view, input.source);
  const facts: Facts = { class: peerClass(view, kind, input.source), workload };
  const named = isNamed(question, kind, workload);
  const reason = named ? null : refusedByMode(question, kind);
  if (reason !== null)
    return refuse(reason, kind === "conflict" ? claimantsOf(view, input.source) : question.mode, facts);
  if (named) return { kind: "allow", dryRun: null, ...facts };
  return allowedCaller(question, facts);
}

/**
 * Behind a node, whose clear text the looser modes take, may be anybody: there it is enough that the address was no pod's when
 * this was last asked for. What `strict` lets in has to be nobody's now.
 */
const lastWillDo = (mode: Mode): boolean => mode !== "strict";

const isUnheld = ({ input, mode }: Question): boolean =>
  input.lookUp === "unheld" || (input.lookUp === "last-unheld" && lastWillDo(mode));

/** In the pod range an address that no pod holds is a node's own there: a bridge or a tunnel device. */
const unheldSource = (view: View, source: Ip): AddressKind => (isOutsideUnheld(view, source) ? "external" : "node");

/** `allow-ingress` names sources that need not encrypt: never internal ones, and never one that may turn out internal. */
function isNamed({ view, input }: Question, kind: AddressKind, workload: Workload | null): boolean {
  if (kind !== "other-project" && kind !== "node" && kind !== "external") return false;
  return namesSource(view.policy, { ip: input.source, port: input.destination.port }, workload);
}

function refusedByMode({ view, mode }: Question, kind: AddressKind): Reason | null {
  switch (kind) {
    case "conflict":
      return "address_conflict";
    case "self":
    case "internal":
      return mode === "permissive" ? null : "plaintext_refused";
    case "unknown":
      return mode === "permissive" ? null : "source_unknown";
    case "node":
      return nodeSourcesAccepted(view.policy, mode) ? null : "node_source_refused";
    case "other-project":
    case "external":
      return mode === "strict" ? "plaintext_refused" : null;
  }
}

/** In clear a caller has the name that the directory gives its address, or none; who has none is in no list. */
function allowedCaller({ view, input }: Question, facts: Facts): ClearDecision {
  const { port } = input.destination;
  const { workload } = facts;
  const name = workload === null ? facts.class : `${workload.project}/${workload.serviceAccount}`;
  const passes = (lists: readonly (readonly CallerRule[])[]): boolean =>
    lists.length === 0 || (workload !== null && inEach(lists, workload, port));
  if (!passes(view.policy.allowFrom)) return refuse("caller_not_allowed", name, facts);
  const dryRun: DryRun | null = passes(view.policy.allowFromDryRun)
    ? null
    : { reason: "caller_not_allowed", detail: name, unlessTls: false };
  return { kind: "allow", dryRun, ...facts };
}

function dryRunOf(stricter: ClearDecision): DryRun | null {
  return stricter.kind === "refuse" ? { reason: stricter.reason, detail: stricter.detail, unlessTls: false } : null;
}

const refuse = (reason: Reason, detail: string, facts: Facts): Refuse => ({ kind: "refuse", reason, detail, ...facts });
