/** The form of the directory document: what is required, what has a default, what refuses it and with which path. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseDocument } from "../../../../proxy/route/document.ts";
import type { Parsed } from "../../../../proxy/route/document.ts";
import { podsAt } from "../../../../proxy/route/snapshot.ts";
import type { Snapshot, Workload } from "../../../../proxy/route/snapshot.ts";
import { baseDocument, ip, snapshotOf } from "./world.ts";
import type { Json } from "./world.ts";

type Path = readonly (string | number)[];

/** A copy of the base document with the value at `path` replaced; undefined takes the field away. */
function changed(path: Path, value: unknown): Json {
  const document = baseDocument();
  let at: Json = document;
  for (const key of path.slice(0, -1)) at = at[key] as Json;
  const last = path.at(-1)!;
  if (value === undefined) delete at[last];
  else at[last] = value;
  return document;
}

const parse = (document: unknown): Parsed => parseDocument(JSON.stringify(document));

function problemsOf(parsed: Parsed): readonly string[] {
  assert.equal(parsed.kind, "refused");
  assert.equal(parsed.reason, "directory_malformed");
  return parsed.problems;
}

const warningsOf = (parsed: Parsed): readonly string[] =>
  parsed.kind === "snapshot" ? parsed.warnings : assert.fail(parsed.problems.join());

describe("a field that is required", () => {
  const cases: readonly (readonly [Path, string])[] = [
    [["version"], "version: missing: expected a whole number"],
    [["clusterRanges"], "clusterRanges: missing: expected a list"],
    [["projects"], "projects: missing: expected a list"],
    [["workloads"], "workloads: missing: expected a list"],
    [["services"], "services: missing: expected a list"],
    [["projects", 0, "name"], "projects[0].name: missing: expected a Kubernetes name"],
    [["projects", 0, "uid"], "projects[0].uid: missing: expected a uid"],
    [["projects", 0, "mode"], "projects[0].mode: missing: expected one of strict, project, permissive"],
    [["projects", 0, "peers", 1, "uid"], "projects[0].peers[1].uid: missing: expected a uid"],
    [["workloads", 2, "project"], "workloads[2].project: missing: expected a Kubernetes name"],
    [["workloads", 2, "serviceAccount"], "workloads[2].serviceAccount: missing: expected a Kubernetes name"],
    [["workloads", 2, "pod"], "workloads[2].pod: missing: expected a Kubernetes name"],
    [["workloads", 2, "uid"], "workloads[2].uid: missing: expected a uid"],
    [["workloads", 2, "ips"], "workloads[2].ips: missing: expected a list"],
    [["services", 3, "project"], "services[3].project: missing: expected a Kubernetes name"],
    [["services", 3, "name"], "services[3].name: missing: expected a Kubernetes name"],
    [["services", 3, "vips"], "services[3].vips: missing: expected a list"],
    [["services", 3, "ports"], "services[3].ports: missing: expected a list"],
    [["services", 3, "endpoints"], "services[3].endpoints: missing: expected a list"],
    [["services", 0, "ports", 0, "port"], "services[0].ports[0].port: missing: expected a port"],
    [["services", 3, "endpoints", 1, "ip"], "services[3].endpoints[1].ip: missing: expected an IP address"],
    [["services", 3, "endpoints", 1, "ports"], "services[3].endpoints[1].ports: missing: expected an object"],
    [["services", 3, "endpoints", 1, "ready"], "services[3].endpoints[1].ready: missing: expected true or false"],
  ];
  for (const [path, problem] of cases) {
    test(`refuses the document without it: ${problem.slice(0, problem.indexOf(":"))}`, () => {
      for (const absent of [undefined, null]) assert.equal(problemsOf(parse(changed(path, absent)))[0], problem);
    });
  }
});

const webOf = (snapshot: Snapshot): Workload => podsAt(snapshot, ip("10.0.0.3"))[0]!;

