/** One case for each rule of routing: what each mode makes of each kind of destination. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatEndpoint } from "../../../../lib/net/address.ts";
import type { LookUpAnswer, View } from "../../../../proxy/route/policy.ts";
import { route } from "../../../../proxy/route/route.ts";
import type { Route } from "../../../../proxy/route/route.ts";
import { baseDocument, endpoint, modes, ready, viewWith } from "./world.ts";
import type { Json } from "./world.ts";

/** One line that says all that the data path acts on. */
function told(decided: Route): string {
  switch (decided.kind) {
    case "tunnel":
      return `tunnel ${decided.candidates.map((to) => `${formatEndpoint(to)} by ${to.tunnelPort} to ${to.workload.uid}`).join(", ")}`;
    case "clear":
      return `clear (${decided.why}) ${decided.endpoints.map(formatEndpoint).join(", ")}`;
    case "clear-if-tls":
      return `clear-if-tls ${decided.endpoints.map(formatEndpoint).join(", ")}`;
    case "local":
      return `local ${formatEndpoint(decided.endpoint)}`;
    case "look-up":
      return `look-up ${decided.ip}`;
    case "refuse":
      return `refuse ${decided.reason}`;
  }
}

const classOf = (decided: Route): string => (decided.kind === "look-up" ? "unknown" : decided.class);

type Options = { lookUp?: LookUpAnswer; pick?: number };

/** `lookUp` is what was told of the address that was to be looked up. */
const to = (view: View | null, destination: string, { pick = 0, lookUp }: Options = {}): Route => {
  const input = { destination: endpoint(destination), view, pick };
  const first = route({ ...input, lookUp: null, asked: null });
  return first.kind === "look-up" && lookUp !== undefined ? route({ ...input, lookUp, asked: first.ip }) : first;
};

/** What is dialled, its class, and the outcome: one for all modes or one each for permissive, project, strict. */
type Row = readonly [destination: string, peerClass: string, ...outcomes: [string] | [string, string, string]];

function table(title: string, rows: Readonly<Record<string, Row>>, options: Options = {}): void {
  describe(title, () => {
    for (const [name, [destination, peerClass, ...outcomes]] of Object.entries(rows)) {
      test(name, () => {
        for (const [index, mode] of modes.entries()) {
          const decided = to(viewWith({ shop: { mode } }), destination, options);
          assert.equal(told(decided), outcomes[index] ?? outcomes[0], mode);
          assert.equal(classOf(decided), peerClass, mode);
        }
      });
    }
  });
}

table("a pod address", {
  "of a protected pod of the project: the tunnel, and no alternative": [
    "10.0.0.3:8080",
    "internal",
    "tunnel 10.0.0.3:8080 by 15008 to uid-web-1",
  ],
  "of IPv6": ["[fd00::3]:8080", "internal", "tunnel [fd00::3]:8080 by 15008 to uid-web-1"],
  "of a pod whose tunnel has another port": ["10.0.0.5:8080", "internal", "tunnel 10.0.0.5:8080 by 25008 to uid-web-2"],
  "of an unprotected pod of the project": [
    "10.0.0.4:8080",
    "internal",
    "clear (permissive) 10.0.0.4:8080",
    "refuse peer_not_enrolled",
    "refuse peer_not_enrolled",
  ],
  "of a protected pod of a mutual peer": ["10.0.1.2:80", "internal", "tunnel 10.0.1.2:80 by 15008 to uid-bill-1"],
  "of an unprotected pod of a mutual peer": [
    "10.0.1.3:80",
    "internal",
    "clear (permissive) 10.0.1.3:80",
    "refuse peer_not_enrolled",
    "refuse peer_not_enrolled",
  ],
  "of a project that does not name us back": [
    "10.0.3.2:80",
    "other-project",
    "clear (outside) 10.0.3.2:80",
    "clear (outside) 10.0.3.2:80",
    "clear-if-tls 10.0.3.2:80",
  ],
  "of another project, protected or not": [
    "10.0.2.2:80",
    "other-project",
    "clear (outside) 10.0.2.2:80",
    "clear (outside) 10.0.2.2:80",
    "clear-if-tls 10.0.2.2:80",
  ],
  "that two live pods claim": ["10.0.0.66:80", "internal", "refuse address_conflict"],
  "of the own pod": ["10.0.0.2:8080", "self", "local 10.0.0.2:8080"],
  "of the own pod in IPv6": ["[fd00::2]:8080", "self", "local [fd00::2]:8080"],
  "of loopback": ["127.0.0.1:8080", "self", "local 127.0.0.1:8080"],
});

