/**
 * The pages point at what is there: every relative link, heading behind `#` and path in backquotes exists in the tree,
 * and the file that the glossary names for a word has it.
 */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, test } from "node:test";

const root = join(import.meta.dirname, "../..");
const pages = globSync(["*.md", "docs/**/*.md"], { cwd: root }).toSorted();
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** Examples are no pointers. */
const prose = (page: string): string => page.replaceAll(/^ *```[^`]*^ *```/gm, "");

const folders = "bench|build|ca|demo|docs|init|lib|proxy|test";
const backquoted = new RegExp(`\`((?:${folders})/[a-z0-9./-]*)\``, "g");

/** As GitHub makes anchors of headings. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9 _-]/g, "")
    .replaceAll(" ", "-");
const anchors = (path: string): string[] =>
  [...prose(read(path)).matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1]!));

function isThere(page: string, link: string): boolean {
  const [path = "", anchor] = link.split("#");
  const target = path === "" ? page : relative(root, join(root, dirname(page), path));
  if (!existsSync(join(root, target))) return false;
  return anchor === undefined || anchors(target).includes(anchor);
}

test("a link to what is not there is found", () => {
  assert.equal(isThere("README.md", "docs/no-such-page.md"), false);
  assert.equal(isThere("README.md", "docs/config.md#no-such-heading"), false);
  assert.equal(isThere("docs/architecture.md", "config.md#ports"), true);
});

describe("links and paths", () => {
  for (const page of pages) {
    test(page, () => {
      const text = prose(read(page));
      const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!);
      const own = links.filter((link) => !/^[a-z]+:/.test(link));
      const paths = [...text.matchAll(backquoted)].map((match) => match[1]!);
      assert.deepEqual(
        own.filter((link) => !isThere(page, link)),
        [],
      );
      assert.deepEqual(
        paths.filter((path) => !existsSync(join(root, path))),
        [],
      );
    });
  }
});

test("the glossary's words are in the files that it names for them", () => {
  const named = [...read("docs/glossary.md").matchAll(/\| `(\w+)` in `([a-z0-9./-]+)`/g)];
  assert.ok(named.length > 10);
  assert.deepEqual(
    named.filter(([, word, path]) => !new RegExp(`\\b${word!}\\b`).test(read(path!))).map(([row]) => row),
    [],
  );
});
