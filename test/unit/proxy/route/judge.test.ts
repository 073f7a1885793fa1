/** What of the open connections goes on when the rules become others: one case for each kind of connection and rule. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { authorizeClear, refusedCaller } from "../../../../proxy/route/authorize.ts";
import type { FirstBytes } from "../../../../proxy/route/first-bytes.ts";
import {
  judgeDialledClear,
  judgeInboundClear,
  judgeOutboundClear,
  judgeTunnel,
} from "../../../../proxy/route/judge.ts";
import type { Decided, LookUpAnswer, Verdict } from "../../../../proxy/route/policy.ts";
import { routeEndpoint, routeKnown } from "../../../../proxy/route/route.ts";
import { endpoint, ip, self, viewWith } from "./world.ts";
import type { Json } from "./world.ts";

const told = (verdict: Verdict): string => verdict?.reason ?? "goes on";

type Open = { to: string; through?: string; spoken?: FirstBytes };

/** As where nobody answers a look-up. */
function decided<D extends { kind: string }>(ask: (lookUp: LookUpAnswer | null) => D): Decided<D> {
  const first = ask(null);
  const decision = first.kind === "look-up" ? ask("no-answer") : first;
  assert.ok(decision.kind !== "look-up");
  return decision as Decided<D>;
}

/** Open in clear to `to`, which was dialled as `through`. */
function outbound(shop: Json, { to, through = to, spoken = "no" }: Open): string {
  const input = { destination: endpoint(through), view: viewWith({ shop }), pick: 0, asked: endpoint(to).ip };
  return told(
    judgeOutboundClear(
      decided((lookUp) => routeEndpoint({ ...input, lookUp }, endpoint(to))),
      spoken,
    ),
  );
}

function inbound(shop: Json, source: string): string {
  const input = { destination: endpoint("10.0.0.2:8080"), source: ip(source), self, view: viewWith({ shop }) };
  return told(judgeInboundClear(decided((lookUp) => authorizeClear({ ...input, lookUp }))));
}

const places = { bare: "10.0.0.4:8080", other: "10.0.2.2:8080", outside: "198.51.100.7:80", peer: "10.0.1.2:8080" };

describe("open in clear, outbound", () => {
  const { bare, other, outside, peer } = places;
  const cases: readonly (readonly [string, Json, Open, string])[] = [
    ["to an own pod without proxy", { mode: "permissive" }, { to: bare }, "goes on"],
    ["to an own pod without proxy", { mode: "project" }, { to: bare }, "peer_not_enrolled"],
    ["to another project", { mode: "project" }, { to: other }, "goes on"],
    ["to another project", { mode: "strict" }, { to: other }, "egress_not_allowed"],
    ["outside", { mode: "project" }, { to: outside }, "goes on"],
    ["outside", { mode: "strict" }, { to: outside }, "egress_not_allowed"],
    ["outside, TLS", { mode: "strict" }, { to: outside, spoken: "yes" }, "goes on"],
    ["outside, nothing said yet", { mode: "strict" }, { to: outside, spoken: "more" }, "egress_not_allowed"],
    ["outside, named", { mode: "strict", allowEgress: ["198.51.100.7/32:80"] }, { to: outside }, "goes on"],
    [
      "outside, named by the Service that was dialled",
      { mode: "strict", allowEgress: ["10.96.0.15/32:80"] },
      { to: "198.51.100.7:8080", through: "10.96.0.15:80" },
      "goes on",
    ],
    ["to a project that became a peer", { mode: "permissive" }, { to: peer }, "plaintext_refused"],
    ["to who knows whom", { mode: "permissive" }, { to: "10.0.0.99:80" }, "goes on"],
    ["to who knows whom", { mode: "project" }, { to: "10.0.0.99:80" }, "destination_unknown"],
    ["to the own application", { mode: "strict" }, { to: "10.0.0.2:8080", through: "10.96.0.11:80" }, "goes on"],
  ];
  for (const [what, shop, open, expected] of cases)
    test(`${what}, ${JSON.stringify(shop)}: ${expected}`, () => assert.equal(outbound(shop, open), expected));
});

