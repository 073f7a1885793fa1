/**
 * The directory as a watched file: the newest acceptable document, as a view.
 *
 * A change takes effect within a second, whether the file was renamed into place, written in place or swapped behind a
 * symbolic link (a mounted ConfigMap): the folder is watched, and a poll every 500 ms finds what the watch misses.
 * Whatever is absent, empty, half-written, too large or not acceptable leaves the view in use and is read again on the
 * next change; it is logged once, and only when it is still there at a second look.
 */
import { createHash } from "node:crypto";
import { constants, watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock, Timer } from "../../lib/clock/clock.ts";
import type { Reason } from "../../lib/errors/reasons.ts";
import type { Log } from "../../lib/log/log.ts";
import type { Ip } from "../../lib/net/address.ts";
import { accept } from "../route/accept.ts";
import { classify } from "../route/classify.ts";
import { parseDocument } from "../route/document.ts";
import { buildView } from "../route/policy.ts";
import type { LookUpAnswer, Self, View } from "../route/policy.ts";
import type { DirectoryRefusal, DirectorySource } from "./source.ts";

export type FileSourceOptions = {
  readonly path: string;
  readonly self: Self;
  readonly clock: Clock;
  readonly log: Log;
};

export const largestDocument = 64 * 1024 * 1024;
const pollMs = 500;
const lookUpMs = 2000;
const settleMs = 200;

export function watchDirectoryFile(options: FileSourceOptions): DirectorySource {
  const source = new FileSource(options);
  source.start();
  return source;
}

/** What one look at the file found. `key` tells contents apart. */
type Look =
  | { readonly kind: "unchanged" }
  | { readonly kind: "content"; readonly key: string; readonly text: string }
  | { readonly kind: "refused"; readonly key: string; readonly refusal: DirectoryRefusal };

class FileSource implements DirectorySource {
  readonly #options: FileSourceOptions;
  #view: View | null = null;
  #changed: () => void = () => {};
  #refusal: DirectoryRefusal | null = null;
  #acceptedKey = "";
  /** The content that was refused last, and whether that was logged. */
  #refusedKey = "";
  #refusedLogged = false;
  /** The file's stamp at the last look, since when, and whether a second look at its content is due. */
  #stamp = "";
  #changedAt = 0;
  #lookAgain = false;
  #running: Promise<void> = Promise.resolve();
  #queued: Promise<void> | null = null;
  #watcher: FSWatcher | null = null;
  #timer: Timer | null = null;
  #closed = false;

  constructor(options: FileSourceOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#poll();
  }

  current(): View | null {
    return this.#view;
  }

  onChange(listener: () => void): void {
    this.#changed = listener;
  }

  refusal(): DirectoryRefusal | null {
    return this.#refusal;
  }

  async lookUp(ip: Ip): Promise<LookUpAnswer> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(lookUpMs, resolve);
    await Promise.race([this.#refresh(), late]);
    timer.cancel();
    // A file can say who holds an address, never that nobody does: it may be older than the pod.
    return this.#view !== null && classify(this.#view, ip) !== "unknown" ? "held" : "no-answer";
  }

  /** A file is read whoever we are. */
  renew(): void {}

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#watcher?.close();
    this.#watcher = null;
  }

  async #poll(): Promise<void> {
    // First the watch, then the look: nothing is missed between them.
    if (this.#watcher === null) this.#watchFolder();
    await this.#refresh();
    if (this.#closed) return;
    this.#timer = this.#options.clock.after(pollMs, () => void this.#poll());
  }

  /** The folder may not exist yet, or be replaced: the poll sets the watch again. */
  #watchFolder(): void {
    const drop = (): void => {
      this.#watcher?.close();
      this.#watcher = null;
    };
    try {
      this.#watcher = watch(dirname(this.#options.path), { persistent: false }, () => void this.#refresh());
      this.#watcher.on("error", drop);
    } catch {
      drop();
    }
  }