table("a node's port that leads to a pod", {
  "of the project, protected": ["192.0.2.10:8088", "internal", "tunnel 10.0.0.3:8080 by 15008 to uid-web-1"],
  "of the project, in IPv6": ["[2001:db8::10]:8089", "internal", "tunnel [fd00::3]:8080 by 15008 to uid-web-1"],
  "of the project, not protected": [
    "192.0.2.10:8090",
    "internal",
    "clear (permissive) 10.0.0.4:8080",
    "refuse peer_not_enrolled",
    "refuse peer_not_enrolled",
  ],
  "of another project": [
    "192.0.2.10:8091",
    "node",
    "clear (outside) 192.0.2.10:8091",
    "clear (outside) 192.0.2.10:8091",
    "clear-if-tls 192.0.2.10:8091",
  ],
  "of the project, on an address that is no node's": [
    "198.51.100.1:8088",
    "external",
    "clear (outside) 198.51.100.1:8088",
    "clear (outside) 198.51.100.1:8088",
    "clear-if-tls 198.51.100.1:8088",
  ],
});

table("an address outside", {
  "of the cluster": [
    "198.51.100.1:80",
    "external",
    "clear (outside) 198.51.100.1:80",
    "clear (outside) 198.51.100.1:80",
    "clear-if-tls 198.51.100.1:80",
  ],
  "of a node, on a port that is no NodePort": [
    "192.0.2.10:10250",
    "node",
    "clear (outside) 192.0.2.10:10250",
    "clear (outside) 192.0.2.10:10250",
    "clear-if-tls 192.0.2.10:10250",
  ],
  "that has a proxy's port": [
    "198.51.100.1:15008",
    "external",
    "clear (outside) 198.51.100.1:15008",
    "clear (outside) 198.51.100.1:15008",
    "clear-if-tls 198.51.100.1:15008",
  ],
});

const unknownRow: Row = ["10.0.0.99:80", "unknown", "look-up 10.0.0.99"];
table("an address in the cluster's ranges that nobody holds", {
  "is looked up first": unknownRow,
  "is looked up first in the Service range": ["10.96.7.7:80", "unknown", "look-up 10.96.7.7"],
});
for (const lookUp of ["no-answer", "unheld", "last-unheld", "held"] as const) {
  const outcomes = [
    "clear (permissive) 10.0.0.99:80",
    "refuse destination_unknown",
    "refuse destination_unknown",
  ] as const;
  table(
    `such an address when the look-up said ${lookUp} and the view still does not name it`,
    { decides: ["10.0.0.99:80", "unknown", ...outcomes] },
    { lookUp },
  );
}

test("what nobody held when it was last asked for is asked for anew in every mode: it may be a pod by now", () => {
  for (const mode of modes)
    for (const destination of ["10.0.0.99:80", "172.16.0.9:80"]) {
      const decided = to(viewWith({ shop: { mode } }), destination);
      assert.ok(decided.kind === "look-up");
      assert.equal(decided.lastWillDo, false);
    }
});

