/** What holds for every directory, destination and source: modes, floors and rules only ever tighten as they should. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatEndpoint, parseEndpoint } from "../../lib/net/address.ts";
import type { Endpoint } from "../../lib/net/address.ts";
import { authorizeClear, authorizeStream } from "../../proxy/route/authorize.ts";
import type { ClearDecision } from "../../proxy/route/authorize.ts";
import { classify, workloadAt } from "../../proxy/route/classify.ts";
import { parseDocument } from "../../proxy/route/document.ts";
import { looksLikeClientHello } from "../../proxy/route/first-bytes.ts";
import { isStricter } from "../../lib/project/mode.ts";
import { buildView } from "../../proxy/route/policy.ts";
import type { LookUpAnswer, View } from "../../proxy/route/policy.ts";
import { useMetrics } from "../../proxy/route/own-ports.ts";
import { route } from "../../proxy/route/route.ts";
import type { Route } from "../../proxy/route/route.ts";
import { namesAddress } from "../../lib/project/rules.ts";
import type { Mode } from "../../lib/project/mode.ts";
import { baseDocument, ip, modes, self, snapshotOf } from "../unit/proxy/route/world.ts";
import type { Json } from "../unit/proxy/route/world.ts";
import { draw } from "./seed.ts";

const drawn = draw(2_000);

// Few names and addresses, so that they meet: pods, a node, Services, unknown ones, outside ones.
const podIps = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.1.2", "10.0.2.2", "fd00::2", "fd00::3"];
const vips = ["10.96.0.1", "10.96.0.10", "10.96.0.11", "203.0.113.80"];
const others = ["10.0.0.99", "10.96.7.7", "192.0.2.10", "198.51.100.1", "2001:db8::1", "127.0.0.1"];
const projects = ["shop", "billing", "other", "default"];

const anIp = fc.constantFrom(...podIps, ...vips, ...others).map(ip);
const aPort = fc.constantFrom(53, 80, 443, 6443, 8080, 15001, 15006, 15008, 25008, 30080);
const anEndpoint: fc.Arbitrary<Endpoint> = fc.record({ ip: anIp, port: aPort });
const aMode = fc.constantFrom(...modes);
const aModeOrNone = fc.option(aMode);
const aLookUp = fc.constantFrom<LookUpAnswer | null>(null, "held", "unheld", "last-unheld", "no-answer");
const aPick = fc.nat(0xffff_ffff);

const addressRules = fc.array(
  fc.constantFrom(
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/8",
    "10.0.0.0/16:80",
    "198.51.100.0/24:443",
    "192.0.2.10/32",
    "10.96.0.0/16",
    "203.0.113.80/32:80",
  ),
  { maxLength: 3 },
);
const callerRules = fc.array(fc.constantFrom("shop/a", "shop/b", "billing/a", "other/a:80", "shop/a:8080"), {
  maxLength: 2,
});
const ingressRules = fc.tuple(addressRules, callerRules).map((rules) => rules.flat());
const serviceAccount = fc.constantFrom("a", "b");
const tunnelPort = fc.constantFrom(null, 15008, 25008);

const projectOf = (name: string): fc.Arbitrary<Json> =>
  fc.record({
    name: fc.constant(name),
    uid: fc.constantFrom(`uid-${name}`, `uid-${name}`, "uid-again"),
    mode: aMode,
    dryRun: aModeOrNone,
    peers: fc
      .uniqueArray(fc.constantFrom(...projects), { maxLength: 3 })
      .map((names) => names.map((peer) => ({ name: peer, uid: `uid-${peer}` }))),
    nodeSources: fc.constantFrom(null, "accept", "refuse"),
    allowEgress: addressRules,
    allowIngress: ingressRules,
    allowFrom: callerRules,
    allowFromDryRun: callerRules,
  });

/** cart-1 itself and up to eight more pods, which may claim one another's addresses and ours. */
const workloads = fc
  .tuple(
    fc.record({
      serviceAccount,
      mode: aModeOrNone,
      dryRun: aModeOrNone,
      nodeSources: fc.constantFrom(null, "accept", "refuse"),
      allowEgress: fc.option(addressRules),
      allowIngress: fc.option(ingressRules),
      allowFrom: callerRules,
    }),
    fc.array(
      fc.record({
        project: fc.constantFrom(...projects),
        serviceAccount,
        ips: fc.uniqueArray(fc.constantFrom(...podIps), { maxLength: 2 }),
        tunnelPort,
      }),
      { maxLength: 8 },
    ),
  )
  .map(([own, rest]): Json[] => [
    { ...own, project: "shop", pod: "cart-1", uid: self.podUid, ips: [...self.ips], tunnelPort: 15008 },
    ...rest.map((pod, index) => ({ ...pod, pod: `pod-${index}`, uid: `uid-${index}` })),
  ]);

