/** Labels and annotations to settings: what is absent has its default, what cannot be read never loosens. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isProject, nobody, readPodSettings, readProjectSettings } from "../../../../lib/project/settings.ts";

const of = (annotations: Readonly<Record<string, string>>): ReturnType<typeof readProjectSettings> =>
  readProjectSettings(
    {
      annotations: Object.fromEntries(
        Object.entries(annotations).map(([name, value]) => [`tencrypt.io/${name}`, value]),
      ),
    },
    "project",
  );

test("only the exact label makes a project", () => {
  assert.equal(isProject({ labels: { "tencrypt.io/project": "enabled" } }), true);
  assert.equal(isProject({ labels: { "tencrypt.io/project": "true" } }), false);
  assert.equal(isProject({}), false);
});

test("a namespace that says nothing has the installation's mode and the defaults", () => {
  assert.deepEqual(readProjectSettings({}, "permissive"), {
    settings: {
      mode: "permissive",
      dryRun: null,
      peers: [],
      nodeSources: null,
      udp: "dns-only",
      allowEgress: [],
      allowIngress: [],
      allowFrom: [],
      allowFromDryRun: [],
      defaultInjection: true,
    },
    problems: [],
  });
});

test("everything that can be said is read", () => {
  const { settings, problems } = of({
    mode: "permissive",
    "dry-run": "strict",
    peers: "billing/77aa-1, crm",
    "node-sources": "accept",
    udp: "allow",
    "allow-egress": "203.0.113.0/24:443, fd00::/64",
    "allow-ingress": "198.51.100.0/24, monitoring/prometheus:9090",
    "allow-from": "shop/web, shop/admin:8080",
    "default-injection": "disabled",
  });
  assert.deepEqual(problems, []);
  assert.equal(settings.mode, "permissive");
  assert.equal(settings.dryRun, "strict");
  assert.deepEqual(settings.peers, [
    { name: "billing", uid: "77aa-1" },
    { name: "crm", uid: null },
  ]);
  assert.equal(settings.nodeSources, "accept");
  assert.equal(settings.udp, "allow");
  assert.deepEqual(settings.allowEgress, ["203.0.113.0/24:443", "fd00::/64"]);
  assert.deepEqual(settings.allowIngress, ["198.51.100.0/24", "monitoring/prometheus:9090"]);
  assert.deepEqual(settings.allowFrom, ["shop/web", "shop/admin:8080"]);
  assert.equal(settings.defaultInjection, false);
});

test("what cannot be read never loosens, and is told", () => {
  const { settings, problems } = of({
    mode: "permisive",
    "dry-run": "all",
    "node-sources": "yes",
    udp: "on",
    peers: "a/b/c, UPPER, fine",
    "allow-egress": "everything, 10.0.0.0/8",
    "allow-from": "shop",
    "default-injection": "no",
  });
  assert.equal(settings.mode, "strict");
  assert.equal(settings.dryRun, null);
  assert.equal(settings.nodeSources, "refuse");
  assert.equal(settings.udp, "dns-only");
  assert.deepEqual(settings.peers, [{ name: "fine", uid: null }]);
  assert.deepEqual(settings.allowEgress, ["10.0.0.0/8"]);
  assert.deepEqual(settings.allowFrom, [nobody]);
  assert.equal(settings.defaultInjection, true);
  assert.equal(problems.length, 9);
  assert.match(problems[0]!, /^tencrypt.io\/mode: "permisive" is none of permissive, project, strict$/);
  assert.match(problems.at(-2)!, /^tencrypt.io\/allow-from: "shop" is not <project>\/<service account>\[:port\]$/);
});

test("an empty list of callers admits nobody, an absent one everybody", () => {
  assert.deepEqual(of({ "allow-from": "" }).settings.allowFrom, [nobody]);
  assert.deepEqual(of({}).settings.allowFrom, []);
});

const ofPod = (annotations: Readonly<Record<string, string>>): ReturnType<typeof readPodSettings> =>
  readPodSettings({
    annotations: Object.fromEntries(Object.entries(annotations).map(([name, value]) => [`tencrypt.io/${name}`, value])),
  });

test("a pod says what its namespace may say where it can be stricter, and nothing else", () => {
  const { settings, problems } = ofPod({
    mode: "project",
    "dry-run": "strict",
    "node-sources": "refuse",
    "allow-egress": "203.0.113.0/24:443",
    "allow-ingress": "198.51.100.0/24, monitoring/prometheus:9090",
    "allow-from": "shop/web",
    peers: "x/1",
    udp: "allow",
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(settings, {
    mode: "project",
    dryRun: "strict",
    nodeSources: "refuse",
    allowEgress: ["203.0.113.0/24:443"],
    allowIngress: ["198.51.100.0/24", "monitoring/prometheus:9090"],
    allowFrom: ["shop/web"],
    allowFromDryRun: [],
  });
});

test("a pod that says nothing narrows nothing", () => {
  assert.deepEqual(ofPod({}).settings, {
    mode: null,
    dryRun: null,
    nodeSources: null,
    allowEgress: null,
    allowIngress: null,
    allowFrom: [],
    allowFromDryRun: [],
  });
});

test("what a pod says and nobody can read narrows as far as it goes", () => {
  const { settings, problems } = ofPod({
    mode: "?",
    "dry-run": "all",
    "node-sources": "yes",
    "allow-egress": "everything",
    "allow-ingress": "",
  });
  assert.equal(settings.mode, "strict");
  assert.equal(settings.dryRun, null);
  assert.equal(settings.nodeSources, "refuse");
  assert.deepEqual(settings.allowEgress, []);
  assert.deepEqual(settings.allowIngress, []);
  assert.equal(problems.length, 4);
});
