// The order in which a call is let in: source's rate, form of the token, bound on concurrency, proof, pod's rate.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { Authenticator, Caller } from "../../../ca/authn/caller.ts";
import { Publisher } from "../../../ca/bundle/publisher.ts";
import { Ca } from "../../../ca/ca.ts";
import type { Call, CaSettings } from "../../../ca/ca.ts";
import { denial } from "../../../ca/denial.ts";
import type { Denial } from "../../../ca/denial.ts";
import { openFolder } from "../../../ca/store/folder.ts";
import { silent } from "../../../lib/log/log.ts";
import { manualClock } from "../../clock/manual-clock.ts";

const trustDomain = "cluster.local";

/** A token is the pod's uid; what starts with `bad` has no form, `slow` waits until it is let go. */
class FakeAuthenticator implements Authenticator {
  proofs = 0;
  #waiting: (() => void)[] = [];

  inspect(token: string): ReturnType<Authenticator["inspect"]> {
    if (token.startsWith("bad")) return denial("token_malformed", "bad");
    return { kind: "inspected", prove: () => this.#prove(token) };
  }

  letGo(): void {
    for (const go of this.#waiting.splice(0)) go();
  }

  async #prove(token: string): Promise<Caller> {
    this.proofs++;
    if (token.startsWith("slow")) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const pod = {
      namespace: "shop",
      serviceAccount: "cart",
      serviceAccountUid: "",
      pod: token,
      podUid: token,
      node: "",
      nodeUid: "",
    };
    return { kind: "caller", role: "pod", namespaceUid: null, pod, provenUntil: 0 };
  }
}

type Parts = { readonly ca: Ca; readonly authenticator: FakeAuthenticator; readonly refused: string[] };

type Bounds = Pick<CaSettings, "mostConcurrent" | "mostOfOneSource">;

async function newCa(
  t: TestContext,
  burst: number,
  bounds: Bounds = { mostConcurrent: 2, mostOfOneSource: 2 },
): Promise<Parts> {
  const path = mkdtempSync(join(tmpdir(), "tencrypt-admission-"));
  const clock = manualClock(Date.now());
  const store = await openFolder({ path, trustDomain }, clock, silent);
  const publisher = await Publisher.start(store, { clock, log: silent });
  t.after(() => {
    publisher.stop();
    rmSync(path, { recursive: true, force: true });
  });
  const authenticator = new FakeAuthenticator();
  const refused: string[] = [];
  const audit = {
    hasRoom: () => true,
    issued: () => {},
    refused: (operation: string, { reason }: Denial) => void refused.push(`${operation} ${reason}`),
  };
  const settings = { trustDomain, leafTtl: 3_600_000, rateLimit: { perSecond: 1, burst }, ...bounds };
  return { ca: new Ca({ settings, authenticator, store, publisher, audit, clock }), authenticator, refused };
}

const from = (source: string, token: string): Call => ({ source, authorization: [`Bearer ${token}`] });
const reasonOf = (outcome: Caller | Denial): string => (outcome.kind === "denial" ? outcome.reason : outcome.kind);

void test("no more proofs run at once than the bound; a place that gets free is used", async (t) => {
  const { ca, authenticator, refused } = await newCa(t, 100);
  const slow = [ca.admitWatch(from("a", "slow-1")), ca.admitWatch(from("b", "slow-2"))];
  assert.equal(reasonOf(await ca.admitWatch(from("c", "pod"))), "ca_busy");
  assert.equal(authenticator.proofs, 2);
  authenticator.letGo();
  assert.deepEqual((await Promise.all(slow)).map(reasonOf), ["caller", "caller"]);
  assert.equal(reasonOf(await ca.admitWatch(from("c", "pod"))), "caller");
  assert.deepEqual(refused, ["bundle ca_busy"]);
});

void test("however slow the proofs of one source are, another source has places, and its own are free again after", async (t) => {
  const { ca, authenticator } = await newCa(t, 100, { mostConcurrent: 4, mostOfOneSource: 2 });
  const slow = ["slow-1", "slow-2", "slow-3", "slow-4"].map((token) => ca.admitWatch(from("a", token)));
  assert.equal(reasonOf(await ca.admitWatch(from("b", "pod"))), "caller");
  authenticator.letGo();
  assert.deepEqual((await Promise.all(slow)).map(reasonOf), ["caller", "caller", "ca_busy", "ca_busy"]);
  assert.equal(reasonOf(await ca.admitWatch(from("a", "pod-of-a"))), "caller");
});

void test("a token without form costs no proof", async (t) => {
  const { ca, authenticator } = await newCa(t, 100);
  assert.equal(reasonOf(await ca.admitWatch(from("a", "bad"))), "token_malformed");
  assert.equal(authenticator.proofs, 0);
});

void test("a source beyond its rate is refused before its token is looked at, another source is not", async (t) => {
  const { ca, authenticator } = await newCa(t, 2);
  const outcomes = [];
  for (const token of ["one", "two", "three"]) outcomes.push(reasonOf(await ca.admitWatch(from("a", token))));
  assert.deepEqual(outcomes, ["caller", "caller", "rate_limited"]);
  assert.equal(authenticator.proofs, 2);
  assert.equal(reasonOf(await ca.admitWatch(from("b", "three"))), "caller");
});

void test("a pod beyond its rate is refused whatever address it comes from, another pod is not", async (t) => {
  const { ca, refused } = await newCa(t, 2);
  const outcomes = [];
  for (const source of ["a", "b", "c"]) outcomes.push(reasonOf(await ca.admitWatch(from(source, "pod"))));
  assert.deepEqual(outcomes, ["caller", "caller", "rate_limited"]);
  assert.equal(reasonOf(await ca.admitWatch(from("c", "another"))), "caller");
  assert.deepEqual(refused, ["bundle rate_limited"]);
});

for (const [what, authorization] of [
  ["no token", []],
  ["two tokens", ["Bearer a", "Bearer b"]],
  ["another scheme", ["Basic a"]],
  ["two tokens in one value", ["Bearer a, Bearer b"]],
  ["an empty token", ["Bearer "]],
] as const) {
  void test(`refused: ${what}`, async (t) => {
    const { ca } = await newCa(t, 100);
    assert.equal(reasonOf(await ca.admitWatch({ source: "a", authorization })), "token_missing");
  });
}
