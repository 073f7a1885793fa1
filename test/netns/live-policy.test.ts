/**
 * Modes and rules of a project, changed in the directory while everything runs: what counts is the newest document, on
 * both sides, for every class of peer; and a dry run refuses nothing but says what it would refuse.
 */
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { reaches, refuses } from "../topology/attempts.ts";
import type { Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import { echoPort, useShop } from "../topology/shop.ts";

const canary = "canary-live-policy-c3d2";

const here = useShop();
const { at, from, becomes: shop } = here;
const outbound = (reason: string): { by: Child; reason: string } => ({ by: here.mesh.proxy("client"), reason });
const inbound = (reason: string): { by: Child; reason: string } => ({ by: here.mesh.proxy("server"), reason });

describe("the newest document decides", { skip: needsRoot }, () => {
  beforeEach(() => shop({ mode: "project" }));

  test("permissive: clear to and from pods of the project without a proxy", async () => {
    await shop({ mode: "permissive" });
    await reaches(from("client"), at("legacy"), canary);
    await reaches(from("legacy"), at("server"), canary);
    await reaches(from("client"), at("server"), canary);
  });

  test("project: refused to and from these, other projects as before", async () => {
    await refuses(from("client"), at("legacy"), canary, outbound("peer_not_enrolled"));
    await refuses(from("legacy"), at("server"), canary, inbound("plaintext_refused"));
    await reaches(from("client"), at("web"), canary);
    await reaches(from("web"), at("server"), canary);
  });

  test("strict: nothing in clear to and from other projects, but for what is named", async () => {
    await shop({ mode: "strict" });
    await refuses(from("client"), at("web"), canary, outbound("egress_not_allowed"));
    await refuses(from("web"), at("server"), canary, inbound("plaintext_refused"));
    const web = here.mesh.pod("web").ip;
    await shop({ mode: "strict", allowEgress: [`${web}/32:${echoPort}`], allowIngress: [`${web}/32:${echoPort}`] });
    await reaches(from("client"), at("web"), canary);
    await reaches(from("web"), at("server"), canary);
    await refuses(from("client"), at("legacy"), canary, outbound("peer_not_enrolled"));
  });

  test("what a pod says narrows what its project names, on both sides, and widens nothing", async () => {
    const named = [`${here.mesh.pod("web").ip}/32:${echoPort}`];
    const rules = { mode: "strict", allowEgress: named, allowIngress: named } as const;
    await shop(rules, { client: { allowEgress: named }, server: { allowIngress: ["other/web"] } });
    await reaches(from("client"), at("web"), canary);
    await reaches(from("web"), at("server"), canary);
    await shop(rules, { client: { allowEgress: [] }, server: { allowIngress: ["other/api"] } });
    await refuses(from("client"), at("web"), canary, outbound("egress_not_allowed"));
    await refuses(from("web"), at("server"), canary, inbound("plaintext_refused"));
    await shop({ mode: "strict" }, { client: { allowEgress: named }, server: { allowIngress: named } });
    await refuses(from("client"), at("web"), canary, outbound("egress_not_allowed"));
    await refuses(from("web"), at("server"), canary, inbound("plaintext_refused"));
  });

  test("a dry run of one pod is reported by that one", async () => {
    await shop({ mode: "permissive" }, { client: { dryRun: "project" } });
    const position = here.mesh.proxy("client").position;
    await reaches(from("client"), at("legacy"), canary);
    const line = await here.mesh.proxy("client").event("connection_refused", undefined, { from: position });
    assert.deepEqual([line["reason"], line["dryRun"]], ["peer_not_enrolled", true]);
  });

  test("allowFrom: a caller that it does not name is refused in the tunnel and in clear", async () => {
    await shop({ mode: "project", allowFrom: ["shop/somebody"] });
    await refuses(from("client"), at("server"), canary, inbound("caller_not_allowed"));
    await refuses(from("web"), at("server"), canary, inbound("caller_not_allowed"));
    await shop({ mode: "project", allowFrom: ["shop/client:7000", "other/web"] });
    await reaches(from("client"), at("server"), canary);
    await reaches(from("web"), at("server"), canary);
  });

  test("a dry run lets through what the stricter mode refuses, and says so", async () => {
    await shop({ mode: "permissive", dryRun: "project" });
    const position = here.mesh.proxy("client").position;
    await reaches(from("client"), at("legacy"), canary);
    const line = await here.mesh.proxy("client").event("connection_refused", undefined, { from: position });
    assert.deepEqual([line["reason"], line["dryRun"]], ["peer_not_enrolled", true]);
  });
});
