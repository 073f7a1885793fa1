/**
 * As much of an API server as the ca's store needs: objects by path with versions, lists by label, watches. What a test does
 * between two answers, `held` shows: an answer waits, as read, until the test lets it go.
 */
import { Readable } from "node:stream";
import type { Clock } from "../../../lib/clock/clock.ts";
import { KubeError } from "../../../lib/kube/client.ts";
import type { Json, KubeClient } from "../../../lib/kube/client.ts";
import type { Log } from "../../../lib/log/log.ts";
import { silent } from "../../../lib/log/log.ts";
import { openKubernetes } from "../../../ca/store/kubernetes.ts";
import type { Store } from "../../../ca/store/store.ts";

type Metadata = {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels?: Readonly<Record<string, string>>;
};
export type Stored = Json & { readonly metadata: Metadata; readonly data?: Readonly<Record<string, string>> };
type Given = Json & { readonly metadata: Json & { readonly name: string } };

export const encoded = (text: string): string => Buffer.from(text).toString("base64");
export const decoded = (object: Stored | null, key: string): string =>
  Buffer.from(object?.data?.[key] ?? "", "base64").toString();

const ofCa = (kind: string): string => `/api/v1/namespaces/tencrypt-ca/${kind}`;
export const bundlePath = `${ofCa("configmaps")}/tencrypt-bundle`;
export const secretPath = (project: string): string => `${ofCa("secrets")}/tencrypt-project.${project}`;

const refusal = (what: string, code: number, reason: string): KubeError => new KubeError(what, code, reason, "fake");

export class FakeKube {
  readonly server = "fake";
  readonly #objects = new Map<string, Stored>();
  readonly #watches = new Set<{ readonly collection: string; readonly lines: Readable }>();
  readonly #history: { readonly collection: string; readonly version: number; readonly line: string }[] = [];
  readonly #held = new Map<string, Promise<void>>();
  #version = 1;

  /** The client that the store takes. */
  get client(): KubeClient {
    return this as unknown as KubeClient;
  }

  project(name: string, uid: string): void {
    this.put(`/api/v1/namespaces/${name}`, { metadata: { name, uid, labels: { "tencrypt.io/project": "enabled" } } });
  }

  put(path: string, object: Json & { readonly metadata: Json }): Stored {
    const old = this.#objects.get(path);
    const version = String(++this.#version);
    const metadata = { uid: old?.metadata.uid ?? `uid-${version}`, ...object.metadata, resourceVersion: version };
    const stored = { ...object, metadata } as unknown as Stored;
    this.#objects.set(path, stored);
    this.#tell(path, old === undefined ? "ADDED" : "MODIFIED", stored);
    return stored;
  }

  remove(path: string): void {
    const old = this.#objects.get(path);
    if (old === undefined || !this.#objects.delete(path)) return;
    const metadata = { ...old.metadata, resourceVersion: String(++this.#version) };
    this.#tell(path, "DELETED", { ...old, metadata });
  }

  peek(path: string): Stored | null {
    return this.#objects.get(path) ?? null;
  }

  /** The answers to reads of this path wait until the returned function is called. */
  hold(path: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held.set(path, promise);
    return () => {
      this.#held.delete(path);
      resolve();
    };
  }

  async get(path: string): Promise<unknown> {
    const [collection, query = ""] = path.split("?");
    if (/\/(?:secrets|namespaces|configmaps)$/.test(collection!)) return this.#list(collection!, query);
    const found = this.#objects.get(path);
    await this.#held.get(path);
    if (found === undefined) throw refusal(`GET ${path}`, 404, "NotFound");
    return found;
  }

  async find(path: string): Promise<unknown> {
    return this.get(path).catch((error: KubeError) => {
      if (error.code === 404) return null;
      throw error;
    });
  }

  async create(path: string, body: Given): Promise<Stored> {
    const at = `${path}/${body.metadata.name}`;
    if (this.#objects.has(at)) throw refusal(`POST ${path}`, 409, "AlreadyExists");
    return this.put(at, body);
  }

  async replace(path: string, body: Given): Promise<Stored> {
    const old = this.#objects.get(path);
    if (old === undefined) throw refusal(`PUT ${path}`, 404, "NotFound");
    if (body.metadata["resourceVersion"] !== old.metadata.resourceVersion)
      throw refusal(`PUT ${path}`, 409, "Conflict");
    return this.put(path, body);
  }

  async patch(path: string, { data }: { readonly data: Json }): Promise<Stored> {
    const old = this.#objects.get(path)!;
    return this.put(path, { ...old, data: { ...old.data, ...data } });
  }

  async open(path: string): Promise<Readable> {
    const [collection, query] = path.split("?");
    const since = Number(new URLSearchParams(query).get("resourceVersion"));
    const watch = { collection: collection!, lines: new Readable({ read: () => {} }) };
    for (const { collection: of, version, line } of this.#history)
      if (of === collection && version > since) watch.lines.push(line);
    this.#watches.add(watch);
    watch.lines.once("close", () => this.#watches.delete(watch));
    return watch.lines;
  }

  #list(collection: string, query: string): unknown {
    const [label = "", value] = (new URLSearchParams(query).get("labelSelector") ?? "").split("=");
    const fits = ({ metadata }: Stored): boolean =>
      label === "" || (value === undefined ? label in (metadata.labels ?? {}) : metadata.labels?.[label] === value);
    const items = [...this.#objects]
      .filter(([path]) => collectionOf(path) === collection)
      .map(([, object]) => object)
      .filter(fits);
    return { metadata: { resourceVersion: String(this.#version) }, items };
  }

  #tell(path: string, type: string, object: Stored): void {
    const line = `${JSON.stringify({ type, object })}\n`;
    const collection = collectionOf(path);
    this.#history.push({ collection, version: this.#version, line });
    for (const watch of this.#watches) if (watch.collection === collection) watch.lines.push(line);
  }
}

const collectionOf = (path: string): string => path.slice(0, path.lastIndexOf("/"));

export const openStore = (kube: FakeKube, clock: Clock, log: Log = silent): Promise<Store> =>
  openKubernetes(
    { namespace: "tencrypt-ca", trustDomain: "cluster.local", broughtRoot: null },
    { client: kube.client, clock, log },
  );
