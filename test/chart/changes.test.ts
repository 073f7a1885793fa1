/**
 * The table that the admission policy is tested with says of each change what the reader of settings makes of it: a
 * change that loosens by the reader loosens by the table, so the policy lets no such change pass.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readProjectSettings } from "../../lib/project/settings.ts";
import type { ProjectSettings } from "../../lib/project/settings.ts";
import { changes } from "./changes.ts";

const ranks = { permissive: 0, project: 1, strict: 2 } as const;

const settingsOf = (annotations: Readonly<Record<string, string>>): ProjectSettings => {
  const full = Object.entries(annotations).map(([name, value]) => [`tencrypt.io/${name}`, value]);
  return readProjectSettings({ annotations: Object.fromEntries(full) as Record<string, string> }, "project").settings;
};

const takesNodes = ({ nodeSources, mode }: ProjectSettings): boolean =>
  nodeSources === null ? mode !== "strict" : nodeSources === "accept";

const adds = (before: readonly unknown[], after: readonly unknown[]): boolean => {
  const known = new Set(before.map((entry) => JSON.stringify(entry)));
  return after.some((entry) => !known.has(JSON.stringify(entry)));
};

/** What of the new settings lets more pass, or lets more go unseen, than the old ones. */
function loosened(before: ProjectSettings, after: ProjectSettings): readonly string[] {
  const seen = ({ mode, dryRun }: ProjectSettings): number => Math.max(ranks[mode], ranks[dryRun ?? "permissive"]);
  const callers = before.allowFrom.length > 0;
  const found: readonly (readonly [string, boolean])[] = [
    ["mode", ranks[after.mode] < ranks[before.mode]],
    ["dry-run", before.dryRun !== null && seen(after) < ranks[before.dryRun]],
    ["peer", adds(before.peers, after.peers)],
    ["node-sources", takesNodes(after) && !takesNodes(before)],
    ["udp", after.udp === "allow" && before.udp !== "allow"],
    ["allow-egress", adds(before.allowEgress, after.allowEgress)],
    ["allow-ingress", adds(before.allowIngress, after.allowIngress)],
    ["allow-from", callers && (after.allowFrom.length === 0 || addsCallers(before.allowFrom, after.allowFrom))],
  ];
  return found.filter(([, is]) => is).map(([name]) => name);
}

/** The entry that stands for nobody admits nobody. */
const addsCallers = (before: readonly string[], after: readonly string[]): boolean =>
  adds(
    before,
    after.filter((entry) => !entry.startsWith("nobody.tencrypt.io/")),
  );

describe("the table of changes", () => {
  for (const { before, after, loosens } of changes) {
    test(`${JSON.stringify(before)} -> ${JSON.stringify(after)}: ${loosens ?? "nothing"}`, () => {
      const found = loosened(settingsOf(before), settingsOf(after));
      if (found.length > 0) assert.ok(loosens !== null && found.includes(loosens), found.join(", "));
      // What the policy refuses beyond that is what it cannot read for certain.
      const unreadable = /typo|^[^a-z]|[^a-z]$/;
      const strange = Object.values(after).some((value) => unreadable.test(value));
      if (found.length === 0 && loosens !== null) assert.ok(strange, "the table refuses what loosens nothing");
    });
  }
});
