/** One case for each rule of who may come in, by stream and in clear. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PodIdentity } from "../../../../lib/x509/verify.ts";
import { authorizeClear, authorizeStream } from "../../../../proxy/route/authorize.ts";
import type { ClearDecision, StreamDecision, StreamInput } from "../../../../proxy/route/authorize.ts";
import type { LookUpAnswer } from "../../../../proxy/route/policy.ts";
import { endpoint, ip, modes, self, viewWith } from "./world.ts";
import type { Json } from "./world.ts";

const podIdentity = (podUid: string): PodIdentity => ({
  namespace: "",
  namespaceUid: "",
  serviceAccount: "",
  serviceAccountUid: "",
  pod: "",
  podUid,
  node: "",
  nodeUid: "",
});

const peer = (name: string, podUid: string): StreamInput["peer"] => {
  const [project, serviceAccount] = name.split("/") as [string, string];
  return { id: { trustDomain: "example.org", project, serviceAccount }, pod: podIdentity(podUid) };
};

const web = peer("shop/web", "uid-web-1");

/** A stream from web-1 to the own port 8080, with parts replaced. */
const stream = (change: Partial<StreamInput> = {}): StreamDecision =>
  authorizeStream({
    authority: "10.0.0.2:8080",
    pod: null,
    source: ip("10.0.0.3"),
    peer: web,
    self,
    view: viewWith({}),
    ...change,
  });

const toldStream = (decision: StreamDecision): string =>
  decision.kind === "allow"
    ? `allow ${decision.endpoint.ip} ${decision.endpoint.port}${decision.dryRun === null ? "" : ` but ${decision.dryRun.reason}`}`
    : `${decision.status} ${decision.reason}`;

describe("the authority of a stream", () => {
  const cases: Readonly<Record<string, string>> = {
    "10.0.0.2:8080": "allow 10.0.0.2 8080",
    "[fd00::2]:8080": "allow fd00::2 8080",
    "10.0.0.3:8080": "403 not_my_address",
    "192.0.2.10:8080": "403 not_my_address",
    "127.0.0.1:8080": "403 not_my_address",
    "[::1]:8080": "403 not_my_address",
    "169.254.169.254:80": "403 not_my_address",
    "[fe80::2]:8080": "403 not_my_address",
    "0.0.0.0:8080": "403 not_my_address",
    "[::ffff:10.0.0.2]:8080": "400 bad_request",
    "[::ffff:a00:2]:8080": "400 bad_request",
    "[FD00::2]:8080": "400 bad_request",
    "[fd00:0::2]:8080": "400 bad_request",
    "fd00::2:8080": "400 bad_request",
    "[10.0.0.2]:8080": "400 bad_request",
    "10.0.0.2": "400 bad_request",
    "10.0.0.2:": "400 bad_request",
    "10.0.0.2:0": "400 bad_request",
    "10.0.0.2:08080": "400 bad_request",
    "10.0.0.2:65536": "400 bad_request",
    "10.0.0.02:8080": "400 bad_request",
    "10.0.0.2:8080 ": "400 bad_request",
    "user@10.0.0.2:8080": "400 bad_request",
    "localhost:8080": "400 bad_request",
    "cart.shop.svc:8080": "400 bad_request",
    "167772162:8080": "400 bad_request",
    "0x0a.0.0.2:8080": "400 bad_request",
    "": "400 bad_request",
  };
  for (const [authority, outcome] of Object.entries(cases)) {
    test(`${JSON.stringify(authority)} gives ${outcome}`, () => {
      assert.equal(toldStream(stream({ authority })), outcome);
      const before = toldStream(stream({ authority, view: null }));
      assert.equal(before, outcome.startsWith("allow") ? "503 no_directory" : outcome);
    });
  }
  for (const port of [15000, 15001, 15006, 15008, 15020, 15021]) {
    test(`the proxy port ${port} is refused at the own address and elsewhere`, () => {
      for (const host of ["10.0.0.2", "[fd00::2]", "127.0.0.1", "10.0.0.3"])
        assert.equal(toldStream(stream({ authority: `${host}:${port}` })), "403 proxy_port");
    });
  }
  test("loopback is refused even if it were configured as an own address", () => {
    const odd = { ...self, ips: new Set([ip("127.0.0.1"), ip("fe80::2")]) };
    assert.equal(toldStream(stream({ authority: "127.0.0.1:80", self: odd })), "403 not_my_address");
    assert.equal(toldStream(stream({ authority: "[fe80::2]:80", self: odd })), "403 not_my_address");
  });
});

