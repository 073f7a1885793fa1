/** Manifests mean to us what they mean to kubectl, before and after. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readManifests, writeManifest } from "../../../cli/manifests.ts";
import { changes } from "../../../cli/diff.ts";
import { printable } from "../../../cli/printed.ts";
import { manifestOf, plainValues, texts } from "./manifest-values.ts";

const readOne = (text: string): unknown => {
  const [document] = readManifests(text);
  assert.deepEqual(document?.errors, []);
  return document.toJS();
};

for (const [text, read] of plainValues)
  test(`${text} is read as kubectl reads it`, () => assert.equal(readOne(text), read));

test("text is written so that it stays text", () => {
  for (const text of texts) {
    assert.equal(readOne(writeManifest(text)), text);
    assert.deepEqual(readOne(writeManifest({ [text]: [text] })), { [text]: [text] });
  }
});

test("a manifest is the same after it was written", () => {
  const manifest = readOne(manifestOf("X"));
  assert.deepEqual(readOne(writeManifest(manifest)), manifest);
});

test("what is no number in JSON stays so", () => {
  for (const [text, read] of [
    [".inf", Infinity],
    ["-.Inf", -Infinity],
    [".NaN", NaN],
  ] as const) {
    assert.equal(readOne(text), read);
    assert.equal(readOne(writeManifest(read)), read);
  }
});

test("JSON objects one after the other are as many manifests, as to kubectl", () => {
  const [one, other] = ['{"kind": "A", "data": {"x": "}{\\"", "mode": 0400}}', '{"kind": "B"}'];
  const read = (text: string): readonly unknown[] =>
    readManifests(text)
      .filter(({ contents }) => contents !== null)
      .map((document) => {
        assert.deepEqual(document.errors, []);
        return document.toJS() as unknown;
      });
  const both = [{ kind: "A", data: { x: '}{"', mode: 256 } }, { kind: "B" }];
  for (const between of ["", "\n", " \r\n\t", "\n---\n"])
    assert.deepEqual(read(`\n${one}${between}${other}\n`), both, JSON.stringify(between));
  assert.deepEqual(read("{kind: A, data: '}{\"'}"), [{ kind: "A", data: '}{"' }]);
  assert.notDeepEqual(readManifests(`${one} x ${other}`)[0]?.errors, []);
});

test("printed and compared manifests are read in the same way", () => {
  const map = (value: string): string => `kind: A\nmetadata: {name: a}\ndata: {mode: ${value}, more: "no"}\n`;
  assert.match(printable(map("0400"), "x", "install"), /data: { mode: (?:0400|256), more: "no" }/);
  assert.deepEqual(changes(map("0400"), map("256")), []);
  assert.deepEqual(
    changes(map("no"), map('"no"'))[0]?.lines.filter((line) => !line.startsWith(" ")),
    ["-   mode: false", '+   mode: "no"'],
  );
});
