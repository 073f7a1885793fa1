/** docs/reference.md names every label and annotation, where each counts, its values and its default, as the code reads them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { annotations, podMarks, projectLabel } from "../../lib/kube/names.ts";
import { marksOf } from "../../lib/project/marks.ts";
import { readPodSettings, readProjectSettings } from "../../lib/project/settings.ts";
import type { Marked, Reading } from "../../lib/project/settings.ts";

const page = readFileSync(join(import.meta.dirname, "../../docs/reference.md"), "utf8");

type Row = { readonly name: string; readonly values: readonly string[]; readonly fallback: string };

const codes = (cell: string): readonly string[] => [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);

function rowsOf(heading: string): readonly Row[] {
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? assert.fail(heading);
  return section
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => {
      const [, name = "", values = "", fallback = ""] = line.split("|").map((cell) => cell.trim());
      return { name: codes(name)[0]!, values: codes(values), fallback };
    });
}

const namespaceRows = rowsOf("On a namespace");
const podRows = rowsOf("On a pod");
const written = rowsOf("Written by Tencrypt on pods");
const namesOf = (rows: readonly Row[]): readonly string[] => rows.map(({ name }) => name).toSorted();

type Read = (marked: Marked) => Reading<unknown>;
const readProject: Read = (marked) => readProjectSettings(marked, "project");

/** The annotations that a reader asks for. */
function namesRead(read: Read): readonly string[] {
  const names = new Set<string>();
  const recording = new Proxy<Record<string, string>>({}, { get: (_, name: string) => void names.add(name) });
  read({ annotations: recording });
  return [...names].toSorted();
}

describe("docs/reference.md", () => {
  test("names every label and annotation, and no other", () => {
    const known = [projectLabel, ...Object.values(annotations)];
    assert.deepEqual([...new Set([...namesOf(namespaceRows), ...namesOf(podRows)])].toSorted(), known.toSorted());
    assert.deepEqual(namesOf(written), Object.values(podMarks).toSorted());
  });

  test("says where each is read", () => {
    assert.deepEqual(namesOf(namespaceRows), [...namesRead(readProject), projectLabel].toSorted());
    assert.deepEqual(namesOf(podRows), [...namesRead(readPodSettings), annotations.inject].toSorted());
  });

  test("says what means something where, as the check of names reads it", () => {
    const { namespace, pod } = marksOf;
    assert.deepEqual([...namespace.labels, ...namespace.annotations].toSorted(), namesOf(namespaceRows));
    assert.deepEqual(
      [...pod.labels, ...pod.annotations].toSorted(),
      [...namesOf(podRows), ...namesOf(written)].toSorted(),
    );
  });

  for (const [where, rows, read] of [
    ["namespace", namespaceRows, readProject],
    ["pod", podRows, readPodSettings],
  ] as const)
    for (const { name, values } of rows.filter((row) => ![projectLabel, annotations.inject].includes(row.name))) {
      test(`shows values of ${name} on a ${where} that can be read, and no others are`, () => {
        for (const value of values) {
          const { problems } = read({ annotations: { [name]: value } });
          assert.deepEqual(problems, []);
        }
        assert.equal(read({ annotations: { [name]: "no such value!" } }).problems.length, 1);
      });
    }

  test("gives the defaults that hold", () => {
    const { settings } = readProjectSettings({}, "project");
    const fallback = (name: string): readonly string[] =>
      codes(namespaceRows.find((row) => row.name === name)?.fallback ?? "");
    assert.deepEqual(fallback(annotations.udp), [settings.udp]);
    assert.deepEqual(fallback(annotations.defaultInjection), [settings.defaultInjection ? "enabled" : "disabled"]);
    const absent = [settings.dryRun, settings.nodeSources];
    assert.deepEqual(absent, [null, null]);
    const lists = [settings.peers, settings.allowEgress, settings.allowIngress, settings.allowFrom];
    assert.ok(lists.every((list) => list.length === 0));
    assert.equal(readProjectSettings({}, "permissive").settings.mode, "permissive");
  });
});