table("an address where pods may be, their ranges not being known", {
  "is looked up first": ["172.16.0.9:80", "unknown", "look-up 172.16.0.9"],
});
table(
  "such an address that nobody holds",
  {
    "is external": [
      "172.16.0.9:80",
      "external",
      "clear (outside) 172.16.0.9:80",
      "clear (outside) 172.16.0.9:80",
      "clear-if-tls 172.16.0.9:80",
    ],
  },
  { lookUp: "unheld" },
);
test("that nobody holds one endpoint of a Service says nothing of the others", () => {
  const vip = "10.96.0.98";
  const endpoints = [ready("172.16.0.9", 80), ready("172.16.0.10", 80)];
  const service = { project: "shop", name: "hosts", vips: [vip], ports: [{ port: 80 }], endpoints };
  const document = { services: [...baseDocument().services, service] };
  for (const mode of modes) {
    const view = viewWith({ shop: { mode }, document });
    assert.equal(told(to(view, `${vip}:80`)), "look-up 172.16.0.9", mode);
    const decided = told(to(view, `${vip}:80`, { lookUp: "unheld" }));
    assert.equal(decided, mode === "strict" ? "clear-if-tls 172.16.0.9:80" : "clear (outside) 172.16.0.9:80", mode);
  }
});
for (const lookUp of ["no-answer", "last-unheld"] as const)
  table(
    `such an address when the look-up said ${lookUp}`,
    {
      "is unknown": [
        "172.16.0.9:80",
        "unknown",
        "clear (permissive) 172.16.0.9:80",
        "refuse destination_unknown",
        "refuse destination_unknown",
      ],
    },
    { lookUp },
  );

table("a Service address", {
  "goes to an endpoint, with the others as alternatives": [
    "10.96.0.10:80",
    "internal",
    "tunnel 10.0.0.3:8080 by 15008 to uid-web-1, 10.0.0.5:8080 by 25008 to uid-web-2",
  ],
  "may be that of a load balancer": [
    "203.0.113.80:80",
    "internal",
    "tunnel 10.0.0.3:8080 by 15008 to uid-web-1, 10.0.0.5:8080 by 25008 to uid-web-2",
  ],
  "may be a node's with a NodePort": [
    "192.0.2.10:30080",
    "internal",
    "tunnel 10.0.0.3:8080 by 15008 to uid-web-1, 10.0.0.5:8080 by 25008 to uid-web-2",
  ],
  "of both families, dialled by IPv4: its IPv4 endpoint": [
    "10.96.0.19:80",
    "internal",
    "tunnel 10.0.0.3:8080 by 15008 to uid-web-1",
  ],
  "of both families, dialled by IPv6: its IPv6 endpoint": [
    "[fd96::19]:80",
    "internal",
    "tunnel [fd00::3]:8080 by 15008 to uid-web-1",
  ],
  "with a port that the Service does not have": ["10.96.0.10:81", "internal", "refuse unknown_service_port"],
  "of another project with a port that the Service does not have": [
    "10.96.0.20:81",
    "other-project",
    "refuse unknown_service_port",
  ],
  "without endpoints that serve": ["10.96.0.12:80", "internal", "refuse no_ready_endpoint"],
  "without ready endpoints: the one that serves while it terminates": [
    "10.96.0.13:80",
    "internal",
    "tunnel 10.0.0.3:8080 by 15008 to uid-web-1",
  ],
  "that chooses the own pod": ["10.96.0.11:80", "self", "local 10.0.0.2:8080"],
  "is classed by its endpoint: of another project": [
    "10.96.0.20:80",
    "other-project",
    "clear (outside) 10.0.2.2:8080",
    "clear (outside) 10.0.2.2:8080",
    "clear-if-tls 10.0.2.2:8080",
  ],
  "is classed by its endpoint: outside the cluster": [
    "10.96.0.15:80",
    "external",
    "clear (outside) 198.51.100.7:8080",
    "clear (outside) 198.51.100.7:8080",
    "clear-if-tls 198.51.100.7:8080",
  ],
  "with an endpoint that nobody holds yet": ["10.96.0.16:80", "unknown", "look-up 10.0.0.99"],
  "whose endpoint is a proxy's port": ["10.96.0.17:80", "internal", "refuse proxy_port"],
  "that is the API server's": [
    "10.96.0.1:443",
    "node",
    "clear (outside) 192.0.2.10:6443",
    "clear (outside) 192.0.2.10:6443",
    "clear (cluster-service) 192.0.2.10:6443",
  ],
  "that is the cluster's DNS": [
    "10.96.0.53:53",
    "other-project",
    "clear (outside) 10.0.9.9:53",
    "clear (outside) 10.0.9.9:53",
    "clear (cluster-service) 10.0.9.9:53",
  ],
  "that is the cluster's DNS, on another port than DNS": [
    "10.96.0.53:9153",
    "other-project",
    "clear (outside) 10.0.9.9:9153",
    "clear (outside) 10.0.9.9:9153",
    "clear-if-tls 10.0.9.9:9153",
  ],
});

