/**
 * The store in a folder: `root.pem`, `root.key`, `control-plane/` and `projects/<name>/`, PEM and PKCS#8, mode 0600.
 *
 * Absent authorities are made on first use. The root is made only where nothing that an earlier root issued is left.
 * What is damaged is reported with the file's name and never replaced. Several processes may share the folder.
 */
import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../lib/clock/clock.ts";
import { isName } from "../../lib/identity/spiffe-id.ts";
import type { Log } from "../../lib/log/log.ts";
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";
import type { AuthorityPurpose } from "../issue/profile.ts";
import { newAuthority, newRoot } from "../issue/authority.ts";
import { checkCertificate, checkPair, hasEnded } from "./authority.ts";
import type { SigningAuthority } from "./authority.ts";
import {
  createFile,
  ensureFolder,
  installTogether,
  namesIn,
  readOptional,
  readPair,
  stateOf,
  StoreError,
  tolerate,
} from "./files.ts";
import type { PairNames } from "./files.ts";
import { digestOf } from "./store.ts";
import type { Knowledge, KnownProject, ProjectIssuer, Published, Store } from "./store.ts";
import { numberState } from "./versions.ts";
import { watchFolder } from "./watch.ts";

const rootNames: PairNames = { certificate: "root.pem", key: "root.key" };
const tlsNames: PairNames = { certificate: "tls.crt", key: "tls.key" };
const uidFile = "uid";
const uidText = /^[A-Za-z0-9-]{1,64}$/;

export type FolderSettings = { readonly path: string; readonly trustDomain: string };

