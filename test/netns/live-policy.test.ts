/**
 * Modes and rules of a project, changed in the directory while everything runs: what counts is the newest document, on
 * both sides, for every class of peer; a dry run refuses nothing but says what it would refuse; and an address that changes
 * hands while it is dialled in clear is not opened.
 */
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { endpoint, reaches, refusalLine, refuses } from "../topology/attempts.ts";
import type { Child } from "../topology/cluster.ts";
import { needsRoot } from "../topology/cluster.ts";
import type { WorkloadEntry } from "../topology/directory.ts";
import { echoPort, useShop } from "../topology/shop.ts";
import { swallowed } from "../topology/swallowed.ts";

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

describe("an address that changes hands while it is dialled in clear", { skip: needsRoot }, () => {
  const isWeb = ({ pod }: WorkloadEntry): boolean => pod === "web";
  /** No answer comes from there: the dial waits and sends its SYN again. */
  const silent = ["INPUT", "-p", "tcp", "--dport", `${echoPort}`];

  for (const [what, entry, reason] of [
    ["a protected pod of the project", { project: "shop", tunnelPort: 15008 }, "plaintext_refused"],
    ["a pod of the project without a proxy", { project: "shop" }, "peer_not_enrolled"],
  ] as const)
    test(`${what}: it is not opened, and nothing is sent`, async () => {
      await shop({ mode: "project" });
      const bridge = await here.mesh.cluster.capture();
      const proxy = here.mesh.proxy("client");
      const { position } = proxy;
      const target = at("web");
      await swallowed(here.mesh.pod("web"), silent, async () => {
        const opened = await from("client").request({ do: "open", name: what, ...target, send: canary });
        assert.equal(opened["connected"], true);
        const { projects, workloads } = here.mesh.cluster.directory();
        await here.mesh.publish({
          projects: projects.map((each) => (each.name === "shop" ? { ...each, mode: "project" } : each)),
          workloads: workloads.map((each) => (isWeb(each) ? { ...each, ...entry } : each)),
        });
        assert.deepEqual(proxy.events("connection_refused", position), [], "the dial still waits");
      });
      const line = await refusalLine(proxy, position, endpoint(target), reason);
      assert.equal(line["peerWorkload"], "shop/web", JSON.stringify(line));
      const ended = await from("client").event("ended", ({ name }) => name === what);
      assert.deepEqual([ended["ended"], ended["bytes"]], ["reset", 0]);
      assert.equal((await bridge.stop()).count(canary), 0);
    });
});