describe("a field that may be absent or null has a default", () => {
  const cases: readonly (readonly [Path, (snapshot: ReturnType<typeof snapshotOf>) => unknown, unknown])[] = [
    [["requires"], () => null, null],
    [["nodeAddresses"], (snapshot) => [...snapshot.nodeAddresses], []],
    [["projects", 0, "dryRun"], (snapshot) => snapshot.projects.get("shop")?.dryRun, null],
    [["projects", 0, "peers"], (snapshot) => snapshot.projects.get("shop")?.peers, []],
    [["projects", 0, "nodeSources"], (snapshot) => snapshot.projects.get("shop")?.nodeSources, null],
    [["projects", 0, "udp"], (snapshot) => snapshot.projects.get("shop")?.udp, "dns-only"],
    [["projects", 0, "allowEgress"], (snapshot) => snapshot.projects.get("shop")?.allowEgress, []],
    [["projects", 0, "allowIngress"], (snapshot) => snapshot.projects.get("shop")?.allowIngress, []],
    [["projects", 0, "allowFrom"], (snapshot) => snapshot.projects.get("shop")?.allowFrom, []],
    [["projects", 0, "allowFromDryRun"], (snapshot) => snapshot.projects.get("shop")?.allowFromDryRun, []],
    ...(["dryRun", "nodeSources", "allowEgress", "allowIngress"] as const).map(
      (key) => [["workloads", 1, key], (snapshot: Snapshot) => webOf(snapshot)[key], null] as const,
    ),
    [["services", 0, "sessionAffinity"], (snapshot) => snapshot.vips.get(ip("10.96.0.10"))?.sessionAffinity, "None"],
    [
      ["services", 0, "internalTrafficPolicy"],
      (snapshot) => snapshot.vips.get(ip("10.96.0.10"))?.internalTrafficPolicy,
      "Cluster",
    ],
    [["services", 0, "ports", 0, "nodePort"], (snapshot) => snapshot.nodePorts.size, 0],
    [
      ["services", 0, "ports", 0, "appProtocol"],
      (snapshot) => snapshot.vips.get(ip("10.96.0.10"))?.ports[0]?.appProtocol,
      null,
    ],
    [
      ["services", 0, "endpoints", 0, "zone"],
      (snapshot) => snapshot.vips.get(ip("10.96.0.10"))?.endpoints[0]?.zone,
      null,
    ],
    [
      ["services", 0, "endpoints", 0, "terminating"],
      (snapshot) => snapshot.vips.get(ip("10.96.0.10"))?.endpoints[0]?.terminating,
      false,
    ],
    [
      ["services", 0, "endpoints", 0, "serving"],
      (snapshot) => snapshot.vips.get(ip("10.96.0.10"))?.endpoints[0]?.serving,
      true,
    ],
  ];
  for (const [path, read, expected] of cases) {
    test(path.join("."), () => {
      for (const absent of [undefined, null]) assert.deepEqual(read(snapshotOf(changed(path, absent))), expected);
    });
  }
  test("a workload without tunnelPort is there and not protected", () => {
    const holder = snapshotOf(changed(["workloads", 1, "tunnelPort"], undefined)).holders.get(ip("10.0.0.3"));
    assert.equal(holder?.kind === "pod" && holder.workload.tunnelPort, null);
  });
});

