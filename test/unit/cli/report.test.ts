/** Findings from facts, and how they are told. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Pod } from "../../../lib/kube/objects.ts";
import { protectedSpec } from "../../cluster/protected-pod.ts";
import type { Deployment, Facts, PodFact, RootSecretFact } from "../../../cli/checks/facts.ts";
import { newRoot } from "../../../ca/issue/authority.ts";
import { judgeCluster, judgeInstallation } from "../../../cli/checks/judge.ts";
import { report } from "../../../cli/commands/check.ts";
import { explanation, nearOf } from "../../../cli/commands/explain.ts";
import { table, wantsColor } from "../../../cli/terminal.ts";
import { admissionPolicies } from "../../../lib/kube/names.ts";
import { pinOfPem } from "../../../lib/trust/bundle.ts";
import { binding, configuration, deployment, goodFacts, now, policy, read, withFirst } from "./facts.ts";

const metadata = { uid: "1", resourceVersion: "1" };
const shop = { metadata: { ...metadata, name: "shop", labels: { "tencrypt.io/project": "enabled" } } };

const day = 86_400_000;
const controlPlaneCa = [{ project: null, notAfter: now + 700 * day }];
const protectedPod = {
  metadata: { ...metadata, name: "web", namespace: "shop" },
  spec: { containers: [], ...protectedSpec() } as unknown as Pod["spec"],
};
const started = (is: boolean) => ({ initContainerStatuses: [{ name: "tencrypt-proxy", started: is }] });
const withStatus = (status: NonNullable<PodFact["status"]>): PodFact => ({ ...protectedPod, status });
const protectedProject = { projects: read([shop]), pods: read([withStatus(started(true))]) };

const all = (facts: Facts): ReturnType<typeof judgeCluster> => [...judgeCluster(facts), ...judgeInstallation(facts)];
const worse = (changes: Partial<Facts>): readonly string[] =>
  all({ ...goodFacts, ...changes })
    .filter(({ level }) => level !== "good")
    .map(({ code, level }) => `${code} ${level}`);

test("a good installation has nothing to say", () => assert.deepEqual(worse({}), []));

const modePatched = (mode: string): unknown =>
  (policy("tencrypt-projects").spec["variables"] as { name: string; expression: string }[]).map((each) => ({
    ...each,
    expression: each.expression.replace("orValue('project')", `orValue('${mode}')`),
  }));
/** A Deployment of two replicas, all of them as last told, but for what is given. */
const rolledOut = (spec: object, status: object = {}): Facts["ca"] => {
  const { value } = deployment("x/control-plane:0.1.0") as { readonly value: Deployment };
  return read({ ...value, spec: { ...value.spec, ...spec }, status: { ...value.status, ...status } });
};
const progressed = (at: number): object => ({
  conditions: [{ type: "Progressing", lastUpdateTime: new Date(at).toISOString() }],
});
const keptRoot = goodFacts.rootSecret as RootSecretFact & { readonly kind: "found" };

const firstService = (kind: "Mutating" | "Validating"): unknown => {
  const [webhook] = configuration(kind).webhooks!;
  return (webhook!.clientConfig as { readonly service?: unknown }).service;
};

