/**
 * The store in Secrets of the ca's own namespace, shared by all replicas:
 *
 *   tencrypt-root, tencrypt-control-plane    kubernetes.io/tls: `tls.crt`, `tls.key` (the layout of cert-manager)
 *   tencrypt-project.<name>                  the same, and `uid` of the namespace, `denied`: uids of revoked pods
 *   tencrypt-bundle                          ConfigMap: `version` and `digest` of the newest state
 *   tencrypt-root                            ConfigMap: `ca.crt`, for whoever has to trust the root
 *
 * What is absent is made by whoever creates it first; the others read that one. A namespace that was made again gets a new
 * CA in place of the old, and so does one whose CA has ended, or has lost its uid: nothing that it issued is valid any
 * more, and who was denied stays denied. The control-plane
 * CA is replaced at half of its life: it is believed for what it says under the root and stands in no list, so the old and
 * the new one are good side by side. What is damaged is reported by name and never replaced.
 */
import type { Clock } from "../../lib/clock/clock.ts";
import { isStatus, KubeError } from "../../lib/kube/client.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { Informer } from "../../lib/kube/informer.ts";
import { listAll } from "../../lib/kube/list.ts";
import { annotations, projectLabel, projectSecretLabel, rootSecret } from "../../lib/kube/names.ts";
import type { Namespace, Secret } from "../../lib/kube/objects.ts";
import type { Log } from "../../lib/log/log.ts";
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";
import { newAuthority, newRoot } from "../issue/authority.ts";
import type { AuthorityPurpose } from "../issue/profile.ts";
import { checkPair, stageOf } from "./authority.ts";
import type { SigningAuthority, Stage } from "./authority.ts";
import { StoreError } from "./files.ts";
import type { Pair } from "./files.ts";
import { knowledgeOf, projectSecret } from "./kubernetes-knowledge.ts";
import type { HeldCertificates } from "./kubernetes-knowledge.ts";
import { numberKnowledge, publishRoot } from "./kubernetes-versions.ts";
import type { ProjectIssuer, Published, Store } from "./store.ts";

export type KubernetesStoreSettings = {
  readonly namespace: string;
  readonly trustDomain: string;
  /** Name of the root's Secret where somebody else makes it; null: ours. */
  readonly broughtRoot: string | null;
};
export type KubernetesStoreParts = { readonly client: KubeClient; readonly clock: Clock; readonly log: Log };

const controlPlaneSecret = "tencrypt-control-plane";

const decoded = (secret: Secret, key: string): string => Buffer.from(secret.data?.[key] ?? "", "base64").toString();
export const pairOf = (secret: Secret): Pair => ({
  certificate: decoded(secret, "tls.crt"),
  key: decoded(secret, "tls.key"),
});
const dataOf = ({ certificate, key }: Pair): Record<string, string> => ({
  "tls.crt": Buffer.from(certificate).toString("base64"),
  "tls.key": Buffer.from(key).toString("base64"),
});

/** Every failure of the API is the store's, so that callers need to know one kind of error only. */
export async function asStoreError<T>(operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    if (error instanceof KubeError) throw new StoreError(error.message);
    throw error;
  }
}

export async function openKubernetes(settings: KubernetesStoreSettings, parts: KubernetesStoreParts): Promise<Store> {
  const secrets = new Secrets(settings, parts);
  const root = await asStoreError(secrets.root());
  const controlPlane = await asStoreError(secrets.controlPlane(root));
  await asStoreError(publishRoot(parts.client, settings.namespace, root));
  return new KubernetesStore(settings, parts, { secrets, root, controlPlane });
}

type Made = { readonly name: string; readonly data: Readonly<Record<string, string>>; readonly labels?: object };

/**
 * Who was revoked stays so under another CA; a namespace that was made again has none of the old one's pods. No uid: somebody
 * took it away to have the CA replaced.
 */
function keepingDenied(made: Made, old: Secret, uid: string): Made {
  const denied = old.data?.["denied"];
  const isSame = ["", uid].includes(decoded(old, "uid"));
  return denied === undefined || !isSame ? made : { ...made, data: { ...made.data, denied } };
}