describe("a wrong value", () => {
  const cases: readonly (readonly [Path, unknown, string])[] = [
    [["version"], "1", "version: expected a whole number"],
    [["version"], -1, "version: expected a whole number"],
    [["version"], 1.5, "version: expected a whole number"],
    [["version"], 2 ** 53, "version: expected a whole number"],
    [["requires"], "x", "requires: expected a list"],
    [["clusterRanges", 0], "10.0.0.1/16", "clusterRanges[0]: expected a CIDR whose bits behind the prefix are zero"],
    [["nodeAddresses", 0], "node-1", "nodeAddresses[0]: not an IP address"],
    [["projects", 0], [], "projects[0]: expected an object"],
    [["projects", 0, "name"], "Shop", "projects[0].name: expected a Kubernetes name"],
    [["projects", 0, "uid"], "", "projects[0].uid: expected a uid"],
    [["projects", 0, "mode"], 1, "projects[0].mode: expected one of strict, project, permissive"],
    [["projects", 0, "dryRun"], true, "projects[0].dryRun: expected one of strict, project, permissive"],
    [["projects", 0, "nodeSources"], "maybe", "projects[0].nodeSources: expected one of refuse, accept"],
    [["projects", 0, "udp"], "drop", "projects[0].udp: expected one of dns-only, allow"],
    [["projects", 0, "allowEgress"], ["0.0.0.0"], "projects[0].allowEgress[0]: expected a CIDR[:port]"],
    [
      ["projects", 0, "allowIngress"],
      ["10.0.0.1/8"],
      "projects[0].allowIngress[0]: expected a CIDR[:port] or <project>/<service account>[:port]",
    ],
    [["projects", 0, "allowFrom"], ["shop/*"], "projects[0].allowFrom[0]: expected <project>/<service account>[:port]"],
    [["projects", 0, "allowFrom"], "shop/web", "projects[0].allowFrom: expected a list"],
    [["workloads", 1, "dryRun"], 1, "workloads[1].dryRun: expected one of strict, project, permissive"],
    [["workloads", 1, "nodeSources"], "maybe", "workloads[1].nodeSources: expected one of refuse, accept"],
    [["workloads", 1, "allowEgress"], ["shop/web"], "workloads[1].allowEgress[0]: expected a CIDR[:port]"],
    [["workloads", 1, "allowIngress"], "shop/web", "workloads[1].allowIngress: expected a list"],
    [["workloads", 1, "tunnelPort"], 0, "workloads[1].tunnelPort: expected a port"],
    [["workloads", 1, "tunnelPort"], "15008", "workloads[1].tunnelPort: expected a port"],
    [["workloads", 1, "uid"], "a b", "workloads[1].uid: expected a uid"],
    [["workloads", 1, "ips"], Array<string>(65).fill("10.0.0.3"), "workloads[1].ips: more than 64 items"],
    [["services", 3, "endpoints", 0, "ip"], "localhost", "services[3].endpoints[0].ip: not an IP address"],
    [
      ["services", 3, "endpoints", 0, "ports"],
      { "080": 1 },
      "services[3].endpoints[0].ports.080: its key is not a port",
    ],
    [["services", 3, "endpoints", 0, "ports"], { "80": 65536 }, "services[3].endpoints[0].ports.80: expected a port"],
    [["services", 3, "endpoints", 0, "ports"], [80], "services[3].endpoints[0].ports: expected an object"],
    [["services", 3, "endpoints", 0, "ready"], "true", "services[3].endpoints[0].ready: expected true or false"],
    [["services", 3, "sessionAffinity"], "Cookie", "services[3].sessionAffinity: expected one of None, ClientIP"],
    [
      ["services", 3, "ports", 0, "appProtocol"],
      "x".repeat(254),
      "services[3].ports[0].appProtocol: expected a text of at most 253 characters",
    ],
  ];
  for (const [path, value, problem] of cases) {
    test(`refuses the document: ${problem}`, () => assert.equal(problemsOf(parse(changed(path, value)))[0], problem));
  }
  const addresses: Readonly<Record<string, string>> = {
    "::ffff:10.0.0.3": "not an IP address",
    "::ffff:a00:3": "not an IP address",
    "10.0.0.03": "not an IP address",
    "fe80::1%eth0": "not an IP address",
    "FD00::3": "not in canonical form: fd00::3",
    "fd00:0::3": "not in canonical form: fd00::3",
    "127.0.0.1": "a loopback address",
    "127.255.0.9": "a loopback address",
    "::1": "a loopback address",
    "169.254.169.254": "a link-local address",
    "fe80::1": "a link-local address",
    "0.0.0.0": "an address that no host can have",
    "::": "an address that no host can have",
    "224.0.0.1": "an address that no host can have",
    "255.255.255.255": "an address that no host can have",
    "ff02::1": "an address that no host can have",
  };
  for (const [address, problem] of Object.entries(addresses)) {
    test(`an address that is none: ${address}`, () => {
      assert.deepEqual(problemsOf(parse(changed(["workloads", 1, "ips", 0], address))), [
        `workloads[1].ips[0]: ${problem}`,
      ]);
      assert.deepEqual(problemsOf(parse(changed(["services", 3, "endpoints", 0, "ip"], address))), [
        `services[3].endpoints[0].ip: ${problem}`,
      ]);
      assert.deepEqual(problemsOf(parse(changed(["services", 3, "vips", 0], address))), [
        `services[3].vips[0]: ${problem}`,
      ]);
    });
  }
});