const linesOf = (text: string | null): string[] =>
  (text ?? "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));

/** Refuses to open a folder in which anything is damaged, so that this is seen at the start and not at a renewal. */
export async function openFolder(settings: FolderSettings, clock: Clock, log: Log): Promise<Store> {
  await tolerate(settings.path, ["EEXIST"], () => mkdir(settings.path, { recursive: true, mode: 0o700 }));
  const root = await openRoot(settings.path, clock);
  const controlPlane = await openAuthority(
    join(settings.path, "control-plane"),
    { kind: "control-plane", trustDomain: settings.trustDomain },
    root,
    clock,
  );
  const store = new FolderStore(settings, { root, controlPlane }, clock, log);
  await store.checkAll();
  return store;
}

async function openRoot(path: string, clock: Clock): Promise<SigningAuthority> {
  if ((await readPair(path, rootNames)) === null) await makeRoot(path, clock);
  const pair = await readPair(path, rootNames);
  if (pair === null) throw new StoreError(`${join(path, rootNames.certificate)} disappeared while it was made`);
  const checked = checkPair(pair, { purpose: null, root: null, now: clock.now() });
  if (checked.kind === "problem") throw new StoreError(`${join(path, rootNames[checked.file])} ${checked.what}`);
  return checked.authority;
}

/** A new root would make everything worthless that an earlier one issued: that is the operator's decision. */
async function makeRoot(path: string, clock: Clock): Promise<void> {
  for (const name of ["control-plane", "projects"]) {
    const left = ((await namesIn(join(path, name))) ?? []).filter((entry) => !entry.startsWith("."));
    for (const entry of name === "projects"
      ? left.map((project) => join(name, project, tlsNames.certificate))
      : left.map((file) => join(name, file))) {
      if ((await readOptional(join(path, entry))) === null) continue;
      throw new StoreError(
        `${join(path, rootNames.certificate)} and ${rootNames.key} are missing but ${entry} is there: restore the root, or remove what it issued`,
      );
    }
  }
  const { key, certificate } = newRoot(clock.now());
  await installTogether(
    path,
    new Map([
      [rootNames.key, key],
      [rootNames.certificate, certificate],
    ]),
  );
}

async function makeAuthority(
  folder: string,
  purpose: AuthorityPurpose,
  root: SigningAuthority,
  clock: Clock,
): Promise<void> {
  const { key, certificate } = newAuthority(purpose, root, clock.now());
  const files = new Map([
    [tlsNames.key, key],
    [tlsNames.certificate, certificate],
  ]);
  // A uid that is there already stays.
  if (purpose.kind === "project") files.set(uidFile, `${randomUUID()}\n`);
  await installTogether(folder, files);
}

/** The authority in this folder, made if there is none. */
async function openAuthority(
  folder: string,
  purpose: AuthorityPurpose,
  root: SigningAuthority,
  clock: Clock,
): Promise<SigningAuthority> {
  if ((await readPair(folder, tlsNames)) === null) await makeAuthority(folder, purpose, root, clock);
  const pair = await readPair(folder, tlsNames);
  if (pair === null) throw new StoreError(`${join(folder, tlsNames.certificate)} disappeared while it was made`);
  const checked = checkPair(pair, { purpose, root: root.certificate, now: clock.now() });
  if (checked.kind === "problem") throw new StoreError(`${join(folder, tlsNames[checked.file])} ${checked.what}`);
  return checked.authority;
}

class FolderStore implements Store {
  readonly root: SigningAuthority;
  readonly controlPlane: SigningAuthority;
  readonly #settings: FolderSettings;
  readonly #projects: string;
  readonly #clock: Clock;
  readonly #log: Log;
  /** By project, with what its files were known by when they were read. */
  readonly #issuers = new Map<string, { readonly state: string; readonly issuer: ProjectIssuer }>();
  /** Problems already logged, so that a scan does not repeat them. */
  #reported = new Set<string>();

  constructor(
    settings: FolderSettings,
    authorities: { root: SigningAuthority; controlPlane: SigningAuthority },
    clock: Clock,
    log: Log,
  ) {
    this.root = authorities.root;
    this.controlPlane = authorities.controlPlane;
    this.#settings = settings;
    this.#projects = join(settings.path, "projects");
    this.#clock = clock;
    this.#log = log;
  }

  async issuerOf(project: string): Promise<ProjectIssuer | Denial> {
    const folder = join(this.#projects, project);
    const state = stateOf(
      [tlsNames.certificate, tlsNames.key, uidFile].map((file) => join(folder, file)),
      this.#clock.now(),
    );
    const known = this.#issuers.get(project);
    const isLive = known !== undefined && this.#clock.now() < known.issuer.authority.certificate.notAfter;
    if (isLive && known.state === state) return known.issuer;
    const issuer = await this.#open(project, folder);
    if (issuer.kind === "issuer" && state !== null) this.#issuers.set(project, { state, issuer });
    else this.#issuers.delete(project);
    return issuer;
  }

  async #open(project: string, folder: string): Promise<ProjectIssuer | Denial> {
    try {
      await ensureFolder(this.#projects);
      const authority = await openAuthority(folder, this.#purpose(project), this.root, this.#clock);
      return { kind: "issuer", authority, uid: await this.#uidOf(folder) };
    } catch (error) {
      if (error instanceof StoreError) return denial("issuer_unusable", error.message);
      throw error;
    }
  }

  /** By hand here: without `control-plane/` the next start makes another. */
  async renewControlPlane(): Promise<void> {}

  /** Throws what is wrong with the first damaged project. */
  async checkAll(): Promise<void> {
    for (const project of await this.#names()) {
      const folder = join(this.#projects, project);
      const pair = await readPair(folder, tlsNames);
      const checked =
        pair === null
          ? null
          : checkPair(pair, { purpose: this.#purpose(project), root: this.root.certificate, now: this.#clock.now() });
      if (checked?.kind === "problem" && checked.what !== hasEnded)
        throw new StoreError(`${join(folder, tlsNames[checked.file])} ${checked.what}`);
    }
  }

  async publish(atLeast: bigint): Promise<Published> {
    const floor = { atLeast, now: this.#clock.now() };
    const { version, state } = await numberState(join(this.#settings.path, "bundle"), floor, async () => {
      const knowledge = await this.#scan();
      return { digest: digestOf(knowledge), state: knowledge };
    });
    return { version, knowledge: state };
  }

  watch(changed: () => void): () => void {
    return watchFolder(this.#projects, this.#clock, changed);
  }

  #purpose(project: string): AuthorityPurpose {
    return { kind: "project", trustDomain: this.#settings.trustDomain, project };
  }

  async #names(): Promise<string[]> {
    return ((await namesIn(this.#projects)) ?? []).filter(isName).toSorted();
  }

  async #scan(): Promise<Knowledge> {
    const projects = new Map<string, KnownProject>();
    const problems = new Set<string>();
    for (const name of await this.#names()) {
      const known = await this.#read(name).catch((error: unknown) => {
        if (!(error instanceof StoreError)) throw error;
        problems.add(error.message);
        return null;
      });
      if (known !== null) projects.set(name, known);
    }
    for (const detail of problems.difference(this.#reported)) this.#log("error", "project_unusable", { detail });
    this.#reported = problems;
    return { roots: [this.root.certificate.der], projects };
  }

  /** Null for a folder that is not in use: without a CA, or without a uid. A look must not write: the folder may be going away. */
  async #read(name: string): Promise<KnownProject | null> {
    const folder = join(this.#projects, name);
    const pair = await readPair(folder, tlsNames);
    const uid = await readUid(folder);
    if (pair === null || uid === null) return null;
    const checked = checkCertificate(pair.certificate, {
      purpose: this.#purpose(name),
      root: this.root.certificate,
      now: this.#clock.now(),
    });
    if (checked.kind === "problem") throw new StoreError(`${join(folder, tlsNames.certificate)} ${checked.what}`);
    return {
      name,
      uid,
      authorities: [checked.certificate.der],
      authoritiesEnd: checked.certificate.notAfter,
      peers: new Set(linesOf(await readOptional(join(folder, "peers")))),
      denied: linesOf(await readOptional(join(folder, "denied"))).toSorted(),
    };
  }

  /** The namespace's uid; without an API to ask, one is made up at the first use and kept. */
  async #uidOf(folder: string): Promise<string> {
    const known = await readUid(folder);
    if (known !== null) return known;
    await createFile(folder, uidFile, `${randomUUID()}\n`);
    return (await readUid(folder)) ?? this.#uidOf(folder);
  }
}

async function readUid(folder: string): Promise<string | null> {
  const text = await readOptional(join(folder, uidFile));
  if (text !== null && !uidText.test(text.trim())) throw new StoreError(`${join(folder, uidFile)} is not a uid`);
  return text?.trim() ?? null;
}