describe("the caller of a stream", () => {
  test("may mean this pod, and no other", () => {
    assert.equal(toldStream(stream({ pod: "uid-cart-1" })), "allow 10.0.0.2 8080");
    assert.equal(toldStream(stream({ pod: "uid-cart-0" })), "403 not_my_address");
  });
  test("must be the pod that the directory knows at its source address", () => {
    assert.equal(toldStream(stream({ source: ip("10.0.0.5") })), "403 wrong_pod");
    assert.equal(toldStream(stream({ source: ip("10.0.2.2") })), "403 wrong_pod");
    assert.equal(toldStream(stream({ peer: { ...web, pod: null } })), "403 wrong_pod");
  });
  test("is decided by the certificate alone where the directory does not know the source address", () => {
    for (const source of ["10.0.0.99", "192.0.2.10", "198.51.100.1"])
      assert.equal(toldStream(stream({ source: ip(source) })), "allow 10.0.0.2 8080");
  });
  test("is refused from an address that two pods claim", () => {
    assert.equal(
      toldStream(stream({ source: ip("10.0.0.66"), peer: peer("shop/twin", "uid-twin-1") })),
      "403 address_conflict",
    );
  });
  test("must be of the project or of a mutual peer, also on a session from better days", () => {
    assert.equal(
      toldStream(stream({ source: ip("10.0.1.2"), peer: peer("billing/bill", "uid-bill-1") })),
      "allow 10.0.0.2 8080",
    );
    assert.equal(
      toldStream(stream({ source: ip("10.0.2.2"), peer: peer("other/api", "uid-api-1") })),
      "403 identity_mismatch",
    );
    assert.equal(
      toldStream(stream({ source: ip("10.0.3.2"), peer: peer("bank/vault", "uid-vault-1") })),
      "403 identity_mismatch",
    );
  });
});

describe("allow-from on streams", () => {
  const by = (shop: Json, cart: Json, authority = "10.0.0.2:8080"): string =>
    toldStream(stream({ authority, view: viewWith({ shop, cart }) }));

  test("empty lists let every internal caller in", () =>
    assert.equal(by({ allowFrom: [] }, { allowFrom: [] }), "allow 10.0.0.2 8080"));
  test("names the caller exactly", () => {
    assert.equal(by({}, { allowFrom: ["shop/web"] }), "allow 10.0.0.2 8080");
    for (const rule of ["shop/we", "shop/web-1", "shop/web.x", "shop-x/web", "billing/web", "shop/cart"]) {
      assert.equal(by({}, { allowFrom: [rule] }), "403 caller_not_allowed", rule);
    }
  });
  test("names the local port where it has one", () => {
    assert.equal(by({}, { allowFrom: ["shop/web:8080"] }), "allow 10.0.0.2 8080");
    assert.equal(by({}, { allowFrom: ["shop/web:8080"] }, "10.0.0.2:8081"), "403 caller_not_allowed");
  });
  test("of namespace and workload have to name the caller both", () => {
    assert.equal(by({ allowFrom: ["shop/web"] }, { allowFrom: ["shop/web"] }), "allow 10.0.0.2 8080");
    assert.equal(by({ allowFrom: ["shop/web"] }, { allowFrom: ["shop/other"] }), "403 caller_not_allowed");
    assert.equal(by({ allowFrom: ["shop/other"] }, { allowFrom: ["shop/web"] }), "403 caller_not_allowed");
  });
  test("is enforced in every mode, dry run or not", () => {
    for (const mode of modes)
      assert.equal(by({ mode, dryRun: "strict" }, { allowFrom: ["shop/other"] }), "403 caller_not_allowed");
  });
  test("as a dry run is told and lets the caller in", () => {
    assert.equal(by({}, { allowFromDryRun: ["shop/other"] }), "allow 10.0.0.2 8080 but caller_not_allowed");
    assert.equal(by({ allowFromDryRun: ["shop/web:1"] }, {}), "allow 10.0.0.2 8080 but caller_not_allowed");
    assert.equal(by({ allowFromDryRun: ["shop/web"] }, { allowFrom: ["shop/web"] }), "allow 10.0.0.2 8080");
  });
});

const toldClear = (decision: ClearDecision): string => {
  if (decision.kind === "look-up") return `look-up ${decision.ip}${decision.lastWillDo ? ", the last will do" : ""}`;
  if (decision.kind === "refuse") return `refuse ${decision.reason} (${decision.class})`;
  return `allow (${decision.class})${decision.dryRun === null ? "" : ` but ${decision.dryRun.reason}`}`;
};

