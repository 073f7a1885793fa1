/** Callers with a good certificate that ask for too much, on a real API server: what others get of it, and what it costs. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { systemClock } from "../../../lib/clock/clock.ts";
import { loadAccess } from "../../../lib/kube/access.ts";
import { KubeClient } from "../../../lib/kube/client.ts";
import { whyNoApiServer } from "../../cluster/api-server.ts";
import { eventually } from "../../cluster/eventually.ts";
import { Rig } from "./rig.ts";
import type { Controller, Leaf } from "./rig.ts";

const why = whyNoApiServer();
const unavailable = 14;
const resourceExhausted = 8;
const lie = [{ kind: "pods", resourceVersion: 2n ** 62n }];

let rig: Rig;
let one: Controller;
let client: KubeClient;
const time = { skewMs: 0 };
const monotonic = (): number => systemClock.monotonic() + time.skewMs;

before(async () => {
  if (why !== null) return;
  rig = await Rig.start();
  client = new KubeClient(loadAccess({ kubeconfig: rig.api.kubeconfig }), systemClock);
  one = await rig.controller({}, { ...systemClock, monotonic });
});
after(async () => {
  client?.close();
  await rig?.stop();
});

const leafIn = async (project: string): Promise<Leaf & { readonly uid: string }> => {
  await rig.project(project);
  const pod = await rig.pod(project, "self");
  return { ...(await rig.leafOf(pod)), uid: pod.uid };
};

/** How often the API server was asked for a list of pods. */
async function listsOfPods(): Promise<number> {
  const metrics = await client.text("/metrics");
  return metrics
    .split("\n")
    .filter((line) => /^apiserver_request_total\{.*resource="pods".*verb="LIST"/.test(line))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

const refusedLines = (uid: string): readonly { readonly count: number }[] =>
  one.lines.filter(({ event, podUid }) => event === "directory_watch_refused" && podUid === uid) as never;

describe("a caller that says to have seen what nobody has", why === null ? {} : { skip: why }, () => {
  test("has everything listed now and then only, and nobody else is refused or told less for it", async () => {
    const [liar, honest] = [await leafIn("lying"), await leafIn("honest")];
    const [attack, reader] = [await rig.directory(one, liar), await rig.directory(one, honest)];
    let known = await reader.watch().until(({ full }) => full);
    const lists = await listsOfPods();
    const startedAt = monotonic();
    const rounds = 20;
    for (let round = 0; round < rounds; round++) {
      time.skewMs += 1_000;
      assert.deepEqual(await attack.watch({ revisions: lie }).next(), { kind: "end", code: unavailable });
      reader.cancel();
      await reader.until(() => false).catch(() => {});
      const next = await reader.watch({ ...known }).next();
      assert.ok(!("kind" in next), `round ${round}`);
      for (const { kind, resourceVersion } of known.revisions)
        assert.ok(next.revisions.find((each) => each.kind === kind)!.resourceVersion >= resourceVersion, kind);
      known = next;
    }
    // Two at once, and one each ten seconds.
    assert.ok((await listsOfPods()) - lists <= 2 + (monotonic() - startedAt) / 10_000);
  });

  test("fills no log", async () => {
    const liar = await leafIn("loud");
    const attack = await rig.directory(one, liar);
    const startedAt = monotonic();
    const tries = 50;
    for (let count = 0; count < tries; count++) attack.watch({ revisions: lie });
    const codes: number[] = [];
    for (let count = 0; count < tries; count++) {
      const next = await attack.next();
      codes.push("kind" in next ? next.code : 0);
    }
    assert.deepEqual(new Set(codes), new Set([unavailable, resourceExhausted]));
    // Eight at once, and one a second.
    const seconds = (monotonic() - startedAt) / 1_000;
    assert.ok(codes.filter((code) => code === unavailable).length <= 8 + seconds);
    await eventually(async () => {
      const lines = refusedLines(liar.uid);
      assert.equal(
        lines.reduce((sum, { count }) => sum + count, 0),
        tries,
      );
    });
    // In each second one line for the first, and one for the rest.
    assert.ok(refusedLines(liar.uid).length <= 2 * (Math.floor(seconds) + 2));
  });
});

describe("a pod with many connections", why === null ? {} : { skip: why }, () => {
  test("gets no more than it needs, and those of others are let in", async () => {
    const [greedy, modest] = [await leafIn("many"), await leafIn("few")];
    const readers = await Promise.all(Array.from({ length: 24 }, () => rig.directory(one, greedy)));
    const answers = await Promise.all(
      readers.map((reader) =>
        reader.lookUp("10.4.9.9").then(
          () => true,
          () => false,
        ),
      ),
    );
    assert.equal(answers.filter(Boolean).length, 16);
    assert.ok((await (await rig.directory(one, modest)).lookUp("10.4.9.9")).nobody !== undefined);
  });
});
