/** What a pod says that its project does not let count is told, and nothing that does count. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { looserMarks } from "../../../../lib/project/marks.ts";
import { readProjectSettings } from "../../../../lib/project/settings.ts";

type Said = Readonly<Record<string, string>>;

const marked = (said: Said): { readonly annotations: Said } => ({
  annotations: Object.fromEntries(Object.entries(said).map(([name, value]) => [`tencrypt.io/${name}`, value])),
});

const egress = { "allow-egress": "203.0.113.0/24:443" };
const ingress = { "allow-ingress": "198.51.100.0/24:8080, monitoring/prometheus" };

const cases: readonly (readonly [title: string, project: Said, pod: Said, told: string | null])[] = [
  ["a stricter mode", { mode: "project" }, { mode: "strict" }, null],
  ["the same mode", { mode: "project" }, { mode: "project" }, null],
  [
    "a looser mode",
    { mode: "strict" },
    { mode: "project" },
    "mode: project is looser than the project's strict, which holds",
  ],
  ["a stricter dry run", { mode: "project" }, { "dry-run": "strict" }, null],
  [
    "a dry run of the mode",
    { mode: "strict" },
    { "dry-run": "strict" },
    "dry-run: strict is not stricter than strict, which holds",
  ],
  [
    "a dry run of the pod's own mode",
    { mode: "project" },
    { mode: "strict", "dry-run": "strict" },
    "dry-run: strict is not stricter than strict, which holds",
  ],
  ["nodes refused", { "node-sources": "accept" }, { "node-sources": "refuse" }, null],
  ["nodes accepted as the mode does", { mode: "project" }, { "node-sources": "accept" }, null],
  [
    "nodes accepted as the project says",
    { mode: "strict", "node-sources": "accept" },
    { "node-sources": "accept" },
    null,
  ],
  [
    "nodes accepted though the project refuses",
    { "node-sources": "refuse" },
    { "node-sources": "accept" },
    "node-sources: accept is looser than refuse, which holds",
  ],
  [
    "nodes accepted though the mode refuses",
    { mode: "strict" },
    { "node-sources": "accept" },
    "node-sources: accept is looser than refuse, which holds",
  ],
  ["a part of what may be reached", egress, { "allow-egress": "203.0.113.7/32" }, null],
  ["more than may be reached", egress, { "allow-egress": "203.0.0.0/16" }, null],
  ["nothing to be reached", egress, { "allow-egress": "" }, null],
  [
    "another port",
    egress,
    { "allow-egress": "203.0.113.7/32:80" },
    "allow-egress: 203.0.113.7/32:80 is not named by the project, whose list has to name it too",
  ],
  [
    "another address",
    egress,
    { "allow-egress": "192.0.2.0/24" },
    "allow-egress: 192.0.2.0/24 is not named by the project, whose list has to name it too",
  ],
  [
    "an address where the project names none",
    {},
    { "allow-egress": "192.0.2.0/24" },
    "allow-egress: 192.0.2.0/24 is not named by the project, whose list has to name it too",
  ],
  ["a caller that may come in clear", ingress, { "allow-ingress": "monitoring/prometheus:9090" }, null],
  [
    "a caller that may be at an address which may come",
    { "allow-ingress": "10.0.0.0/8" },
    { "allow-ingress": "monitoring/prometheus" },
    null,
  ],
  [
    "another caller",
    { "allow-ingress": "monitoring/prometheus" },
    { "allow-ingress": "monitoring/other" },
    "allow-ingress: monitoring/other is not named by the project, whose list has to name it too",
  ],
];

for (const [title, project, pod, told] of cases)
  test(`${title}: ${told === null ? "counts" : "is told"}`, () => {
    const { settings } = readProjectSettings(marked(project), "permissive");
    assert.deepEqual(looserMarks(marked(pod), settings), told === null ? [] : [`tencrypt.io/${told}`]);
  });