describe("a proxy's port is refused in every mode, before any look-up", () => {
  const hosts = [
    "10.0.0.2",
    "[fd00::2]",
    "127.0.0.1",
    "127.0.0.2",
    "[::1]",
    "10.0.0.3",
    "10.0.0.4",
    "10.0.1.2",
    "10.0.2.2",
    "10.0.0.66",
    "10.0.0.99",
  ];
  for (const port of [15000, 15001, 15006, 15008, 15020, 15021]) {
    test(`${port} at any pod, loopback and the own addresses`, () => {
      for (const mode of modes) {
        for (const host of hosts)
          assert.equal(told(to(viewWith({ shop: { mode } }), `${host}:${port}`)), "refuse proxy_port", host);
      }
    });
  }
  test("the tunnel port that another pod has for itself", () => {
    assert.equal(told(to(viewWith({}), "10.0.0.5:25008")), "refuse proxy_port");
    assert.equal(told(to(viewWith({}), "10.0.0.3:25008")), "tunnel 10.0.0.3:25008 by 15008 to uid-web-1");
  });
});

describe("the choice among a Service's endpoints", () => {
  const first = (destination: string, pick: number): string =>
    told(to(viewWith({}), destination, { pick })).split(",")[0]!;

  test("follows the number handed in, also at its ends", () => {
    const picked = [0, 1, 2, 3, 2 ** 32 - 1].map((pick) => first("10.96.0.10:80", pick).slice(7, 15));
    assert.deepEqual(picked, ["10.0.0.3", "10.0.0.5", "10.0.0.3", "10.0.0.5", "10.0.0.5"]);
  });
  test("with ClientIP affinity does not", () => {
    const picked = new Set([0, 1, 2, 3, 4].map((pick) => first("10.96.0.18:80", pick)));
    assert.equal(picked.size, 1);
  });
  test("with ClientIP affinity stays when another endpoint goes", () => {
    const chosen = first("10.96.0.18:80", 0);
    const document = baseDocument();
    const sticky = document.services.find((service) => service["name"] === "sticky")!;
    const endpoints = sticky["endpoints"] as Json[];
    for (const gone of endpoints.filter((entry) => !chosen.includes(`${String(entry["ip"])}:`))) {
      sticky["endpoints"] = endpoints.filter((entry) => entry !== gone);
      assert.equal(told(to(viewWith({ document }), "10.96.0.18:80")).split(",")[0], chosen);
    }
  });
  test("offers at most two alternatives", () => {
    const document = baseDocument();
    document.services.push({
      project: "shop",
      name: "many",
      vips: ["10.96.0.30"],
      ports: [{ port: 80 }],
      endpoints: [1, 2, 3, 4, 5].map((port) => ready("10.0.0.3", port)),
    });
    const decided = to(viewWith({ document }), "10.96.0.30:80", { pick: 3 });
    assert.equal(told(decided).replaceAll(/ by 15008 to uid-web-1/g, ""), "tunnel 10.0.0.3:4, 10.0.0.3:5, 10.0.0.3:1");
  });
  test("passes over endpoints that the mode refuses", () => {
    assert.equal(
      told(to(viewWith({ shop: { mode: "project" } }), "10.96.0.14:80")),
      "tunnel 10.0.0.3:8080 by 15008 to uid-web-1",
    );
  });
  test("never joins the tunnel and clear: a tunnel has no clear alternative, nor the other way round", () => {
    assert.equal(told(to(viewWith({}), "10.96.0.14:80", { pick: 0 })), "clear (permissive) 10.0.0.4:8080");
    assert.equal(told(to(viewWith({}), "10.96.0.14:80", { pick: 1 })), "tunnel 10.0.0.3:8080 by 15008 to uid-web-1");
  });
  test("offers only what it may as an alternative: nothing that has to be TLS beside what need not", () => {
    const document = baseDocument();
    const outside = document.services.find((service) => service["name"] === "outside")!;
    outside["endpoints"] = ["198.51.100.7", "198.51.100.8", "192.0.2.10"].map((address) => ready(address, 8080));
    const shop = { mode: "strict", allowEgress: ["198.51.100.7/32"] };
    const outcomes = [0, 1, 2].map((pick) => told(to(viewWith({ document, shop }), "10.96.0.15:80", { pick })));
    assert.deepEqual(outcomes, [
      "clear (allow-egress) 198.51.100.7:8080",
      "clear-if-tls 198.51.100.8:8080",
      "clear-if-tls 192.0.2.10:8080",
    ]);
  });
  test("names the Service dialled, also in a refusal", () => {
    for (const destination of ["10.96.0.10:80", "10.96.0.10:81", "10.96.0.17:80"]) {
      const decided = to(viewWith({}), destination);
      assert.ok(decided.kind !== "look-up" && decided.service?.project === "shop", destination);
    }
  });
  test("a node's address that a load balancer hands out stays a node's on other ports", () => {
    const document = baseDocument();
    (document.services[0]!["vips"] as string[]).push("192.0.2.10");
    assert.equal(told(to(viewWith({ document }), "192.0.2.10:10250")), "clear (outside) 192.0.2.10:10250");
    assert.match(told(to(viewWith({ document }), "192.0.2.10:80")), /^tunnel 10\.0\.0\.3:8080/);
  });
});

