/** What the ca needs of the place where its keys and its knowledge of projects lie. */
import { createHash } from "node:crypto";
import type { Denial } from "../denial.ts";
import type { SigningAuthority } from "./authority.ts";

/** A project's own CA, bound to the uid of its namespace. */
export type ProjectIssuer = { readonly kind: "issuer"; readonly uid: string; readonly authority: SigningAuthority };

export type KnownProject = {
  readonly name: string;
  readonly uid: string;
  /** DER. */
  readonly authorities: readonly Uint8Array[];
  /** When the last of the authorities ends, in milliseconds since the epoch. */
  readonly authoritiesEnd: number;
  /** Whom the project names as peer; it counts only if that one names it too. */
  readonly peers: ReadonlySet<string>;
  /** Uids of pods that were revoked. */
  readonly denied: readonly string[];
};

/** All that may be trusted, at one moment. */
export type Knowledge = { readonly roots: readonly Uint8Array[]; readonly projects: ReadonlyMap<string, KnownProject> };

/** A state of knowledge, and its number: higher than that of every earlier state, for every process on this store. */
export type Published = { readonly version: bigint; readonly knowledge: Knowledge };

export type Store = {
  readonly root: SigningAuthority;
  /** Another one after `renewControlPlane`: ask anew for each certificate. */
  readonly controlPlane: SigningAuthority;
  /** Takes the one that another process made, or makes one if it is time; where that fails, the one in use stays. */
  renewControlPlane(): Promise<void>;
  /** The project's CA, made on first use; `namespaceUid` null: the store itself knows it. */
  issuerOf(project: string, namespaceUid: string | null): Promise<ProjectIssuer | Denial>;
  /** What the store holds now; a change gets the next number, which is above `atLeast`. */
  publish(atLeast: bigint): Promise<Published>;
  /** Calls back after a possible change, soon; returns how to stop. */
  watch(changed: () => void): () => void;
};

/** What the next number has to be above. */
export type Floor = {
  /** Of all that this process has published. */
  readonly atLeast: bigint;
  /** Milliseconds since the epoch. */
  readonly now: number;
};

/**
 * Above the clock too: whoever follows bundles takes none with a number below one that it has seen, and the store may be
 * new, or have come back from a backup. A clock that is behind costs nothing while the store remembers.
 */
export function nextNumber(latest: bigint, { atLeast, now }: Floor): bigint {
  return [atLeast, BigInt(Math.floor(now))].reduce((most, each) => (each > most ? each : most), latest) + 1n;
}

/** Equal exactly for equal knowledge. */
export function digestOf(knowledge: Knowledge): string {
  const hex = (der: Uint8Array): string => Buffer.from(der).toString("hex");
  const projects = [...knowledge.projects.values()].map(({ name, uid, authorities, peers, denied }) => [
    name,
    uid,
    authorities.map(hex),
    [...peers].toSorted(),
    denied,
  ]);
  return createHash("sha256")
    .update(JSON.stringify([knowledge.roots.map(hex), projects]))
    .digest("hex");
}