type ClearOptions = { shop?: Json; cart?: Json; lookUp?: LookUpAnswer; destination?: string };

const clear = (source: string, options: ClearOptions = {}): string =>
  toldClear(
    authorizeClear({
      destination: endpoint(options.destination ?? "10.0.0.2:8080"),
      source: ip(source),
      self,
      view: viewWith({ shop: options.shop ?? {}, cart: options.cart ?? {} }),
      lookUp: options.lookUp ?? null,
    }),
  );

const inModes = (source: string, options: ClearOptions = {}): string[] =>
  modes.map((mode) => clear(source, { ...options, shop: { ...options.shop, mode } }));

describe("clear text in permissive, project and strict", () => {
  const rows: Readonly<Record<string, readonly [source: string, ClearOptions, readonly string[]]>> = {
    "from a protected pod of the project": [
      "10.0.0.3",
      {},
      ["allow (internal)", "refuse plaintext_refused (internal)", "refuse plaintext_refused (internal)"],
    ],
    "from an unprotected pod of the project": [
      "10.0.0.4",
      {},
      ["allow (internal)", "refuse plaintext_refused (internal)", "refuse plaintext_refused (internal)"],
    ],
    "from a mutual peer": [
      "10.0.1.2",
      {},
      ["allow (internal)", "refuse plaintext_refused (internal)", "refuse plaintext_refused (internal)"],
    ],
    "from the own address": [
      "10.0.0.2",
      {},
      ["allow (self)", "refuse plaintext_refused (self)", "refuse plaintext_refused (self)"],
    ],
    "from another project": [
      "10.0.2.2",
      {},
      ["allow (other-project)", "allow (other-project)", "refuse plaintext_refused (other-project)"],
    ],
    "from a project that does not name us back": [
      "10.0.3.2",
      {},
      ["allow (other-project)", "allow (other-project)", "refuse plaintext_refused (other-project)"],
    ],
    "from outside": [
      "198.51.100.1",
      {},
      ["allow (external)", "allow (external)", "refuse plaintext_refused (external)"],
    ],
    "from a node": ["192.0.2.10", {}, ["allow (node)", "allow (node)", "refuse node_source_refused (node)"]],
    "from a node where node sources are refused": [
      "192.0.2.10",
      { shop: { nodeSources: "refuse" } },
      Array<string>(3).fill("refuse node_source_refused (node)"),
    ],
    "from a node where node sources are accepted": [
      "192.0.2.10",
      { shop: { nodeSources: "accept" } },
      Array<string>(3).fill("allow (node)"),
    ],
    "from an address that two pods claim": [
      "10.0.0.66",
      {},
      Array<string>(3).fill("refuse address_conflict (internal)"),
    ],
    "from an unknown address: first a look-up": [
      "10.0.0.99",
      {},
      ["look-up 10.0.0.99, the last will do", "look-up 10.0.0.99, the last will do", "look-up 10.0.0.99"],
    ],
    "from an unknown address that nobody answers for": [
      "10.0.0.99",
      { lookUp: "no-answer" },
      ["allow (unknown)", "refuse source_unknown (unknown)", "refuse source_unknown (unknown)"],
    ],
    "from an unknown address that the view still does not name": [
      "10.0.0.99",
      { lookUp: "held" },
      ["allow (unknown)", "refuse source_unknown (unknown)", "refuse source_unknown (unknown)"],
    ],
    "from an address of the pod range that no pod holds: a node's": [
      "10.0.0.99",
      { lookUp: "unheld" },
      ["allow (node)", "allow (node)", "refuse node_source_refused (node)"],
    ],
    "from where pods may be, and no pod holds it: from outside": [
      "172.16.0.9",
      { lookUp: "unheld" },
      ["allow (external)", "allow (external)", "refuse plaintext_refused (external)"],
    ],
    "from where pods may be, and nobody answers": [
      "172.16.0.9",
      { lookUp: "no-answer" },
      ["allow (unknown)", "refuse source_unknown (unknown)", "refuse source_unknown (unknown)"],
    ],
  };
  for (const [name, [source, options, outcomes]] of Object.entries(rows)) {
    test(name, () => assert.deepEqual(inModes(source, options), outcomes));
  }
  test("for a proxy's port or for another address is refused whoever asks", () => {
    for (const port of self.proxyPorts)
      assert.deepEqual(
        inModes("198.51.100.1", { destination: `10.0.0.2:${port}` }),
        Array<string>(3).fill("refuse proxy_port (none)"),
      );
    for (const host of ["10.0.0.3", "127.0.0.1", "[::1]", "169.254.1.1"]) {
      assert.deepEqual(
        inModes("198.51.100.1", { destination: `${host}:8080` }),
        Array<string>(3).fill("refuse not_my_address (none)"),
        host,
      );
    }
  });
  test("before the first snapshot is refused", () => {
    const decision = authorizeClear({
      destination: endpoint("10.0.0.2:8080"),
      source: ip("198.51.100.1"),
      self,
      view: null,
      lookUp: null,
    });
    assert.equal(toldClear(decision), "refuse no_directory (none)");
  });
});

