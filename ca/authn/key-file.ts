/**
 * The key set in a file, read again whenever the file changes. A bad new content keeps the keys in use and is logged
 * once; a file that is gone leaves no keys at all, so every token is refused until it is back. Nothing is ever made up
 * in its place.
 */
import { statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Log } from "../../lib/log/log.ts";
import { stampOf } from "../store/files.ts";
import { readKeySet } from "./jwks.ts";
import type { BadKeySet, KeySet } from "./jwks.ts";

const largestFile = 1_048_576;

export class KeyFile {
  readonly #path: string;
  readonly #log: Log;
  #seen = "";
  #current: KeySet | BadKeySet = { kind: "unusable", detail: "not read yet" };

  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  /** The keys as of now. */
  async keys(): Promise<KeySet | BadKeySet> {
    try {
      // An inode at hand takes 1 us; a promise for it takes 65 of CPU, and every token asks.
      const file = statSync(this.#path);
      const version = stampOf(file);
      if (version !== this.#seen) {
        this.#accept(
          file.size > largestFile
            ? { kind: "unusable", detail: "larger than 1 MiB" }
            : readKeySet(await readFile(this.#path, "utf8")),
        );
        this.#seen = version;
      }
    } catch (error) {
      this.#seen = "";
      this.#current = {
        kind: "unusable",
        detail: `cannot be read: ${(error as NodeJS.ErrnoException).code ?? "unknown"}`,
      };
    }
    return this.#current;
  }

  #accept(next: KeySet | BadKeySet): void {
    if (next.kind === "keys") {
      this.#current = next;
      this.#log("info", "token_keys_loaded", { keys: next.keys.length });
      return;
    }
    const kept = this.#current.kind === "keys";
    if (!kept) this.#current = next;
    this.#log("error", "token_keys_refused", { detail: next.detail, keptOld: kept });
  }
}