/** Secrets by name: read, or made once. */
class Secrets {
  readonly #settings: KubernetesStoreSettings;
  readonly #parts: KubernetesStoreParts;
  readonly path: string;

  constructor(settings: KubernetesStoreSettings, parts: KubernetesStoreParts) {
    this.#settings = settings;
    this.#parts = parts;
    this.path = `/api/v1/namespaces/${settings.namespace}/secrets`;
  }

  /** A new root would make everything worthless that an earlier one issued: that is the operator's decision. */
  async root(): Promise<SigningAuthority> {
    const { broughtRoot } = this.#settings;
    const present = await this.read(broughtRoot ?? rootSecret);
    if (present !== null) return this.#checked(present, null, null);
    if (broughtRoot !== null)
      throw new StoreError(`Secret ${broughtRoot} is missing: it was named as the root that somebody else brings`);
    const left = await this.#issued();
    // Another replica may have made the root meanwhile, and what it issues.
    if (left !== null && (await this.read(rootSecret)) === null)
      throw new StoreError(
        `Secret ${rootSecret} is missing but ${left} is there: restore the root, or delete what it issued`,
      );
    const secret = await this.orMade(rootSecret, () => ({
      name: rootSecret,
      data: dataOf(newRoot(this.#parts.clock.now())),
    }));
    return this.#checked(secret, null, null);
  }

  /** The name of one that holds what a root has issued. */
  async #issued(): Promise<string | null> {
    if ((await this.read(controlPlaneSecret)) !== null) return controlPlaneSecret;
    const [project] = await listAll<Secret>(this.#parts.client, this.path, projectSecretLabel);
    return project?.metadata.name ?? null;
  }

  async controlPlane(root: SigningAuthority): Promise<SigningAuthority> {
    const purpose = { kind: "control-plane", trustDomain: this.#settings.trustDomain } as const;
    const make = (): Made => ({
      name: controlPlaneSecret,
      data: dataOf(newAuthority(purpose, root, this.#parts.clock.now())),
    });
    let secret = await this.orMade(controlPlaneSecret, make);
    // Whoever is first decides, the others read.
    if (["old", "ended"].includes(this.#stage(secret, purpose, root))) secret = await this.#replaced(secret, make());
    return this.#checked(secret, purpose, root);
  }

  async project(project: string, uid: string, root: SigningAuthority): Promise<SigningAuthority> {
    const purpose: AuthorityPurpose = { kind: "project", trustDomain: this.#settings.trustDomain, project };
    const name = projectSecret(project);
    const make = (): Made => ({
      name,
      data: {
        ...dataOf(newAuthority(purpose, root, this.#parts.clock.now())),
        uid: Buffer.from(uid).toString("base64"),
      },
      labels: { [projectSecretLabel]: project },
    });
    let secret = await this.orMade(name, make);
    // The namespace was made again: the CA of the old one goes. Whoever is first decides, the others read.
    const isOver = decoded(secret, "uid") !== uid || this.#stage(secret, purpose, root) === "ended";
    if (isOver) secret = await this.#replaced(secret, keepingDenied(make(), secret, uid));
    if (decoded(secret, "uid") !== uid) throw new StoreError(`Secret ${name} is of another uid of the namespace`);
    return this.#checked(secret, purpose, root);
  }

  read(name: string): Promise<Secret | null> {
    return this.#parts.client.find<Secret>(`${this.path}/${name}`);
  }

  async orMade(name: string, make: () => Made): Promise<Secret> {
    const found = await this.read(name);
    if (found !== null) return found;
    try {
      return await this.#parts.client.create<Secret>(this.path, this.#object(make()));
    } catch (error) {
      if (!isStatus(error, 409)) throw error;
    }
    const made = await this.read(name);
    if (made === null) throw new StoreError(`Secret ${name} disappeared while it was made`);
    return made;
  }

  async #replaced(old: Secret, made: Made): Promise<Secret> {
    const body = this.#object(made);
    try {
      return await this.#parts.client.replace<Secret>(`${this.path}/${made.name}`, {
        ...body,
        metadata: { ...body.metadata, resourceVersion: old.metadata.resourceVersion },
      });
    } catch (error) {
      if (!isStatus(error, 404, 409)) throw error;
      return (await this.read(made.name)) ?? old;
    }
  }

  #object({ name, data, labels = {} }: Made): { readonly metadata: object; readonly [field: string]: unknown } {
    const metadata = { name, labels: { "app.kubernetes.io/part-of": "tencrypt", ...labels } };
    return { apiVersion: "v1", kind: "Secret", type: "kubernetes.io/tls", metadata, data };
  }

  #checked(secret: Secret, purpose: AuthorityPurpose | null, root: SigningAuthority | null): SigningAuthority {
    const expectation = { purpose, root: root?.certificate ?? null, now: this.#parts.clock.now() };
    const checked = checkPair(pairOf(secret), expectation);
    if (checked.kind === "checked") return checked.authority;
    const file = checked.file === "certificate" ? "tls.crt" : "tls.key";
    const hint = checked.isOfAnotherRoot === true ? this.#rootHint() : "";
    throw new StoreError(`${file} of Secret ${secret.metadata.name} ${checked.what}${hint}`);
  }

  #stage(secret: Secret, purpose: AuthorityPurpose, root: SigningAuthority): Stage {
    return stageOf(pairOf(secret), { purpose, root: root.certificate, now: this.#parts.clock.now() });
  }

  #rootHint(): string {
    const { namespace, broughtRoot } = this.#settings;
    const deletion = `kubectl -n ${namespace} delete secret`;
    return (
      `: it was issued under another root than that in Secret ${broughtRoot ?? rootSecret}. ` +
      `Bring the earlier root back, or, if the new one is meant: stop all replicas of the ca, ` +
      `${deletion} ${controlPlaneSecret}; ${deletion} -l ${projectSecretLabel}; start them, and restart every ` +
      `protected pod (docs/operations.md, A new root)`
    );
  }
}

type Opened = {
  readonly secrets: Secrets;
  readonly root: SigningAuthority;
  readonly controlPlane: SigningAuthority;
};

const peersOf = ({ metadata }: Namespace): string | undefined => metadata.annotations?.[annotations.peers];

/** All that a look reads of a namespace. */
function asKnown({ metadata }: Namespace): Namespace {
  const { name, uid, resourceVersion, annotations: written } = metadata;
  const peers = written?.[annotations.peers];
  const kept = peers === undefined ? {} : { annotations: { [annotations.peers]: peers } };
  return { metadata: { name, uid, resourceVersion, ...kept } };
}

class KubernetesStore implements Store {
  readonly root: SigningAuthority;
  #controlPlane: SigningAuthority;
  readonly #settings: KubernetesStoreSettings;
  readonly #parts: KubernetesStoreParts;
  readonly #secrets: Secrets;
  /** By project; one that a Secret's change has made doubtful is forgotten. */
  readonly #issuers = new Map<string, ProjectIssuer>();
  /** Changes of Secrets that the watch has told of. */
  #changes = 0;
  /** One issuer is made at a time. */
  readonly #making = new Map<string, Promise<ProjectIssuer>>();
  /** Problems already logged, so that a look does not repeat them. */
  #reported: ReadonlySet<string> = new Set();
  #held: HeldCertificates = new Map();

  constructor(settings: KubernetesStoreSettings, parts: KubernetesStoreParts, opened: Opened) {
    this.#settings = settings;
    this.#parts = parts;
    this.#secrets = opened.secrets;
    this.root = opened.root;
    this.#controlPlane = opened.controlPlane;
  }

  get controlPlane(): SigningAuthority {
    return this.#controlPlane;
  }

  async renewControlPlane(): Promise<void> {
    const { log } = this.#parts;
    try {
      const { certificate, ...rest } = await asStoreError(this.#secrets.controlPlane(this.root));
      if (Buffer.compare(certificate.der, this.#controlPlane.certificate.der) === 0) return;
      this.#controlPlane = { certificate, ...rest };
      log("info", "control_plane_ca_replaced", { notAfter: new Date(certificate.notAfter).toISOString() });
    } catch (error) {
      // Whatever it is: the one in use is good for as long again, and tomorrow is another look.
      log("error", "control_plane_ca_kept", { detail: error instanceof Error ? error.message : String(error) });
    }
  }

  async issuerOf(project: string, namespaceUid: string | null): Promise<ProjectIssuer | Denial> {
    if (namespaceUid === null) return denial("issuer_unusable", "the namespace's uid is not known");
    const cached = this.#issuers.get(project);
    const isLive = cached !== undefined && this.#parts.clock.now() < cached.authority.certificate.notAfter;
    if (isLive && cached.uid === namespaceUid) return cached;
    const key = `${project}/${namespaceUid}`;
    const making = this.#making.get(key) ?? this.#make(project, namespaceUid).finally(() => this.#making.delete(key));
    this.#making.set(key, making);
    try {
      return await making;
    } catch (error) {
      if (error instanceof KubeError) return denial("store_unavailable", error.message);
      if (error instanceof StoreError) return denial("issuer_unusable", error.message);
      throw error;
    }
  }

  async #make(project: string, uid: string): Promise<ProjectIssuer> {
    const before = this.#changes;
    const authority = await this.#secrets.project(project, uid, this.root);
    const issuer: ProjectIssuer = { kind: "issuer", uid, authority };
    // What was read may be older than a change that was told meanwhile, and nothing would tell of that again.
    if (this.#changes === before) this.#issuers.set(project, issuer);
    return issuer;
  }

  /** Read from the API server's own store, not from what a watch has brought: no state goes back behind a published one. */
  async publish(atLeast: bigint): Promise<Published> {
    const { client, clock, log } = this.#parts;
    const surroundings = { root: this.root, trustDomain: this.#settings.trustDomain, now: clock.now() };
    return asStoreError(
      numberKnowledge(client, this.#settings.namespace, { atLeast, now: clock.now() }, async () => {
        const [namespaces, secrets] = await Promise.all([
          listAll<Namespace>(client, "/api/v1/namespaces", `${projectLabel}=enabled`),
          listAll<Secret>(client, this.#secrets.path, projectSecretLabel),
        ]);
        const look = knowledgeOf({ namespaces, secrets }, { ...surroundings, held: this.#held });
        const { knowledge, problems } = look;
        this.#held = look.held;
        for (const detail of problems) if (!this.#reported.has(detail)) log("error", "project_unusable", { detail });
        this.#reported = new Set(problems);
        return knowledge;
      }),
    );
  }

  watch(changed: () => void): () => void {
    const { client, clock, log } = this.#parts;
    // What went between the first look and the first list is in no change.
    let isDue = true;
    const namespaces = new Informer<Namespace>({
      client,
      clock,
      log,
      path: "/api/v1/namespaces",
      query: `labelSelector=${encodeURIComponent(`${projectLabel}=enabled`)}`,
      keep: asKnown,
      onChange: (change) => (isDue ||= change.kind !== "updated" || peersOf(change.old) !== peersOf(change.object)),
      // Others write much into namespaces, and a look lists them all.
      onBatch: () => {
        if (isDue) changed();
        isDue = false;
      },
    });
    const secrets = new Informer<Secret>({
      client,
      clock,
      log,
      path: this.#secrets.path,
      query: `labelSelector=${encodeURIComponent(projectSecretLabel)}`,
      // Keys are read when they are needed, and not kept here.
      keep: ({ metadata }) => ({ metadata }),
      onChange: ({ object }) => {
        this.#changes++;
        this.#issuers.delete(object.metadata.labels?.[projectSecretLabel] ?? "");
      },
      onBatch: changed,
    });
    namespaces.start();
    secrets.start();
    return () => {
      namespaces.close();
      secrets.close();
    };
  }
}