describe("clear text of who was nobody when it was last asked for, in permissive, project and strict", () => {
  const rows: Readonly<Record<string, readonly [source: string, ClearOptions, readonly string[]]>> = {
    "from an address of the pod range: a node's, but for strict, which has to know": [
      "10.0.0.99",
      { lookUp: "last-unheld" },
      ["allow (node)", "allow (node)", "refuse source_unknown (unknown)"],
    ],
    "the same where clear text of nodes is taken, and a rule names the address": [
      "10.0.0.99",
      { lookUp: "last-unheld", shop: { nodeSources: "accept", allowIngress: ["10.0.0.0/16"] } },
      ["allow (node)", "allow (node)", "refuse source_unknown (unknown)"],
    ],
    "from where pods may be: from outside, but for strict": [
      "172.16.0.9",
      { lookUp: "last-unheld" },
      ["allow (external)", "allow (external)", "refuse source_unknown (unknown)"],
    ],
  };
  for (const [name, [source, options, outcomes]] of Object.entries(rows)) {
    test(name, () => assert.deepEqual(inModes(source, options), outcomes));
  }
});

describe("allow-ingress", () => {
  const strict = (source: string, allowIngress: string[], options: ClearOptions = {}): string =>
    clear(source, { ...options, shop: { mode: "strict", allowIngress, ...options.shop } });

  test("names sources outside, of another project and of nodes, and the local port", () => {
    assert.equal(strict("198.51.100.1", ["198.51.100.0/24"]), "allow (external)");
    assert.equal(strict("198.51.100.1", ["198.51.100.0/24:8080"]), "allow (external)");
    assert.equal(strict("198.51.100.1", ["198.51.100.0/24:8081"]), "refuse plaintext_refused (external)");
    assert.equal(strict("10.0.2.2", ["10.0.2.0/24"]), "allow (other-project)");
    assert.equal(strict("192.0.2.10", ["192.0.2.10/32"]), "allow (node)");
    assert.equal(strict("10.0.0.99", ["10.0.0.0/16"], { lookUp: "unheld" }), "allow (node)");
  });
  test("may name the account that the directory gives the source address", () => {
    assert.equal(strict("10.0.2.2", ["other/api:8080"]), "allow (other-project)");
    assert.equal(strict("10.0.2.2", ["other/api:8081"]), "refuse plaintext_refused (other-project)");
    assert.equal(strict("10.0.2.2", ["other/ap"]), "refuse plaintext_refused (other-project)");
  });
  test("of a workload narrows that of its project: both have to name it", () => {
    const both = (project: string[], workload: string[] | null): string =>
      strict("10.0.2.2", project, { cart: { allowIngress: workload } });
    assert.equal(both(["10.0.2.0/24"], null), "allow (other-project)");
    assert.equal(both(["10.0.2.0/24"], ["10.0.2.2/32:8080"]), "allow (other-project)");
    // By its address and by its name.
    assert.equal(both(["10.0.2.0/24"], ["other/api"]), "allow (other-project)");
    assert.equal(both(["other/api"], ["10.0.2.0/24"]), "allow (other-project)");
    assert.equal(both(["10.0.2.0/24"], ["other/web"]), "refuse plaintext_refused (other-project)");
    assert.equal(both(["10.0.2.0/24"], ["10.0.2.0/24:8081"]), "refuse plaintext_refused (other-project)");
    assert.equal(both(["10.0.2.0/24"], []), "refuse plaintext_refused (other-project)");
    assert.equal(both([], ["10.0.2.0/24"]), "refuse plaintext_refused (other-project)");
  });
  test("never names an internal or unknown source, nor a conflict", () => {
    const all = ["0.0.0.0/0", "::/0", "shop/web", "shop/bare", "billing/bill", "shop/twin"];
    for (const source of ["10.0.0.3", "10.0.0.4", "10.0.1.2"])
      assert.equal(strict(source, all), "refuse plaintext_refused (internal)");
    assert.equal(strict("10.0.0.99", all), "look-up 10.0.0.99");
    assert.equal(strict("10.0.0.99", all, { lookUp: "no-answer" }), "refuse source_unknown (unknown)");
    assert.equal(strict("10.0.0.66", all), "refuse address_conflict (internal)");
  });
});