  /** A look at the file that starts after the call; calls made while one is waiting share it. Never rejects. */
  #refresh(): Promise<void> {
    this.#queued ??= this.#running.then(() => {
      this.#running = this.#queued ?? this.#running;
      this.#queued = null;
      return this.#check();
    });
    return this.#queued;
  }

  async #check(): Promise<void> {
    if (this.#closed) return;
    const look = await this.#look();
    if (this.#closed || look.kind === "unchanged") return;
    if (look.kind === "refused") return this.#refused(look.key, look.refusal);
    if (look.key === this.#acceptedKey) return this.#settled();
    if (look.key === this.#refusedKey) return this.#refused(look.key, this.#refusal!);
    this.#read(look.key, look.text);
  }

  #read(key: string, text: string): void {
    const { self, log } = this.#options;
    const parsed = parseDocument(text);
    if (parsed.kind === "refused") return this.#refused(key, { reason: parsed.reason, problems: parsed.problems });
    const acceptance = accept(parsed.snapshot, this.#view?.snapshot ?? null, self);
    if (acceptance.kind === "refused")
      return this.#refused(key, { reason: acceptance.reason, problems: [acceptance.detail] });
    this.#view = buildView(parsed.snapshot, self);
    this.#acceptedKey = key;
    this.#settled();
    const { mode, dryRun } = this.#view.policy;
    log("info", "directory_accepted", { version: parsed.snapshot.version, mode, dryRun, warnings: parsed.warnings });
    this.#changed();
  }

  #settled(): void {
    this.#refusal = null;
    this.#refusedKey = "";
  }

  /** A document that is being written looks broken at first: only what is still there at the second look is logged. */
  #refused(key: string, refusal: DirectoryRefusal): void {
    this.#refusal = refusal;
    if (key !== this.#refusedKey) {
      this.#refusedKey = key;
      this.#refusedLogged = false;
      this.#seeAgain();
    }
    if (this.#refusedLogged || this.#lookAgain) return;
    this.#refusedLogged = true;
    const { reason, problems } = refusal;
    this.#options.log("warn", "directory_refused", { reason, problems, inUse: this.#view?.snapshot.version ?? null });
  }

  async #look(): Promise<Look> {
    try {
      return await this.#open();
    } catch (error) {
      return this.#nothing("directory_unreadable", (error as NodeJS.ErrnoException).code ?? "unknown");
    }
  }

  async #open(): Promise<Look> {
    // Non-blocking: opening a named pipe would wait for its writer.
    const file = await open(this.#options.path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stat = await file.stat({ bigint: true });
      if (!stat.isFile()) return this.#nothing("directory_unreadable", "not a regular file");
      if (stat.size > largestDocument) return this.#nothing("directory_too_large", `${stat.size} bytes`);
      const stamp = `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;
      return this.#worthReading(stamp) ? await readContent(file, Number(stat.size)) : { kind: "unchanged" };
    } finally {
      await file.close();
    }
  }

  /** A look that found no content: what is told about it is its stamp and its key. */
  #nothing(reason: Reason, detail: string): Look {
    const key = `${reason} ${detail}`;
    return this.#worthReading(key)
      ? { kind: "refused", key, refusal: { reason, problems: [detail] } }
      : { kind: "unchanged" };
  }

  /** A stamp is coarser than a write: what has just changed is looked at once more when it has had time to settle. */
  #worthReading(stamp: string): boolean {
    if (stamp !== this.#stamp) {
      this.#stamp = stamp;
      this.#seeAgain();
      return true;
    }
    if (!this.#lookAgain || this.#options.clock.monotonic() - this.#changedAt < settleMs) return false;
    this.#lookAgain = false;
    return true;
  }

  #seeAgain(): void {
    this.#changedAt = this.#options.clock.monotonic();
    this.#lookAgain = true;
  }
}

/** Reads what the file held when its size was taken; if it has grown since, its stamp has changed too. */
async function readContent(file: FileHandle, size: number): Promise<Look> {
  const buffer = Buffer.allocUnsafe(size);
  let length = 0;
  while (length < size) {
    const { bytesRead } = await file.read(buffer, length, size - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  const bytes = buffer.subarray(0, length);
  const key = createHash("sha256").update(bytes).digest("base64");
  try {
    return { kind: "content", key, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch {
    return { kind: "refused", key, refusal: { reason: "directory_malformed", problems: ["document: not UTF-8"] } };
  }
}