describe("allow-egress in strict", () => {
  const strict = (allowEgress: string[], destination: string, lookUp?: LookUpAnswer): string =>
    told(to(viewWith({ shop: { mode: "strict", allowEgress } }), destination, lookUp === undefined ? {} : { lookUp }));

  test("names an outside address and port", () => {
    assert.equal(strict(["198.51.100.0/24:80"], "198.51.100.1:80"), "clear (allow-egress) 198.51.100.1:80");
    assert.equal(strict(["198.51.100.0/24:80"], "198.51.100.1:81"), "clear-if-tls 198.51.100.1:81");
    assert.equal(strict(["198.51.100.0/24"], "198.51.100.1:81"), "clear (allow-egress) 198.51.100.1:81");
    assert.equal(strict(["[2001:db8::/32]:80"], "[2001:db8::1]:80"), "clear (allow-egress) [2001:db8::1]:80");
  });
  test("names a node and a pod of another project", () => {
    assert.equal(strict(["192.0.2.10/32"], "192.0.2.10:10250"), "clear (allow-egress) 192.0.2.10:10250");
    assert.equal(strict(["10.0.2.0/24"], "10.0.2.2:80"), "clear (allow-egress) 10.0.2.2:80");
  });
  test("may name the Service address that was dialled", () => {
    assert.equal(strict(["10.96.0.20/32:80"], "10.96.0.20:80"), "clear (allow-egress) 10.0.2.2:8080");
  });
  test("of a workload narrows that of its project: both have to name it", () => {
    const both = (project: string[], workload: string[] | null, destination = "198.51.100.1:80"): string =>
      told(
        to(viewWith({ shop: { mode: "strict", allowEgress: project }, cart: { allowEgress: workload } }), destination),
      );
    const named = "clear (allow-egress) 198.51.100.1:80";
    const unnamed = "clear-if-tls 198.51.100.1:80";
    assert.equal(both(["198.51.100.0/24"], null), named);
    assert.equal(both(["198.51.100.0/24"], ["198.51.100.1/32:80"]), named);
    assert.equal(both(["198.51.100.0/24"], ["198.51.100.2/32"]), unnamed);
    assert.equal(both(["198.51.100.0/24"], []), unnamed);
    assert.equal(both([], ["198.51.100.0/24"]), unnamed);
    // One names the Service address, the other its endpoint.
    assert.equal(both(["10.96.0.20/32"], ["10.0.2.2/32:8080"], "10.96.0.20:80"), "clear (allow-egress) 10.0.2.2:8080");
  });
  test("never reaches an internal or unknown address, a conflict or a proxy port", () => {
    const all = ["0.0.0.0/0", "::/0"];
    assert.equal(strict(all, "10.0.0.4:80"), "refuse peer_not_enrolled");
    assert.equal(strict(all, "10.0.1.3:80"), "refuse peer_not_enrolled");
    assert.equal(strict(all, "10.0.0.3:80"), "tunnel 10.0.0.3:80 by 15008 to uid-web-1");
    assert.equal(strict(all, "10.0.0.99:80"), "look-up 10.0.0.99");
    assert.equal(strict(all, "10.0.0.99:80", "no-answer"), "refuse destination_unknown");
    assert.equal(strict(all, "10.0.0.66:80"), "refuse address_conflict");
    assert.equal(strict(all, "10.0.2.2:15008"), "refuse proxy_port");
  });
});