describe("what a workload says of its own", () => {
  test("node-sources: refuses nodes where the project accepts them, and does not accept where it refuses", () => {
    const node = (shop: Json, cart: Json): string => clear("192.0.2.10", { shop, cart });
    assert.equal(node({ mode: "project" }, { nodeSources: "refuse" }), "refuse node_source_refused (node)");
    assert.equal(node({ mode: "strict", nodeSources: "accept" }, {}), "allow (node)");
    assert.equal(
      node({ mode: "strict", nodeSources: "accept" }, { nodeSources: "refuse" }),
      "refuse node_source_refused (node)",
    );
    assert.equal(node({ mode: "strict" }, { nodeSources: "accept" }), "refuse node_source_refused (node)");
  });
  test("dry-run: tells what the stricter mode would refuse of this one, and lets it in", () => {
    const tried = (shop: Json, cart: Json): string => clear("198.51.100.1", { shop, cart });
    assert.equal(tried({ mode: "project" }, { dryRun: "strict" }), "allow (external) but plaintext_refused");
    assert.equal(tried({ mode: "project" }, { dryRun: "project" }), "allow (external)");
  });
});

describe("allow-from on clear text", () => {
  test("knows a caller by its address only", () => {
    assert.equal(clear("10.0.0.4", { cart: { allowFrom: ["shop/bare"] } }), "allow (internal)");
    assert.equal(clear("10.0.0.4", { cart: { allowFrom: ["shop/web"] } }), "refuse caller_not_allowed (internal)");
    assert.equal(clear("10.0.2.2", { shop: { mode: "project", allowFrom: ["other/api"] } }), "allow (other-project)");
    assert.equal(
      clear("10.0.2.2", { shop: { mode: "project", allowFrom: ["other/api:1"] } }),
      "refuse caller_not_allowed (other-project)",
    );
  });
  test("refuses who has no name, unless allow-ingress names it", () => {
    const allowFrom = ["shop/web"];
    assert.equal(clear("198.51.100.1", { cart: { allowFrom } }), "refuse caller_not_allowed (external)");
    assert.equal(clear("192.0.2.10", { cart: { allowFrom } }), "refuse caller_not_allowed (node)");
    assert.equal(
      clear("10.0.0.99", { cart: { allowFrom }, lookUp: "no-answer" }),
      "refuse caller_not_allowed (unknown)",
    );
    assert.equal(
      clear("198.51.100.1", { cart: { allowFrom }, shop: { allowIngress: ["198.51.100.1/32"] } }),
      "allow (external)",
    );
  });
  test("does not let in what the mode refuses", () => {
    assert.equal(
      clear("10.0.0.3", { shop: { mode: "project" }, cart: { allowFrom: ["shop/web"] } }),
      "refuse plaintext_refused (internal)",
    );
    assert.equal(
      clear("10.0.2.2", { shop: { mode: "strict", allowFrom: ["other/api"] } }),
      "refuse plaintext_refused (other-project)",
    );
  });
  test("as a dry run is told and lets the caller in", () => {
    assert.equal(
      clear("198.51.100.1", { cart: { allowFromDryRun: ["shop/web"] } }),
      "allow (external) but caller_not_allowed",
    );
    assert.equal(clear("10.0.0.3", { cart: { allowFromDryRun: ["shop/web"] } }), "allow (internal)");
  });
});

describe("a dry run on clear text", () => {
  const dry = (mode: string, dryRun: string, source: string, lookUp?: LookUpAnswer): string =>
    clear(source, { shop: { mode, dryRun }, ...(lookUp === undefined ? {} : { lookUp }) });
  test("tells what the stricter mode would refuse, and lets it in", () => {
    assert.equal(dry("permissive", "project", "10.0.0.3"), "allow (internal) but plaintext_refused");
    assert.equal(dry("permissive", "project", "198.51.100.1"), "allow (external)");
    assert.equal(dry("permissive", "strict", "198.51.100.1"), "allow (external) but plaintext_refused");
    assert.equal(dry("project", "strict", "192.0.2.10"), "allow (node) but node_source_refused");
    assert.equal(dry("permissive", "project", "10.0.0.99", "no-answer"), "allow (unknown) but source_unknown");
    assert.equal(dry("project", "strict", "10.0.0.99", "last-unheld"), "allow (node) but node_source_refused");
  });
});