test("all problems are told at once, and beyond twenty their number", () => {
  const document = baseDocument();
  document["version"] = null;
  document.workloads = Array.from({ length: 30 }, () => ({ ...document.workloads[1], pod: "" }));
  const problems = problemsOf(parse(document));
  assert.equal(problems[0], "version: missing: expected a whole number");
  assert.equal(problems.length, 21);
  assert.match(problems[20]!, /^and [0-9]+ more$/);
});

describe("what is claimed twice", () => {
  const added = (list: "projects" | "workloads" | "services", ...entries: Json[]): Json => {
    const document = baseDocument();
    document[list].push(...entries);
    return document;
  };
  const service = (name: string, vips: string[], ports: Json[] = [{ port: 80 }]): Json => ({
    project: "shop",
    name,
    vips,
    ports,
    endpoints: [],
  });
  const cases: readonly (readonly [Json, string])[] = [
    [added("projects", baseDocument().projects[0]!), "projects[4]: project shop is there twice"],
    [
      added("workloads", { ...baseDocument().workloads[0], pod: "x", ips: [] }),
      "workloads[11]: pod uid uid-cart-1 is there twice",
    ],
    [
      added("services", service("thief", ["10.96.0.10"])),
      "services[13]: address 10.96.0.10 is already that of Service shop/web",
    ],
    [added("services", service("thief", ["10.0.0.3"])), "services[13]: address 10.0.0.3 is that of a pod"],
    [
      added("services", service("thief", [], [{ port: 80, nodePort: 30080 }])),
      "services[13]: node port 30080 is already that of Service shop/web",
    ],
    [added("services", service("double", [], [{ port: 80 }, { port: 80 }])), "services[13]: port 80 is there twice"],
  ];
  for (const [document, problem] of cases)
    test(problem, () => assert.deepEqual(problemsOf(parse(document)), [problem]));

  test("an address of two live pods is held by neither, and told", () => {
    const parsed = parse(baseDocument());
    assert.deepEqual(warningsOf(parsed), ["address 10.0.0.66: claimed by shop/twin-1, other/twin-2"]);
    const holder = snapshotOf(baseDocument()).holders.get(ip("10.0.0.66"));
    assert.deepEqual(holder?.kind === "conflict" && holder.workloads.map((workload) => workload.uid), [
      "uid-twin-1",
      "uid-twin-2",
    ]);
  });
  test("of the many pods that claim one address a few are named, and all are counted", () => {
    const document = baseDocument();
    const of = (index: number): Json => ({
      ...document.workloads[4],
      pod: `claimant-${index}`,
      uid: `uid-claimant-${index}`,
    });
    document.workloads.push(...Array.from({ length: 20_000 }, (_, index) => of(index)));
    const holder = snapshotOf(document).holders.get(ip("10.0.0.66"));
    assert.equal(holder?.kind === "conflict" && holder.workloads.length, 20_002);
    assert.deepEqual(warningsOf(parse(document)), [
      `address 10.0.0.66: claimed by shop/twin-1, other/twin-2, ${[0, 1, 2, 3, 4, 5].map((index) => `shop/claimant-${index}`).join(", ")} and 19994 more`,
    ]);
  });
  test("an address that one pod names twice is no conflict", () => {
    assert.equal(
      snapshotOf(changed(["workloads", 1, "ips"], ["10.0.0.3", "10.0.0.3"])).holders.get(ip("10.0.0.3"))?.kind,
      "pod",
    );
  });
});