/** Changes by which a webhook that is there concerns nobody, or not everybody. */
const narrowed: readonly (readonly [field: string, value: unknown])[] = [
  ["rules", [{ apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"], operations: ["CREATE"], scope: "*" }]],
  ["objectSelector", { matchLabels: { nobody: "has-this" } }],
  ["namespaceSelector", { matchLabels: { "kubernetes.io/metadata.name": "other" } }],
  ["matchConditions", [{ name: "never", expression: "false" }]],
  ["matchPolicy", "Exact"],
  [
    "clientConfig",
    { ...configuration("Validating").webhooks![0]!.clientConfig, service: { name: "other", namespace: "x" } },
  ],
];

/** Changes by which a policy that is there refuses less. */
const weakened: readonly (readonly [name: string, change: object])[] = [
  ["tencrypt-projects", { validations: [{ expression: "true" }] }],
  ["tencrypt-projects", { variables: modePatched("permissive") }],
  ["tencrypt-projects", { variables: [] }],
  [
    "tencrypt-pods",
    {
      matchConstraints: {
        resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"], operations: ["CREATE"] }],
      },
    },
  ],
  ["tencrypt-tokens", { matchConditions: [{ name: "never", expression: "false" }] }],
  ["tencrypt-tokens", { paramKind: { apiVersion: "v1", kind: "ConfigMap" } }],
];

const cases: readonly (readonly [what: string, changes: Partial<Facts>, expected: readonly string[]])[] = [
  ["an old API server", { version: "v1.29.9" }, ["TC-K8S-01 failed"]],
  ["no policies", { knowsPolicies: false }, ["TC-K8S-02 failed"]],
  ["missing rights", { forbidden: ["create namespaces"] }, ["TC-K8S-03 warning"]],
  ["a clock that is wrong", { serverTime: now - 31_000 }, ["TC-K8S-04 failed"]],
  ["a replica that is away", { controller: deployment("x/control-plane:0.1.0", 1) }, ["TC-CP-01 failed"]],
  ["no ca", { ca: read(null) }, ["TC-CP-02 failed", "TC-CP-03 warning"]],
  [
    "a controller that was scaled to nothing",
    { controller: rolledOut({ replicas: 0 }, { readyReplicas: 0 }) },
    ["TC-CP-01 failed"],
  ],
  [
    "a rollout that has just begun",
    { ca: rolledOut({}, { updatedReplicas: 1, ...progressed(now - 20_000) }) },
    ["TC-CP-02 warning"],
  ],
  [
    "a rollout that does not go on",
    { ca: rolledOut({}, { updatedReplicas: 1, ...progressed(now - 200_000) }) },
    ["TC-CP-02 failed"],
  ],
  [
    "a rollout whose old pods stay",
    { controller: rolledOut({}, { replicas: 3, ...progressed(now - 200_000) }) },
    ["TC-CP-01 failed"],
  ],
  [
    "a change that nobody has looked at yet",
    { controller: rolledOut({}, { observedGeneration: 2 }) },
    ["TC-CP-01 warning"],
  ],
  ["another version", { ca: deployment("x/control-plane:0.2.0") }, ["TC-CP-03 warning"]],
  ["a webhook that fails open", { mutating: withFirst("Mutating", { failurePolicy: "Ignore" }) }, ["TC-WH-01 failed"]],
  [
    "a webhook without our root",
    { validating: withFirst("Validating", { clientConfig: { service: firstService("Validating") } }) },
    ["TC-WH-02 failed"],
  ],
  [
    "a configuration without webhooks",
    { validating: read({ ...configuration("Validating"), webhooks: [] }) },
    ["TC-WH-01 failed"],
  ],
  [
    "a configuration without one of its webhooks",
    { mutating: read({ ...configuration("Mutating"), webhooks: configuration("Mutating").webhooks!.slice(1) }) },
    ["TC-WH-01 failed"],
  ],
  ...narrowed.map(([field, value]): (typeof cases)[number] => [
    `a webhook with another ${field}`,
    { validating: withFirst("Validating", { [field]: value }) },
    ["TC-WH-01 failed"],
  ]),
  [
    "webhooks that the chart of another version made",
    {
      controller: deployment("x/control-plane:9.9.9"),
      mutating: read({
        ...configuration("Mutating"),
        metadata: { ...configuration("Mutating").metadata, labels: { "app.kubernetes.io/version": "9.9.9" } },
      }),
    },
    ["TC-CP-03 warning", "TC-WH-01 warning"],
  ],
  ...weakened.map(([name, change]): (typeof cases)[number] => [
    `the policy ${name} with another ${Object.keys(change)[0]}`,
    {
      policies: read(
        admissionPolicies
          .map(policy)
          .map((each) => (each.metadata.name === name ? { ...each, spec: { ...each.spec, ...change } } : each)),
      ),
    },
    ["TC-WH-03 failed"],
  ]),
  ["no configuration", { mutating: read(null) }, ["TC-WH-01 failed"]],
  ["an admission policy that is gone", { policies: read(admissionPolicies.slice(1).map(policy)) }, ["TC-WH-03 failed"]],
  [
    "an admission policy that fails open",
    {
      policies: read(
        admissionPolicies.map((name) => ({ ...policy(name), spec: { ...policy(name).spec, failurePolicy: "Ignore" } })),
      ),
    },
    ["TC-WH-03 failed"],
  ],
  ["an admission policy without its binding", { bindings: read([]) }, ["TC-WH-03 failed"]],
  ...[{ validationActions: ["Audit"] }, { matchResources: { namespaceSelector: {} } }, { paramRef: { name: "x" } }].map(
    (change): (typeof cases)[number] => [
      `a binding with ${Object.keys(change)[0]}`,
      {
        bindings: read(
          admissionPolicies.map((name) => ({ ...binding(name), spec: { ...binding(name).spec, ...change } })),
        ),
      },
      ["TC-WH-03 failed"],
    ],
  ),
  ["no root", { rootPem: read(null) }, ["TC-WH-02 failed", "TC-CA-01 failed"]],
  ["a root that is no certificate", { rootPem: read("garbage") }, ["TC-WH-02 failed", "TC-CA-01 failed"]],
  ["a root whose Secret is gone", { rootSecret: { kind: "absent", name: "tencrypt-root" } }, ["TC-CA-05 failed"]],
  [
    "a root that is no certificate and whose Secret is gone",
    { rootPem: read("garbage"), rootSecret: { kind: "absent", name: "tencrypt-root" } },
    ["TC-WH-02 failed", "TC-CA-01 failed", "TC-CA-05 failed"],
  ],
  ["a root whose Secret may not be read", { rootSecret: { kind: "unknown", why: "403" } }, ["TC-CA-05 warning"]],
  ["a root without its key", { rootSecret: { ...keptRoot, fault: "tls.key is no key" } }, ["TC-CA-05 failed"]],
  [
    "a root that is another one than the published",
    { rootSecret: { ...keptRoot, pem: newRoot(now).certificate } },
    ["TC-CA-05 failed"],
  ],
  [
    "a root that ends soon",
    { now: now + 3_600 * day, serverTime: null, authorities: read([{ project: null, notAfter: Infinity }]) },
    ["TC-K8S-04 warning", "TC-CA-02 warning"],
  ],
  [
    "a root that ends very soon",
    { now: now + 3_630 * day, serverTime: null, authorities: read([{ project: null, notAfter: Infinity }]) },
    ["TC-K8S-04 warning", "TC-CA-02 failed"],
  ],
  ["no control-plane CA", { authorities: read([]) }, ["TC-CA-04 failed"]],
  ...(
    [
      [91, []],
      [89, ["TC-CA-04 warning"]],
      [29, ["TC-CA-04 failed"]],
      [-1, ["TC-CA-04 failed"]],
    ] as const
  ).flatMap(([left, expected]) =>
    [null, "shop"].map((project): (typeof cases)[number] => {
      const good = { project: null, notAfter: now + 700 * day };
      const judged = { project, notAfter: now + left * day };
      const found = project === null ? [judged] : [good, judged];
      return [
        `an authority of ${project} with ${left} days left`,
        { authorities: read(found), ...(project === null ? {} : protectedProject) },
        expected,
      ];
    }),
  ),
  [
    "a CA that cannot be read",
    { authorities: read([...controlPlaneCa, { project: "shop", notAfter: null }]), ...protectedProject },
    ["TC-CA-04 failed"],
  ],
  ...(
    [
      ["is gone", { projects: read([]), pods: read([]) }],
      ["has no pods", { projects: read([shop]), pods: read([]) }],
      ["has only pods that have ended", { projects: read([shop]), pods: read([withStatus({ phase: "Succeeded" })]) }],
    ] as const
  ).map(([what, changes]): (typeof cases)[number] => [
    `a CA that has ended, of a project that ${what}`,
    { authorities: read([...controlPlaneCa, { project: "shop", notAfter: now - day }]), ...changes },
    [],
  ]),
  [
    "among authorities that the ca's metrics do not name, one that ends and may be a living project's",
    { authorities: read([...controlPlaneCa, { project: "overflow", notAfter: now + 29 * day }]), ...protectedProject },
    ["TC-CA-04 failed"],
  ],
  [
    "among authorities that the ca's metrics do not name, one that ends and is no living project's",
    { authorities: read([...controlPlaneCa, { project: "overflow", notAfter: now + 29 * day }]) },
    [],
  ],
  [
    "protected pods that have no certificate yet, without a CA of their project",
    {
      authorities: read(controlPlaneCa),
      projects: read([shop]),
      pods: read([withStatus({}), withStatus(started(false))]),
    },
    [],
  ],
  [
    "a CA that ends, of pods that have no certificate yet",
    {
      authorities: read([...controlPlaneCa, { project: "shop", notAfter: now + 29 * day }]),
      projects: read([shop]),
      pods: read([withStatus({})]),
    },
    ["TC-CA-04 failed"],
  ],
  [
    "protected pods without a CA of their project",
    { authorities: read(controlPlaneCa), ...protectedProject },
    ["TC-CA-04 failed"],
  ],
  ["callers from elsewhere", { sourceMismatches: 3 }, ["TC-CA-03 warning"]],
];
for (const [what, changes, expected] of cases) test(what, () => assert.deepEqual(worse(changes), expected));

test("what cannot be read fails by itself, and nothing is said of it", () => {
  const away = (what: string) => ({ kind: "unreadable", what, why: "403 Forbidden" }) as const;
  for (const [what, changes, silent] of [
    ["pods", { pods: away("pods") }, /^TC-PRJ/],
    ["namespaces", { projects: away("namespaces") }, /^TC-PRJ/],
    ["webhooks", { mutating: away("mutatingwebhookconfigurations") }, /^TC-WH-0[12]/],
    ["policies", { policies: away("validatingadmissionpolicies") }, /^TC-WH-03/],
    ["the root", { rootPem: away("configmap tencrypt-root") }, /^TC-(?:CA-0[12]|WH-02)/],
    ["the controller", { controller: away("deployment tencrypt-controller") }, /^TC-CP-0[13]/],
  ] as const) {
    const facts = { ...goodFacts, projects: read([shop]), ...changes };
    assert.deepEqual(worse(facts), ["TC-K8S-05 failed"], what);
    assert.deepEqual(
      all(facts).filter(({ code }) => silent.test(code)),
      [],
      what,
    );
  }
});

test("whether a pod is meant to be without a proxy is read from its spec, its choice and its namespace", () => {
  const pod = (annotations: Record<string, string>, spec: object = {}) => ({
    metadata: { ...metadata, name: "web", namespace: "shop", annotations },
    spec: { containers: [], ...spec },
  });
  const judged = (each: ReturnType<typeof pod>): string =>
    all({ ...goodFacts, projects: read([shop]), pods: read([each]) })
      .filter(({ code }) => code === "TC-PRJ-01")
      .map(({ level, text }) => `${level}: ${text}`)
      .join();
  for (const reason of ["host_network", "inject_disabled", "mirror_pod"])
    assert.match(
      judged(pod({ "tencrypt.io/skipped": reason })),
      /^failed: 1 of 1 pods/,
      `${reason} is only said to be`,
    );
  assert.equal(judged(pod({}, { hostNetwork: true })), "good: 0 pods protected; not meant to be: 1 host_network");
  assert.equal(
    judged(pod({ "tencrypt.io/inject": "disabled" })),
    "good: 0 pods protected; not meant to be: 1 inject_disabled",
  );
});

test("a pod that should be protected is told with its workload and why", () => {
  const pod = {
    metadata: {
      ...metadata,
      name: "cart-6d9f-x",
      namespace: "shop",
      labels: { "pod-template-hash": "6d9f" },
      annotations: { "tencrypt.io/skipped": "inject_disabled", "tencrypt.io/mode": "?" },
      ownerReferences: [{ kind: "ReplicaSet", name: "cart-6d9f", controller: true }],
    },
    spec: { containers: [] },
  };
  const findings = all({ ...goodFacts, projects: read([shop]), pods: read([pod]) });
  const text = report(findings, { color: false });
  assert.match(
    text,
    /✗ 1 of 1 pods should be protected and are not +TC-PRJ-01\n {6}shop\/cart-6d9f-x \(Deployment\/cart\): started_before_project\n {6}next: kubectl -n shop rollout restart Deployment\/cart; tencrypt explain started_before_project\n/,
  );
  assert.match(text, /TC-PRJ-02\n {6}cart-6d9f-x: tencrypt.io\/mode: "\?" is none of/);
  assert.match(text, /2 failed, 0 warnings, [0-9]+ passed\n$/);
});

test("how a pod becomes protected is told by what made it", () => {
  const owned = (name: string, kind?: string, spec: object = {}): Pod => ({
    metadata: {
      ...metadata,
      name,
      namespace: "shop",
      ...(kind === undefined ? {} : { ownerReferences: [{ kind, name: `of-${name}`, controller: true }] }),
    },
    spec: { containers: [], ...spec },
  });
  const nextOf = (...pods: readonly Pod[]): string | undefined =>
    all({ ...goodFacts, projects: read([shop]), pods: read(pods) }).find(({ code }) => code === "TC-PRJ-01")?.next;
  const explained = "tencrypt explain started_before_project";
  assert.equal(nextOf(owned("bare")), `make again: Pod/bare; ${explained}`);
  assert.equal(
    nextOf(owned("db", "StatefulSet"), owned("job", "Job"), owned("log", "DaemonSet")),
    `kubectl -n shop rollout restart DaemonSet/of-log StatefulSet/of-db; make again: Job/of-job; ${explained}`,
  );
  const changed = owned("odd", "StatefulSet", { initContainers: [{ name: "tencrypt-proxy" }] });
  assert.match(nextOf(changed) ?? "", /; tencrypt explain not_as_injected$/);
  for (const code of ["started_before_project", "not_as_injected"]) assert.notEqual(explanation(code), null);
});

test("names and values under tencrypt.io/ that do nothing are told", () => {
  const named = (labels: Record<string, string>, annotations: Record<string, string>) => ({
    metadata: { ...metadata, name: "shop", labels, annotations },
  });
  const pod = (labels: Record<string, string>, annotations: Record<string, string>): Pod => ({
    ...protectedPod,
    metadata: { ...protectedPod.metadata, labels, annotations },
  });
  const enabled = { "tencrypt.io/project": "enabled" };
  const authorities = read([...controlPlaneCa, { project: "shop", notAfter: now + 700 * day }]);
  const told = (project: ReturnType<typeof named>, ...pods: readonly Pod[]): readonly (readonly string[])[] =>
    all({ ...goodFacts, authorities, projects: read([project]), pods: read(pods) })
      .filter(({ level }) => level !== "good")
      .map(({ code, level, text, details }) => [code, level, ...(details.length === 0 ? [text] : details)]);
  assert.deepEqual(told(named({ "tencrypt.io/project": "true" }, {}), protectedPod), [
    ["TC-PRJ-05", "failed", 'no project: its label tencrypt.io/project says "true"'],
  ]);
  assert.deepEqual(
    told(named(enabled, { "tencrypt.io/alow-from": "shop/web", "tencrypt.io/inject": "enabled", other: "x" })),
    [
      [
        "TC-PRJ-06",
        "failed",
        "namespace: annotation tencrypt.io/alow-from means nothing on a namespace",
        "namespace: annotation tencrypt.io/inject means nothing on a namespace",
      ],
    ],
  );
  assert.deepEqual(
    told(named(enabled, {}), pod({ "tencrypt.io/inject": "disabled" }, { "tencrypt.io/udp": "allow" })),
    [
      [
        "TC-PRJ-06",
        "failed",
        "web: label tencrypt.io/inject means nothing on a pod",
        "web: annotation tencrypt.io/udp means nothing on a pod",
      ],
    ],
  );
  assert.deepEqual(told(named(enabled, {}), pod({}, { "tencrypt.io/inject": "false" })), [
    ["TC-PRJ-02", "failed", 'web: tencrypt.io/inject: "false" is none of enabled, disabled'],
  ]);
  // The chart's mode is not known here: only what is looser than anything it could be is told.
  assert.deepEqual(told(named(enabled, {}), pod({}, { "tencrypt.io/mode": "permissive" })), []);
  assert.deepEqual(told(named(enabled, { "tencrypt.io/mode": "strict" }), pod({}, { "tencrypt.io/mode": "project" })), [
    ["TC-PRJ-06", "failed", "web: tencrypt.io/mode: project is looser than the project's strict, which holds"],
  ]);
  const marks = {
    "tencrypt.io/injected": "x",
    "tencrypt.io/skipped": "",
    "tencrypt.io/root": "",
    "tencrypt.io/inject": "enabled",
  };
  assert.deepEqual(told(named(enabled, { "tencrypt.io/udp": "allow" }), pod({}, marks)), []);
});

test("a project whose Pod Security refuses injected pods is told", () => {
  const levels = (level: string, annotations = {}): readonly string[] => {
    const labels = { ...shop.metadata.labels, "pod-security.kubernetes.io/enforce": level };
    return worse({ projects: read([{ metadata: { ...shop.metadata, labels, annotations } }]) });
  };
  assert.deepEqual(levels("privileged"), []);
  assert.deepEqual(levels("baseline"), ["TC-PRJ-07 failed"]);
  assert.deepEqual(levels("restricted"), ["TC-PRJ-07 failed"]);
  assert.deepEqual(levels("baseline", { "tencrypt.io/default-injection": "disabled" }), ["TC-PRJ-07 warning"]);
});

test("who is about to install and may not fails the check for that", () => {
  const facts = { ...goodFacts, forbidden: ["create namespaces"] };
  const levelOf = (pre: boolean) => judgeCluster(facts, pre).find(({ code }) => code === "TC-K8S-03")?.level;
  assert.deepEqual([levelOf(true), levelOf(false)], ["failed", "warning"]);
});

test("tables fit the terminal", () => {
  assert.equal(table(["A", "B"], [["1", "long text"]], 8), "A  B\n1  long…\n");
});

test("NO_COLOR turns colour off where it says something, as no-color.org has it", () => {
  assert.equal(wantsColor(undefined, ["check"]), true);
  assert.equal(wantsColor("", ["check"]), true);
  assert.equal(wantsColor("1", ["check"]), false);
  assert.equal(wantsColor(undefined, ["check", "--no-color"]), false);
});

test("every kind of code is explained", () => {
  assert.equal(explanation("peer_not_enrolled")?.kind, "refusal");
  assert.equal(explanation("host_network")?.kind, "injection");
  assert.equal(explanation("tc-wh-02")?.code, "TC-WH-02");
  assert.equal(explanation("toString"), null);
});

test("a code that is misspelt is told what is near it", () => {
  for (const [code, near] of [
    ["peer_not_enroled", "peer_not_enrolled"],
    ["peer-not-enrolled", "peer_not_enrolled"],
    ["PEER_NOT_ENROLLED", "peer_not_enrolled"],
    ["enrolled", "peer_not_enrolled"],
    ["wrongpod", "wrong_pod"],
    ["tc-wh-1", "TC-WH-01"],
    ["TC-PRJ", "TC-PRJ-01"],
  ] as const)
    assert.ok(nearOf(code).includes(near), `${code}: ${nearOf(code).join(", ")}`);
  for (const code of ["", "xyzzy", "-"]) assert.deepEqual(nearOf(code), []);
});

test("what the API server adds to webhooks and policies is no change", () => {
  const [kept] = configuration("Mutating").webhooks!;
  assert.deepEqual(
    worse({
      mutating: withFirst("Mutating", {
        objectSelector: {},
        matchPolicy: "Equivalent",
        matchConditions: [],
        rules: kept!["rules"],
      }),
    }),
    [],
  );
  const filled = policy("tencrypt-projects");
  const constraints = filled.spec["matchConstraints"] as object;
  const spec = {
    ...filled.spec,
    matchConstraints: { matchPolicy: "Equivalent", objectSelector: {}, namespaceSelector: {}, ...constraints },
  };
  const policies = admissionPolicies.map((name) =>
    name === filled.metadata.name ? { ...filled, spec } : policy(name),
  );
  assert.deepEqual(worse({ policies: read(policies) }), []);
});

describe("expressions of a webhook's namespaceSelector", () => {
  const { matchExpressions, ...selector } = configuration("Validating").webhooks![0]!["namespaceSelector"] as {
    readonly matchExpressions: readonly object[];
  };
  const withAlso = (...more: readonly object[]): readonly string[] =>
    worse({
      validating: withFirst("Validating", {
        namespaceSelector: { ...selector, matchExpressions: [...matchExpressions, ...more] },
      }),
    });

  test("that AKS adds to every webhook are no change", () => {
    const managedBy = { key: "kubernetes.azure.com/managedby", operator: "NotIn", values: ["aks"] };
    assert.deepEqual(withAlso({ key: "control-plane", operator: "NotIn", values: ["true"] }, managedBy), []);
    assert.deepEqual(withAlso({ key: "control-plane", operator: "DoesNotExist" }, managedBy), []);
  });

  for (const other of [
    { key: "control-plane", operator: "In", values: ["true"] },
    { key: "control-plane", operator: "Exists" },
    { key: "kubernetes.azure.com/managedby", operator: "Exists" },
    { key: "team", operator: "DoesNotExist" },
    { key: "tencrypt.io/project", operator: "NotIn", values: ["enabled"] },
  ])
    test(`are one where ${other.key} ${other.operator}`, () => assert.deepEqual(withAlso(other), ["TC-WH-01 failed"]));

  test("are one where the chart's own is gone", () =>
    assert.deepEqual(
      worse({ validating: withFirst("Validating", { namespaceSelector: { ...selector, matchExpressions: [] } }) }),
      ["TC-WH-01 failed"],
    ));
});

test("a policy that has the mode of an installation with another one is no change", () => {
  const controller = rolledOut({
    template: {
      spec: {
        containers: [{ image: "x/control-plane:0.1.0", env: [{ name: "TENCRYPT_MODE", value: "strict" }] }],
      },
    },
  });
  const policies = admissionPolicies.map((name) =>
    name === "tencrypt-projects"
      ? { ...policy(name), spec: { ...policy(name).spec, variables: modePatched("strict") } }
      : policy(name),
  );
  assert.deepEqual(worse({ controller, policies: read(policies) }), []);
  assert.deepEqual(worse({ controller }), ["TC-WH-03 failed"]);
});

test("pods that believe another root than the published one are told, and what does not say which is not", () => {
  const { value: published } = goodFacts.rootPem as { readonly value: string };
  const believing = (name: string, pins: readonly string[]): Pod => {
    const {
      initContainers: [init, proxy],
      ...spec
    } = protectedSpec();
    const env = [
      ...proxy!.env!.filter((each) => each.name !== "TENCRYPT_CA_ROOT_PINS"),
      { name: "TENCRYPT_CA_ROOT_PINS", value: pins.join(",") },
    ];
    return {
      metadata: { ...metadata, name, namespace: "shop" },
      spec: { containers: [], ...spec, initContainers: [init!, { ...proxy!, env }] } as unknown as Pod["spec"],
    };
  };
  const [old, current] = [pinOfPem(newRoot(now).certificate), pinOfPem(published)];
  const pods = [
    believing("new", [current]),
    believing("both", [old, current]),
    believing("any", []),
    believing("old", [old]),
  ];
  const facts = {
    ...goodFacts,
    authorities: read([...controlPlaneCa, { project: "shop", notAfter: now + 700 * day }]),
    projects: read([shop]),
  };
  const found = all({ ...facts, pods: read(pods) }).filter(({ level }) => level !== "good");
  assert.deepEqual(
    found.map(({ code, level, details }) => [code, level, details]),
    [["TC-PRJ-04", "failed", ["old"]]],
  );
  assert.deepEqual(
    all({ ...facts, pods: read(pods.slice(0, 3)) }).filter(({ level }) => level !== "good"),
    [],
  );
});

test("what is not installed is told to be installed", () => {
  const [finding] = all({ ...goodFacts, controller: read(null) }).filter(({ code }) => code === "TC-CP-01");
  assert.equal(finding?.next, "tencrypt install");
});
