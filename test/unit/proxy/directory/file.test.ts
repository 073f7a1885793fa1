/** The watched directory file, with real files and a clock that stands still: what takes effect does so by the watch. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import type { Fields } from "../../../../lib/log/log.ts";
import type { View } from "../../../../proxy/route/policy.ts";
import { largestDocument, watchDirectoryFile } from "../../../../proxy/directory/file.ts";
import type { DirectorySource } from "../../../../proxy/directory/source.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import type { ManualClock } from "../../../clock/manual-clock.ts";
import { baseDocument, ip, self } from "../route/world.ts";
import type { Json } from "../route/world.ts";

const documentText = (version: number, change: Json = {}): string =>
  JSON.stringify({ ...baseDocument(), version, ...change });

type Stage = {
  readonly folder: string;
  readonly path: string;
  readonly clock: ManualClock;
  readonly source: DirectorySource;
  readonly lines: { event: string; fields: Fields }[];
  /** Resolves when the version is in use. */
  inUse(version: number): Promise<View>;
  /** Resolves when the file has been looked at after the call. */
  looked(): Promise<void>;
};

const nobody = ip("10.0.0.99");

/** A folder with the file in it (`content` null: without), watched. */
function stage(t: TestContext, content: string | null, below = ""): Stage {
  const folder = mkdtempSync(join(tmpdir(), "directory-"));
  const path = join(folder, below, "directory.json");
  if (content !== null) writeFileSync(path, content);
  const clock = manualClock();
  const lines: Stage["lines"] = [];
  const waiting = new Map<number, PromiseWithResolvers<View>>();
  const versionInUse = (version: number): PromiseWithResolvers<View> => {
    const known = waiting.get(version) ?? Promise.withResolvers<View>();
    waiting.set(version, known);
    return known;
  };
  const source = watchDirectoryFile({
    path,
    self,
    clock,
    log: (_level, event, fields = {}) => lines.push({ event, fields }),
  });
  source.onChange(() => {
    const view = source.current()!;
    versionInUse(view.snapshot.version).resolve(view);
  });
  // Neither the watch nor the standing clock keeps the process alive.
  const alive = setTimeout(() => {}, 60_000);
  t.after(() => {
    clearTimeout(alive);
    source.close();
    rmSync(folder, { recursive: true });
  });
  return {
    folder,
    path,
    clock,
    source,
    lines,
    inUse: (version) => versionInUse(version).promise,
    looked: async () => void (await source.lookUp(nobody, false)),
  };
}

const refusals = (at: Stage): string[] =>
  at.lines.filter((line) => line.event === "directory_refused").map((line) => String(line.fields["reason"]));

/** Two looks at what is there, far enough apart for the second to count. */
async function lookTwice(at: Stage): Promise<void> {
  await at.looked();
  at.clock.advance(500);
  await at.looked();
}

const soon = { timeout: 10_000 };

describe("a document takes effect", () => {
  test("when it is there at the start", soon, async (t) => {
    const at = stage(t, documentText(1));
    assert.equal(at.source.current(), null);
    const view = await at.inUse(1);
    assert.equal(at.source.current(), view);
    assert.equal(at.source.refusal(), null);
  });
  test("when it appears later", soon, async (t) => {
    const at = stage(t, null);
    await at.looked();
    assert.deepEqual(at.source.refusal(), { reason: "directory_unreadable", problems: ["ENOENT"] });
    writeFileSync(at.path, documentText(1));
    await at.inUse(1);
    assert.equal(at.source.refusal(), null);
  });
  test("when it is written in place", soon, async (t) => {
    const at = stage(t, documentText(1));
    await at.inUse(1);
    writeFileSync(at.path, documentText(22));
    await at.inUse(22);
  });
  test("when it is renamed into place", soon, async (t) => {
    const at = stage(t, documentText(1));
    await at.inUse(1);
    writeFileSync(`${at.path}.new`, documentText(2));
    renameSync(`${at.path}.new`, at.path);
    await at.inUse(2);
  });
  test("when a mounted ConfigMap swaps the link to its data", soon, async (t) => {
    const at = stage(t, null);
    for (const version of [1, 2]) {
      const data = join(at.folder, `..data-${version}`);
      mkdirSync(data);
      writeFileSync(join(data, "directory.json"), documentText(version));
      symlinkSync(data, join(at.folder, "..data.new"));
      renameSync(join(at.folder, "..data.new"), join(at.folder, "..data"));
      if (version === 1) symlinkSync(join("..data", "directory.json"), at.path);
      await at.inUse(version);
    }
  });
  test("by the poll within 500 ms where no watch could be set", soon, async (t) => {
    const at = stage(t, null, "later");
    await at.looked();
    mkdirSync(join(at.folder, "later"));
    writeFileSync(at.path, documentText(1));
    at.clock.advance(500);
    await at.inUse(1);
    // The watch is set by now.
    writeFileSync(at.path, documentText(22));
    await at.inUse(22);
  });
  test("also when a write leaves size and time of the file as they were", soon, async (t) => {
    const at = stage(t, documentText(1));
    await at.inUse(1);
    for (let version = 2; version <= 9; version++) {
      writeFileSync(at.path, documentText(version));
      at.clock.advance(500);
      await at.inUse(version);
    }
  });
});

