/**
 * The last state, kept in a memory-backed folder of the pod so that a proxy that was started anew goes on where it was
 * while the controller is away. Holds addresses and rules, no key. A file that cannot be read is as good as none.
 */
import { readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DirectoryDocument } from "../../lib/directory/document.ts";
import { documentOf, restoreKnowledge } from "./knowledge.ts";
import type { Applied, Knowledge, Refused } from "./knowledge.ts";

const fileName = "directory.json";
const format = 1;
const largest = 64 * 1024 * 1024;

type Content = {
  readonly format: number;
  readonly version: string;
  readonly resume: string;
  readonly revisions: readonly { readonly kind: string; readonly resourceVersion: string }[];
  readonly document: DirectoryDocument;
};

export type Kept = Applied | Refused | { readonly kind: "none" };

export async function readKept(folder: string): Promise<Kept> {
  const path = join(folder, fileName);
  try {
    if ((await stat(path)).size > largest) return refusal(`larger than ${largest} bytes`);
    const content = JSON.parse(await readFile(path, "utf8")) as Content;
    if (content.format !== format) return refusal(`of format ${String(content.format).slice(0, 20)}`);
    const revisions = content.revisions.map(({ kind, resourceVersion }) => ({
      kind,
      resourceVersion: BigInt(resourceVersion),
    }));
    const head = { version: BigInt(content.version), resume: content.resume, revisions };
    return restoreKnowledge(head, content.document);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? { kind: "none" } : refusal((error as Error).message);
  }
}

const refusal = (problem: string): Refused => ({
  kind: "refused",
  reason: "directory_unreadable",
  problems: [`${fileName}: ${problem}`],
});

/** Renamed into place: a process that is ended while it writes leaves the state before. */
export async function writeKept(folder: string, knowledge: Knowledge): Promise<void> {
  const content: Content = {
    format,
    version: knowledge.version.toString(),
    resume: knowledge.resume,
    revisions: knowledge.revisions.map(({ kind, resourceVersion }) => ({
      kind,
      resourceVersion: resourceVersion.toString(),
    })),
    document: documentOf(knowledge),
  };
  const path = join(folder, fileName);
  await writeFile(`${path}.new`, JSON.stringify(content), { mode: 0o600 });
  await rename(`${path}.new`, path);
}