const endpoints = fc.array(
  fc.record({
    ip: fc.constantFrom(...podIps, "10.0.0.99", "192.0.2.10", "198.51.100.1"),
    ports: fc.record({ "80": aPort, "443": aPort }),
    ready: fc.boolean(),
    serving: fc.boolean(),
    terminating: fc.boolean(),
  }),
  { maxLength: 5 },
);
const services = fc.tuple(
  ...vips.map((vip, index) =>
    fc.record({
      project: fc.constantFrom("shop", "other", "default"),
      name: fc.constantFrom("kubernetes", `service-${index}`),
      vips: fc.constant([vip]),
      sessionAffinity: fc.constantFrom("None", "ClientIP"),
      ports: fc.constant([{ port: 80, nodePort: 30080 + index }, { port: 443 }]),
      endpoints,
    }),
  ),
);

const aDocument: fc.Arbitrary<Json & { projects: Json[] }> = fc.record({
  version: fc.constant(1),
  clusterRanges: fc.constant(["10.0.0.0/16", "10.96.0.0/16", "fd00::/64"]),
  nodeAddresses: fc.constant(["192.0.2.10"]),
  projects: fc.tuple(...projects.map(projectOf)),
  workloads,
  services,
});

/** The view with the own project's fields replaced. The own workload's mode is taken out where a mode is set. */
function viewOf(document: Json & { projects: Json[] }, change: Json = {}, floor: Mode = "permissive"): View {
  const [own, ...rest] = document.projects;
  const pods = document["workloads"] as Json[];
  const tuned = "mode" in change ? pods.map((pod) => ({ ...pod, mode: null })) : pods;
  return buildView(snapshotOf({ ...document, workloads: tuned, projects: [{ ...own, ...change }, ...rest] }), {
    ...self,
    floor,
  });
}

const allowed = (decision: Route | ClearDecision): boolean => decision.kind !== "refuse" && decision.kind !== "look-up";

/** The endpoints that a route would dial in clear. */
const inClear = (decided: Route): readonly Endpoint[] =>
  decided.kind === "clear" || decided.kind === "clear-if-tls" ? decided.endpoints : [];

const looserAndStricter = fc.constantFrom<readonly [Mode, Mode]>(
  ["permissive", "project"],
  ["permissive", "strict"],
  ["project", "strict"],
);
const outboundCase = fc.record({ destination: anEndpoint, pick: aPick, lookUp: aLookUp, asked: anIp });
const inboundCase = fc
  .record({ destination: anEndpoint, source: anIp, lookUp: aLookUp })
  .map((input) => ({ ...input, self }));

test("a stricter mode never allows what a looser one refuses, outbound", () => {
  fc.assert(
    fc.property(aDocument, outboundCase, looserAndStricter, (document, input, [loose, strict]) => {
      const stricter = route({ ...input, view: viewOf(document, { mode: strict }) });
      const looser = route({ ...input, view: viewOf(document, { mode: loose }) });
      if (allowed(stricter)) assert.ok(allowed(looser), `${strict}: ${stricter.kind}, ${loose}: ${looser.kind}`);
    }),
    drawn,
  );
});