describe("what is unknown here", () => {
  const told = (document: Json): readonly string[] =>
    warningsOf(parse(document)).filter((warning) => !warning.startsWith("address"));

  test("an unknown field is ignored with a warning, one for all items of a list", () => {
    const document = baseDocument();
    document.workloads = document.workloads.map((workload) => ({ ...workload, colour: "red" }));
    assert.deepEqual(told({ ...document, extra: 1 }), [
      "extra: unknown field, ignored",
      "workloads[].colour: unknown field, ignored",
    ]);
  });
  test("an unknown mode counts as strict, with a warning", () => {
    const document = changed(["projects", 0, "mode"], "lenient");
    assert.deepEqual(told(document), ["projects[].mode: unknown mode, counts as strict"]);
    assert.equal(snapshotOf(document).projects.get("shop")?.mode, "strict");
  });
  test("a required feature refuses the document, before any other problem", () => {
    assert.deepEqual(parse({ requires: ["quic", "\n"], version: "?" }), {
      kind: "refused",
      reason: "directory_requires_unknown_feature",
      problems: ['requires[0]: "quic" is not known here', 'requires[1]: "\\n" is not known here'],
    });
  });
  test("a port of an endpoint that its Service does not have is ignored with a warning", () => {
    const document = changed(["services", 0, "endpoints", 0, "ports"], { "80": 8080, "81": 8081 });
    assert.deepEqual(told(document), ["services[].endpoints[].ports.81: the Service has no such port, ignored"]);
  });
  test("without cluster ranges nothing can be unknown: a warning", () => {
    assert.match(told(changed(["clusterRanges"], [])).join(), /^clusterRanges: empty/);
  });
  test("a flood of unknown fields stays twenty lines, and long or odd names are cut and quoted", () => {
    const odd = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`${"x".repeat(100)}\n${index}`, 1]));
    const warnings = warningsOf(parse({ ...baseDocument(), ...odd, a: 1 }));
    assert.ok(warnings.length <= 20);
    assert.ok(warnings.every((warning) => warning.length < 200 && !warning.includes("\n")));
  });
});

test("keys that reach for prototypes are unknown fields and nothing more", () => {
  const text = JSON.stringify(baseDocument()).replace(
    "{",
    '{"__proto__":{"version":99,"polluted":1},"constructor":{"prototype":{"polluted":1}},',
  );
  const parsed = parseDocument(text.replace('"ports":{"80":8080}', '"ports":{"80":8080,"__proto__":{"81":1}}'));
  assert.equal(parsed.kind, "refused", "a key of a port map that is no port");
  const harmless = parseDocument(text);
  assert.equal(harmless.kind === "snapshot" && harmless.snapshot.version, 1);
  assert.equal(({} as Json)["polluted"], undefined);
  assert.equal(
    parseDocument('{"__proto__":{"version":1,"clusterRanges":[],"projects":[],"workloads":[],"services":[]}}').kind,
    "refused",
  );
});

test("what is no JSON object is refused", () => {
  for (const text of ["", " ", "{", "null", "[]", "1", '"x"', "{}x", "\u0000", "NaN", "[".repeat(100_000)]) {
    assert.ok(problemsOf(parseDocument(text))[0]!.startsWith("document: "), text.slice(0, 10));
  }
});

test("a problem with the JSON quotes nothing of the document", () => {
  assert.deepEqual(problemsOf(parseDocument('{"secret": hidden}')), ["document: not JSON"]);
});