describe("a document that cannot be used leaves the one in use", () => {
  const without = (list: "projects" | "workloads"): Json => ({ [list]: baseDocument()[list].slice(1) });
  const cases: Readonly<Record<string, readonly [content: string | Buffer, reason: string, problem: string]>> = {
    empty: ["", "directory_malformed", "document: not JSON"],
    "half-written": [documentText(9).slice(0, 900), "directory_malformed", "document: not JSON at position 900"],
    "not UTF-8": [Buffer.from([0x7b, 0xff, 0x7d]), "directory_malformed", "document: not UTF-8"],
    "with a wrong field": [documentText(9, { services: 1 }), "directory_malformed", "services: expected a list"],
    "with a feature unknown here": [
      documentText(9, { requires: ["x"] }),
      "directory_requires_unknown_feature",
      'requires[0]: "x" is not known here',
    ],
    "with a lower version": [documentText(4), "directory_not_newer", "version 4 after 5"],
    "with the same version and other content": [
      documentText(5, { nodeAddresses: [] }),
      "directory_not_newer",
      "version 5 after 5",
    ],
    "without the own project": [documentText(9, without("projects")), "directory_lacks_own_project", "shop"],
    "without the own addresses": [documentText(9, without("workloads")), "directory_lacks_own_address", "10.0.0.2"],
  };
  for (const [name, [content, reason, problem]] of Object.entries(cases)) {
    test(name, soon, async (t) => {
      const at = stage(t, documentText(5));
      const view = await at.inUse(5);
      writeFileSync(at.path, content);
      await lookTwice(at);
      assert.equal(at.source.current(), view);
      assert.deepEqual(at.source.refusal(), { reason, problems: [problem] });
      assert.deepEqual(at.lines.at(-1), {
        event: "directory_refused",
        fields: { reason, problems: [problem], inUse: 5 },
      });
      // The next good one is taken.
      writeFileSync(at.path, documentText(1_000));
      await at.inUse(1_000);
      assert.equal(at.source.refusal(), null);
    });
  }
  test("larger than 64 MiB", soon, async (t) => {
    const at = stage(t, documentText(5));
    await at.inUse(5);
    truncateSync(at.path, largestDocument + 1);
    await lookTwice(at);
    assert.deepEqual(refusals(at), ["directory_too_large"]);
  });
  test("taken away", soon, async (t) => {
    const at = stage(t, documentText(5));
    const view = await at.inUse(5);
    rmSync(at.path);
    await lookTwice(at);
    assert.deepEqual(refusals(at), ["directory_unreadable"]);
    assert.equal(at.source.current(), view);
  });
  test("replaced by a folder, or by a pipe that nobody writes to", soon, async (t) => {
    for (const make of [(path: string) => mkdirSync(path), (path: string) => execFileSync("mkfifo", [path])]) {
      const at = stage(t, null);
      make(at.path);
      await at.looked();
      assert.deepEqual(at.source.refusal(), { reason: "directory_unreadable", problems: ["not a regular file"] });
    }
  });
});

describe("a refusal is logged", () => {
  test("once for each content, however often it is looked at", soon, async (t) => {
    const at = stage(t, "{");
    for (let look = 0; look < 5; look++) await lookTwice(at);
    assert.deepEqual(refusals(at), ["directory_malformed"]);
    writeFileSync(at.path, "[[");
    for (let look = 0; look < 5; look++) await lookTwice(at);
    assert.deepEqual(refusals(at), ["directory_malformed", "directory_malformed"]);
  });
  test("not while the document is still being written", soon, async (t) => {
    const at = stage(t, documentText(1));
    await at.inUse(1);
    const text = documentText(22);
    for (let length = 0; length < text.length; length += 500) {
      writeFileSync(at.path, text.slice(0, length));
      await at.looked();
    }
    writeFileSync(at.path, text);
    await at.inUse(22);
    await lookTwice(at);
    assert.deepEqual(refusals(at), []);
  });
  test("never for the content that is in use, when it comes back", soon, async (t) => {
    const at = stage(t, documentText(5));
    await at.inUse(5);
    writeFileSync(at.path, "{");
    await lookTwice(at);
    writeFileSync(at.path, documentText(5));
    await lookTwice(at);
    assert.equal(at.source.refusal(), null);
    assert.deepEqual(refusals(at), ["directory_malformed"]);
  });
});

describe("a look-up", () => {
  test("reads the document anew and finds a pod that has just appeared", soon, async (t) => {
    const at = stage(t, documentText(1));
    await at.inUse(1);
    assert.equal(await at.source.lookUp(nobody, false), "no-answer");
    const document = baseDocument();
    const workloads = [
      ...document.workloads,
      { ...document.workloads[1], uid: "uid-new", pod: "new-1", ips: [nobody] },
    ];
    writeFileSync(at.path, documentText(2, { workloads }));
    const answers = await Promise.all(Array.from({ length: 100 }, () => at.source.lookUp(nobody, false)));
    assert.deepEqual(new Set(answers), new Set(["held"]));
  });
  test("answers before the first document", soon, async (t) => {
    const at = stage(t, null);
    assert.equal(await at.source.lookUp(nobody, false), "no-answer");
  });
  test("leaves no timer behind", soon, async (t) => {
    const at = stage(t, documentText(1));
    await at.inUse(1);
    await Promise.all([at.source.lookUp(nobody, false), at.source.lookUp(nobody, false)]);
    assert.equal(at.clock.pending, 1, "the poll alone");
  });
});

test("after close nothing is read and no timer is left", soon, async (t) => {
  const at = stage(t, documentText(1));
  await at.inUse(1);
  at.source.close();
  writeFileSync(at.path, documentText(22));
  await lookTwice(at);
  assert.equal(at.source.current()?.snapshot.version, 1);
  assert.equal(at.clock.pending, 0);
});