describe("just dialled in clear", () => {
  const { bare, other, outside, peer } = places;
  const cases: readonly (readonly [string, Json, string, string])[] = [
    ["to a pod of the project that is protected now", { mode: "permissive" }, "10.0.0.3:8080", "plaintext_refused"],
    ["to one of a peer", { mode: "project" }, peer, "plaintext_refused"],
    ["to one without a proxy", { mode: "project" }, bare, "peer_not_enrolled"],
    ["to one without a proxy", { mode: "permissive" }, bare, "goes on"],
    ["to another project", { mode: "project" }, other, "goes on"],
    ["to where TLS was seen", { mode: "strict" }, outside, "goes on"],
    ["to who knows whom: it was asked before", { mode: "project" }, "10.0.0.99:80", "goes on"],
  ];
  for (const [what, shop, to, expected] of cases)
    test(`${what}, ${JSON.stringify(shop)}: ${expected}`, () =>
      assert.equal(told(judgeDialledClear(routeKnown(viewWith({ shop }), endpoint(to)))), expected));
});

describe("open in clear, inbound", () => {
  const cases: readonly (readonly [string, Json, string, string])[] = [
    ["from an own pod without proxy", { mode: "permissive" }, "10.0.0.4", "goes on"],
    ["from an own pod without proxy", { mode: "project" }, "10.0.0.4", "plaintext_refused"],
    ["from another project", { mode: "project" }, "10.0.2.2", "goes on"],
    ["from another project", { mode: "strict" }, "10.0.2.2", "plaintext_refused"],
    ["from another project, named", { mode: "strict", allowIngress: ["other/api"] }, "10.0.2.2", "goes on"],
    ["from a node", { mode: "project" }, "192.0.2.10", "goes on"],
    ["from a node", { mode: "project", nodeSources: "refuse" }, "192.0.2.10", "node_source_refused"],
    ["from a caller that is not named", { mode: "project", allowFrom: ["shop/web"] }, "10.0.2.2", "caller_not_allowed"],
    ["from a pod that is gone", { mode: "project" }, "10.0.0.99", "source_unknown"],
  ];
  for (const [what, shop, source, expected] of cases)
    test(`${what}, ${JSON.stringify(shop)}: ${expected}`, () => assert.equal(inbound(shop, source), expected));
});

describe("in the tunnel", () => {
  const web = { project: "shop", serviceAccount: "web" };
  const bill = { project: "billing", serviceAccount: "bill" };

  test("a caller goes on while allowFrom names it, at that port", () => {
    const { policy } = viewWith({ cart: { allowFrom: ["shop/web:8080"] } });
    assert.equal(told(refusedCaller(policy, web, 8080)), "goes on");
    assert.equal(told(refusedCaller(policy, web, 9090)), "caller_not_allowed");
    assert.equal(told(refusedCaller(policy, bill, 8080)), "caller_not_allowed");
  });

  test("both directions end with the peer relation", () => {
    const dropped = viewWith({ shop: { peers: [] } }).policy;
    assert.equal(told(refusedCaller(dropped, bill, 8080)), "identity_mismatch");
    assert.equal(told(judgeTunnel(dropped, "billing")), "identity_mismatch");
    assert.equal(told(judgeTunnel(dropped, "shop")), "goes on");
    assert.equal(told(judgeTunnel(viewWith({}).policy, "billing")), "goes on");
  });

  test("a mode ends none", () => {
    const { policy } = viewWith({ shop: { mode: "strict" } });
    assert.equal(told(refusedCaller(policy, web, 8080)), "goes on");
    assert.equal(told(judgeTunnel(policy, "shop")), "goes on");
  });
});
