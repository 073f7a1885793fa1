/**
 * Every right that the chart gives is in the list of docs/threat-model.md with a reason, and the list has no other; and
 * what must never be given is not given by any values.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { cases } from "./cases.ts";
import { rendered } from "./rendered.ts";
import type { Rendered } from "./rendered.ts";

type Rule = {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
};
type Reference = { readonly kind: string; readonly name: string; readonly namespace?: string };
type Grant = { readonly account: string; readonly where: string; readonly what: string; readonly verbs: string };

const page = readFileSync(join(import.meta.dirname, "../../docs/threat-model.md"), "utf8");

const everywhere = "everywhere";
const rulesOf = (role: Rendered): readonly Rule[] => role["rules"] as readonly Rule[];
const isRole = ({ kind }: Rendered): boolean => kind === "Role" || kind === "ClusterRole";

function grantsOf(objects: readonly Rendered[], binding: Rendered): readonly Grant[] {
  const reference = binding["roleRef"] as Reference;
  const { namespace } = binding.metadata;
  const role = objects.find(
    ({ kind, metadata }) =>
      kind === reference.kind &&
      metadata.name === reference.name &&
      (kind === "ClusterRole" || metadata.namespace === namespace),
  );
  assert.ok(role !== undefined, `${binding.kind} ${binding.metadata.name} names a role that is not there`);
  return (binding["subjects"] as readonly Reference[]).flatMap((subject) =>
    rulesOf(role).flatMap(({ apiGroups, resources, resourceNames = [], verbs }) =>
      apiGroups.flatMap((group) =>
        resources.map((resource) => ({
          account: `${subject.namespace}/${subject.name}`,
          where: namespace ?? everywhere,
          what: `${group === "" ? "" : `${group}/`}${resource}${resourceNames.map((name) => ` ${name}`).join("")}`,
          verbs: verbs.join(", "),
        })),
      ),
    ),
  );
}

const grants = (name: string): readonly Grant[] => {
  const objects = rendered(name);
  const bindings = objects.filter(({ kind }) => kind === "RoleBinding" || kind === "ClusterRoleBinding");
  return bindings.flatMap((binding) => grantsOf(objects, binding));
};

const lineOf = ({ account, where, what, verbs }: Grant): string => `| ${account} | ${where} | ${what} | ${verbs} |`;

/** The rows of the table, with its reason as the last cell. */
const rows = page
  .split("\n")
  .filter((line) => /^\| tencrypt-(?:ca|system)\//.test(line))
  .map((line) => /^(\|.*\|) ([^|]+) \|$/.exec(line) ?? assert.fail(`${line} is no row`));

describe("the rights that the chart gives", () => {
  test("are those of docs/threat-model.md, each with a reason", () => {
    const listed = rows.map((row) => row[1]!);
    assert.deepEqual(listed.toSorted(), grants("default").map(lineOf).toSorted());
    for (const row of rows) assert.match(row[2]!, /\w{3}/);
  });

  for (const name of Object.keys(cases)) {
    test(`in case ${name} are those of the list`, () => {
      assert.deepEqual(grants(name).map(lineOf), grants("default").map(lineOf));
    });
  }

  test("hold no wildcard and no right to give rights", () => {
    for (const role of rendered("openshift").filter(isRole))
      for (const rule of rulesOf(role)) {
        const words = [...rule.apiGroups, ...rule.resources, ...rule.verbs];
        for (const word of ["*", "escalate", "bind", "impersonate"])
          assert.ok(!words.includes(word), role.metadata.name);
      }
  });

  test("reach Secrets in the ca's namespace only, by the ca only", () => {
    const secrets = grants("default").filter(({ what }) => what.includes("secrets"));
    assert.deepEqual(
      secrets.map(({ account, where }) => [account, where]),
      [["tencrypt-ca/tencrypt-ca", "tencrypt-ca"]],
    );
  });

  test("reach webhook configurations only while a hook runs, and only ours", () => {
    const writers = grants("default").filter(({ what }) => what.includes("webhookconfigurations"));
    assert.ok(writers.length > 0);
    for (const { account, what } of writers) {
      assert.equal(account, "tencrypt-ca/tencrypt-trust");
      assert.match(what, /webhookconfigurations tencrypt$/);
    }
    const named = rendered("default").filter(
      ({ metadata, kind }) => metadata.name === "tencrypt-trust" && kind !== "Job",
    );
    for (const { metadata } of named)
      assert.match(metadata.annotations?.["helm.sh/hook-delete-policy"] ?? "", /hook-succeeded,hook-failed/);
  });

  test("let the controller change nothing but Events", () => {
    const changing = grants("default").filter(
      ({ account, verbs }) => account.endsWith("/tencrypt-controller") && /create|update|patch|delete/.test(verbs),
    );
    assert.deepEqual(
      changing.map(({ what }) => what),
      ["events.k8s.io/events"],
    );
  });

  test("to relax are bound to nobody", () => {
    assert.ok(!grants("default").some(({ what }) => what.includes("tencrypt.io/")));
  });
});
