// What callers learn: each reason of the ca has a gRPC code, and each code one text that says nothing of the reason.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { statusOf } from "../../../ca/grpc/status.ts";
import { reasons } from "../../../lib/errors/reasons.ts";
import type { Reason } from "../../../lib/errors/reasons.ts";

const root = new URL("../../../ca/", import.meta.url).pathname;
const source = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
const used = [
  ...new Set(
    source.flatMap((name) =>
      [...readFileSync(join(root, name), "utf8").matchAll(/denial\("([a-z_]+)"/g)].map((match) => match[1]!),
    ),
  ),
];

void test("every reason with which the ca refuses is in the list of reasons", () => {
  assert.ok(used.length > 20, `only ${used.length} found`);
  assert.deepEqual(
    used.filter((reason) => !(reason in reasons)),
    [],
  );
});

void test("only a defect is an internal error", () => {
  assert.deepEqual(
    used.filter((reason) => statusOf(reason as Reason).code === status.INTERNAL),
    ["certificate_unfit"],
  );
});

void test("one code has one text, and no text names a reason", () => {
  const texts = new Map(used.map((reason) => [statusOf(reason as Reason).code, statusOf(reason as Reason).details]));
  for (const reason of used)
    assert.equal(statusOf(reason as Reason).details, texts.get(statusOf(reason as Reason).code));
  for (const text of texts.values()) assert.doesNotMatch(text, /token|csr|key|pod|audience|signature|file|store/i);
});
