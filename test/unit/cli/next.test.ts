/** What is to be done next is said by what was found: what is not known is not mended as a fault. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkCodes } from "../../../cli/checks/codes.ts";
import type { Finding } from "../../../cli/checks/codes.ts";
import type { Deployment, Facts, PodFact, WebhookConfiguration } from "../../../cli/checks/facts.ts";
import { versionLabel } from "../../../cli/checks/deployed.ts";
import { judgeInstallation, judgeOne } from "../../../cli/checks/judge.ts";
import { rootSecretOf } from "../../../cli/checks/root.ts";
import { Failure } from "../../../cli/failure.ts";
import { projectNamed } from "../../../cli/project.ts";
import type { KubeClient } from "../../../lib/kube/client.ts";
import { admissionPolicies, neverProjects } from "../../../lib/kube/names.ts";
import type { KubeObject } from "../../../lib/kube/objects.ts";
import { version as ownVersion } from "../../../lib/version.ts";
import { configuration, deployment, goodFacts, now, policy, read, withFirst } from "./facts.ts";

const shop = {
  metadata: { name: "shop", uid: "1", resourceVersion: "1", labels: { "tencrypt.io/project": "enabled" } },
};

const found = (code: string, changes: Partial<Facts>): Finding | undefined =>
  judgeInstallation({ ...goodFacts, ...changes }).find((each) => each.code === code);
const ofVersion = <T extends Pick<KubeObject, "metadata">>(each: T, version: string): T => ({
  ...each,
  metadata: { ...each.metadata, labels: { ...each.metadata.labels, "app.kubernetes.io/version": version } },
});
const newer = deployment("x/control-plane:9.9.9");

describe("what is not known is a warning whose next step repairs nothing", () => {
  const skew = checkCodes["TC-CP-03"].hint;
  const unread = checkCodes["TC-K8S-05"].hint;
  for (const [code, changes, next] of [
    ["TC-WH-01", { controller: newer, mutating: read(ofVersion(configuration("Mutating"), "9.9.9")) }, skew],
    [
      "TC-WH-03",
      { controller: newer, policies: read(admissionPolicies.map((name) => ofVersion(policy(name), "9.9.9"))) },
      skew,
    ],
    ["TC-CA-05", { rootSecret: { kind: "unknown", why: "403" } }, unread],
    ["TC-CA-03", { sourceMismatches: null }, unread],
  ] as const)
    test(code, () => {
      const finding = found(code, changes);
      assert.deepEqual([finding?.level, finding?.next], ["warning", next]);
    });

  test("TC-PRJ-04, for an administrator of one project", () => {
    const findings = judgeOne(shop, [], {
      rootPem: { kind: "unreadable", what: "configmap tencrypt-root", why: "403" },
      now,
      inits: goodFacts.inits,
    });
    const finding = findings.find(({ code }) => code === "TC-PRJ-04");
    assert.deepEqual([finding?.level, finding?.next], ["warning", unread]);
  });
});

describe("a root that is not published", () => {
  const sound = goodFacts.rootSecret;
  const absent = { kind: "absent", name: "tencrypt-root" } as const;
  const told = (changes: Partial<Facts>): readonly unknown[] =>
    ["TC-CA-01", "TC-CA-05"].map((code) => found(code, changes)).map((each) => [each?.level, each?.next]);
  const bringBack = checkCodes["TC-CA-05"].hint;

  for (const [what, pem] of [
    ["gone", null],
    ["garbage", "garbage"],
  ] as const) {
    test(`${what}: a restart publishes it only where its Secret is sound`, () => {
      const rootPem = read(pem);
      const restart = checkCodes["TC-CA-01"].hint;
      assert.deepEqual(told({ rootPem, rootSecret: sound }), [
        ["failed", restart],
        ["good", ""],
      ]);
      for (const rootSecret of [absent, { ...sound, fault: "tls.key is no key" } as Facts["rootSecret"]])
        assert.deepEqual(told({ rootPem, rootSecret }), [
          ["failed", bringBack],
          ["failed", bringBack],
        ]);
      const unread = checkCodes["TC-K8S-05"].hint;
      assert.deepEqual(told({ rootPem, rootSecret: { kind: "unknown", why: "403" } }), [
        ["failed", unread],
        ["warning", unread],
      ]);
    });
  }

  test("is no loss where no ca was installed", () =>
    assert.deepEqual(told({ ca: read(null), rootPem: read(null), rootSecret: absent }), [
      ["failed", "tencrypt install"],
      [undefined, undefined],
    ]));
});

test("where nothing is installed, nothing has to be mended", () => {
  const findings = judgeInstallation({
    ...goodFacts,
    controller: read(null),
    ca: read(null),
    mutating: read(null),
    validating: read(null),
    policies: read([]),
    bindings: read([]),
    rootPem: read(null),
    authorities: read([]),
    sourceMismatches: null,
    rootSecret: { kind: "absent", name: "tencrypt-root" },
  });
  const bad = findings.filter(({ level }) => level !== "good");
  assert.deepEqual(
    bad.map(({ code }) => code),
    ["TC-CP-01", "TC-CP-02", "TC-CP-03", "TC-WH-01", "TC-WH-02", "TC-WH-03", "TC-CA-01", "TC-CA-03"],
  );
  assert.deepEqual([...new Set(bad.map(({ next }) => next))], ["tencrypt install"]);
});

describe("beside a controller of this version, no label keeps a webhook or a policy from being compared", () => {
  const emptied: Facts["mutating"] = withFirst("Mutating", { rules: [] });
  const relabeled = read(ofVersion((emptied as { readonly value: WebhookConfiguration }).value, "9.9.9"));
  const policies = read(admissionPolicies.map((name) => ofVersion(policy(name), "9.9.9")));
  const { value } = deployment("x/control-plane@sha256:0123") as { readonly value: Deployment };
  const byDigest = read({ ...value, metadata: { ...value.metadata, labels: { [versionLabel]: ownVersion } } });
  const label = `label ${versionLabel} is 9.9.9, and the controller is of ${ownVersion}`;

  for (const [what, controller] of [
    ["its tag", goodFacts.controller],
    ["its label", byDigest],
  ] as const)
    test(`as ${what} says`, () => {
      const webhook = found("TC-WH-01", { controller, mutating: relabeled });
      assert.deepEqual(
        [webhook?.level, webhook?.details],
        [
          "failed",
          [
            `MutatingWebhookConfiguration: ${label}`,
            "MutatingWebhookConfiguration: rules of inject.tencrypt.io: not as in the chart",
          ],
        ],
      );
      const judged = found("TC-WH-03", { controller, policies });
      assert.deepEqual(
        [judged?.level, judged?.details],
        ["failed", admissionPolicies.map((name) => `${name}: ${label}`)],
      );
    });
});

describe("a version is read from the tag where that is one, else from the chart's label", () => {
  const labelled = (image: string, label: string): Facts["ca"] => {
    const { value } = deployment(image) as { readonly value: Deployment };
    return read({ ...value, metadata: { ...value.metadata, labels: { [versionLabel]: label } } });
  };
  for (const [image, label, level, version] of [
    ["x/control-plane:prod", ownVersion, "good", ownVersion],
    ["x/control-plane@sha256:0123", ownVersion, "good", ownVersion],
    [`x/control-plane:${ownVersion}-mirrored`, ownVersion, "good", ownVersion],
    ["x/control-plane:prod", "9.9.9", "warning", "9.9.9"],
    ["x/control-plane:9.9.9", ownVersion, "warning", "9.9.9"],
  ] as const)
    test(`${image} of chart ${label}`, () => {
      const both = labelled(image, label);
      const finding = found("TC-CP-03", { controller: both, ca: both });
      assert.equal(finding?.level, level);
      assert.match(finding.text, new RegExp(`controller ${version}, ca ${version},`));
    });
});

describe("where the ca's Deployment cannot be read", () => {
  const ca = { kind: "unreadable", what: "deployment tencrypt-ca", why: "403 Forbidden" } as const;

  test("no Secret is taken for the root's", async () => {
    const client = { find: () => Promise.resolve(null) } as unknown as KubeClient;
    assert.deepEqual(await rootSecretOf(client, ca), {
      kind: "unknown",
      why: "which it is, the ca's Deployment tells: 403 Forbidden",
    });
    assert.deepEqual(await rootSecretOf(client, read(null)), { kind: "absent", name: "tencrypt-root" });
  });
});

describe("a rollout is not stuck", () => {
  const { value } = goodFacts.ca as { readonly value: Deployment };
  const rolling = (status: object, reason: string): Finding | undefined => {
    const conditions = [{ type: "Progressing", reason, lastUpdateTime: new Date(now - 2_592_000_000).toISOString() }];
    return found("TC-CP-02", { ca: read({ ...value, status: { ...value.status, conditions, ...status } }) });
  };

  test("before anybody has looked at what was last told", () => {
    const finding = rolling({ observedGeneration: 2 }, "ReplicaSetUpdated");
    assert.deepEqual([finding?.level, finding?.details], ["warning", ["2 of 2 replicas are as last told"]]);
  });

  test("while what is said of its progress is of the last one, which was done", () => {
    const finding = rolling({ updatedReplicas: 1 }, "NewReplicaSetAvailable");
    assert.deepEqual([finding?.level, finding?.details], ["warning", ["1 of 2 replicas are as last told"]]);
  });

  test("but where it has begun and does not go on", () =>
    assert.equal(rolling({ updatedReplicas: 1 }, "ReplicaSetUpdated")?.level, "failed"));
});

describe("pods without a proxy that are about to end", () => {
  const deletionTimestamp = "2026-11-27T00:00:00Z";
  const pod = (changes: object = {}): PodFact => ({
    metadata: { name: "web", namespace: "shop", uid: "2", resourceVersion: "1", ...changes },
    spec: { containers: [] },
  });
  const levelOf = (projects: Facts["projects"], ...pods: readonly PodFact[]): string | undefined =>
    found("TC-PRJ-01", { projects, pods: read(pods) })?.level;
  const deleted = { metadata: { ...shop.metadata, deletionTimestamp } };

  test("by themselves fail nothing", () => assert.equal(levelOf(read([shop]), pod({ deletionTimestamp })), "good"));
  test("with their namespace fail nothing", () => assert.equal(levelOf(read([deleted]), pod()), "good"));
  test("nor do their annotations and labels", () => {
    const annotations = { "tencrypt.io/mode": "?", "tencrypt.io/udp": "allow" };
    const pods = read([pod({ deletionTimestamp, annotations })]);
    assert.deepEqual(
      judgeInstallation({ ...goodFacts, projects: read([shop]), pods }).filter(({ level }) => level !== "good"),
      [],
    );
  });
  test("and others that are not fail", () =>
    assert.equal(levelOf(read([shop]), pod({ deletionTimestamp }), pod({ name: "db" })), "failed"));
});

test("no namespace that can be no project is told to be labelled as one, and the chart knows the same", async () => {
  const [webhook] = configuration("Validating").webhooks!;
  const { matchExpressions } = webhook!["namespaceSelector"] as {
    readonly matchExpressions: readonly { readonly key: string; readonly values: readonly string[] }[];
  };
  assert.deepEqual(matchExpressions[0]?.values, neverProjects);
  for (const name of neverProjects) {
    const named = { ...shop.metadata, name };
    for (const labels of [{}, { "tencrypt.io/project": "true" }, { "tencrypt.io/project": "enabled" }]) {
      const client = { find: () => Promise.resolve({ metadata: { ...named, labels } }) } as unknown as KubeClient;
      const told = await projectNamed(client, name).catch((error: unknown) => error);
      assert.ok(told instanceof Failure, JSON.stringify(labels));
      assert.doesNotMatch(told.next, /label/);
    }
    for (const value of ["true", "enabled"]) {
      const wrong = { metadata: { ...named, labels: { "tencrypt.io/project": value } } };
      const pod = { metadata: { ...named, name: "dns", namespace: name }, spec: { containers: [] } };
      const findings = judgeInstallation({ ...goodFacts, projects: read([wrong]), pods: read([pod]) });
      assert.deepEqual(
        findings.filter(({ section }) => section === `project ${name}`).map(({ code, next }) => [code, next]),
        [["TC-PRJ-05", `kubectl label namespace ${name} tencrypt.io/project-`]],
      );
    }
  }
});