test("before the first snapshot everything is refused", () => {
  for (const destination of ["10.0.0.3:80", "198.51.100.1:443", "10.0.0.2:80"])
    assert.equal(told(to(null, destination)), "refuse no_directory");
});

describe("a dry run", () => {
  const dry = (mode: string, dryRun: string, destination: string, lookUp?: LookUpAnswer): unknown => {
    const decided = to(viewWith({ shop: { mode, dryRun } }), destination, lookUp === undefined ? {} : { lookUp });
    assert.ok(decided.kind !== "refuse" && decided.kind !== "look-up", told(decided));
    return decided.dryRun === null
      ? null
      : `${decided.kind} but ${decided.dryRun.reason}${decided.dryRun.unlessTls ? " unless TLS" : ""}`;
  };
  test("tells what the stricter mode would refuse, and lets it go", () => {
    assert.equal(dry("permissive", "project", "10.0.0.4:80"), "clear but peer_not_enrolled");
    assert.equal(dry("permissive", "strict", "10.0.0.4:80"), "clear but peer_not_enrolled");
    assert.equal(dry("permissive", "project", "10.0.0.99:80", "no-answer"), "clear but destination_unknown");
    assert.equal(dry("project", "strict", "198.51.100.1:80"), "clear but egress_not_allowed unless TLS");
    assert.equal(dry("permissive", "strict", "10.0.2.2:80"), "clear but egress_not_allowed unless TLS");
  });
  test("is silent about what the stricter mode allows", () => {
    assert.equal(dry("permissive", "strict", "10.0.0.3:80"), null);
    assert.equal(dry("permissive", "strict", "10.96.0.1:443"), null);
    assert.equal(dry("permissive", "project", "198.51.100.1:80"), null);
    assert.equal(dry("permissive", "project", "10.96.0.14:80"), null);
  });
  test("of a mode that is not stricter is none", () => {
    assert.equal(dry("project", "permissive", "198.51.100.1:80"), null);
    assert.equal(dry("project", "project", "198.51.100.1:80"), null);
  });
});