test("a stricter mode never allows what a looser one refuses, inbound", () => {
  fc.assert(
    fc.property(aDocument, inboundCase, looserAndStricter, (document, input, [loose, strict]) => {
      const stricter = authorizeClear({ ...input, view: viewOf(document, { mode: strict }) });
      const looser = authorizeClear({ ...input, view: viewOf(document, { mode: loose }) });
      if (allowed(stricter)) assert.ok(allowed(looser), `${strict}: ${stricter.kind}, ${loose}: ${looser.kind}`);
    }),
    drawn,
  );
});

test("a floor is never loosened by what the directory says", () => {
  fc.assert(
    fc.property(aDocument, aMode, outboundCase, inboundCase, (document, floor, outbound, inbound) => {
      const view = viewOf(document, {}, floor);
      assert.equal(isStricter(floor, view.policy.mode), false);
      const atFloor = viewOf(document, { mode: floor });
      if (allowed(route({ ...outbound, view }))) assert.ok(allowed(route({ ...outbound, view: atFloor })));
      if (allowed(authorizeClear({ ...inbound, view })))
        assert.ok(allowed(authorizeClear({ ...inbound, view: atFloor })));
    }),
    drawn,
  );
});

test("rules of allow-egress and allow-ingress change nothing for an internal or unknown address", () => {
  const open = ["0.0.0.0/0", "::/0"];
  const named = ["shop/a", "shop/b", "billing/a", "billing/b"];
  fc.assert(
    fc.property(aDocument, aMode, outboundCase, inboundCase, (document, mode, outbound, inbound) => {
      const closed = viewOf(document, { mode, allowEgress: [], allowIngress: [] });
      const opened = viewOf(document, { mode, allowEgress: open, allowIngress: [...open, ...named] });
      const outside = (kind: string): boolean => kind === "external" || kind === "node" || kind === "other-project";
      const before = route({ ...outbound, view: closed });
      const after = route({ ...outbound, view: opened });
      if (before.kind === "look-up" || !outside(before.class)) assert.equal(after.kind, before.kind);
      const source = classify(closed, inbound.source);
      const unheld = inbound.lookUp === "unheld" || inbound.lookUp === "last-unheld";
      if (outside(source) || (source === "unknown" && unheld)) return;
      assert.deepEqual(authorizeClear({ ...inbound, view: opened }), authorizeClear({ ...inbound, view: closed }));
    }),
    drawn,
  );
});

test("what a pod says for itself only narrows what its project lets it do", () => {
  fc.assert(
    fc.property(
      aDocument,
      outboundCase,
      inboundCase,
      fc.constantFrom(8080, 15020),
      (document, outbound, inbound, port) => {
        const [own, ...rest] = document["workloads"] as Json[];
        const said = ["mode", "dryRun", "nodeSources", "allowEgress", "allowIngress", "allowFrom"];
        const silent = Object.fromEntries(Object.entries(own!).filter(([name]) => !said.includes(name)));
        const [speaking, plain] = [viewOf(document), viewOf({ ...document, workloads: [silent, ...rest] })];
        if (allowed(route({ ...outbound, view: speaking }))) assert.ok(allowed(route({ ...outbound, view: plain })));
        if (allowed(authorizeClear({ ...inbound, view: speaking })))
          assert.ok(allowed(authorizeClear({ ...inbound, view: plain })));
        if (useMetrics({ ...inbound, view: speaking }, port).kind === "allow")
          assert.equal(useMetrics({ ...inbound, view: plain }, port).kind, "allow");
      },
    ),
    drawn,
  );
});

test("a protected pod of the project or a peer is never dialled in clear, nor a proxy's port at any pod", () => {
  fc.assert(
    fc.property(aDocument, outboundCase, (document, input) => {
      const view = viewOf(document);
      const decided = route({ ...input, view });
      for (const endpoint of inClear(decided)) {
        const isInternal = classify(view, endpoint.ip) === "internal";
        assert.equal(isInternal && workloadAt(view, endpoint.ip)?.tunnelPort !== null, false);
        assert.equal(workloadAt(view, endpoint.ip) !== null && self.proxyPorts.has(endpoint.port), false);
      }
      if (decided.kind === "local") assert.ok(self.ips.has(decided.endpoint.ip) || decided.endpoint.ip === "127.0.0.1");
    }),
    drawn,
  );
});

test("strict lets nothing out in clear but what a rule names, the cluster's own services, and TLS to the outside", () => {
  fc.assert(
    fc.property(aDocument, outboundCase, (document, input) => {
      const view = viewOf(document, { mode: "strict" });
      const decided = route({ ...input, view });
      if (decided.kind !== "clear") return;
      const { ip: dialledIp, port: dialledPort } = input.destination;
      for (const { ip: address, port } of decided.endpoints) {
        const byRule = view.policy.allowEgress.every(
          (rules) => namesAddress(rules, address, port) || namesAddress(rules, dialledIp, dialledPort),
        );
        assert.ok(byRule || view.clusterServices.get(address)?.has(port), `${address} ${port}`);
      }
    }),
    drawn,
  );
});

test("a dry run decides nothing", () => {
  const stripped = (decision: Route | ClearDecision): unknown => ({ ...decision, dryRun: null });
  fc.assert(
    fc.property(aDocument, outboundCase, inboundCase, (document, outbound, inbound) => {
      const dry = viewOf(document, { dryRun: "strict" });
      const plain = viewOf(document, { dryRun: null, allowFromDryRun: [] });
      assert.deepEqual(stripped(route({ ...outbound, view: dry })), stripped(route({ ...outbound, view: plain })));
      assert.deepEqual(
        stripped(authorizeClear({ ...inbound, view: dry })),
        stripped(authorizeClear({ ...inbound, view: plain })),
      );
    }),
    drawn,
  );
});

test("a stream is let in only to exactly the address of this pod that it names, and to no proxy port", () => {
  const view = viewOf({ ...baseDocument() });
  const peer = { id: { trustDomain: "example.org", project: "shop", serviceAccount: "web" }, pod: null };
  const authorities = fc.oneof(
    fc.string(),
    anEndpoint.map(formatEndpoint),
    fc.tuple(fc.constantFrom("10.0.0.2", "[fd00::2]", "fd00::2"), fc.string()).map((parts) => parts.join(":")),
  );
  fc.assert(
    fc.property(authorities, (authority) => {
      const decision = authorizeStream({ authority, pod: null, source: ip("198.51.100.1"), peer, self, view });
      const named = parseEndpoint(authority);
      const mine = named !== null && self.ips.has(named.ip) && !self.proxyPorts.has(named.port);
      assert.equal(decision.kind, mine ? "allow" : "refuse");
      if (decision.kind === "allow") assert.equal(formatEndpoint(decision.endpoint), authority);
    }),
    drawn,
  );
});

test("no text makes the document reader throw", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      assert.equal(parseDocument(text).kind, "refused");
    }),
    drawn,
  );
});

test("no value in the place of any other makes the document reader throw, nor lets a broken view be built", () => {
  const text = JSON.stringify(baseDocument());
  const count = text.match(/"[^"]*"(?!:)|\b[0-9]+\b|true|false/g)!.length;
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom<unknown>("__proto__", -0, 1e308, "10.0.0.2", "strict"),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.nat(count - 1), value, (chosen, replacement) => {
      let index = -1;
      const mutated = text.replaceAll(/"[^"]*"(?!:)|\b[0-9]+\b|true|false/g, (found) =>
        ++index === chosen ? JSON.stringify(replacement) : found,
      );
      const parsed = parseDocument(mutated);
      if (parsed.kind === "refused")
        assert.ok(parsed.problems.length > 0 && parsed.problems.every((problem) => problem.length < 400));
      else if (parsed.snapshot.projects.has(self.project)) buildView(parsed.snapshot, self);
    }),
    drawn,
  );
});

test("a verdict on first bytes never changes once it is there", () => {
  const start = Uint8Array.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]);
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.uint8Array({ maxLength: 200 }).map((rest) => Uint8Array.from([...start, ...rest])),
  );
  fc.assert(
    fc.property(bytes, (all) => {
      let decided = "more";
      for (let length = 0; length <= all.length; length++) {
        const verdict = looksLikeClientHello(all.subarray(0, length));
        if (decided !== "more") assert.equal(verdict, decided);
        decided = verdict;
      }
    }),
    { ...drawn, numRuns: 500 },
  );
});
