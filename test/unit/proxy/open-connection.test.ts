/** When connections are judged anew: as soon as other rules hold, also those that are being dialled then, and only then. */
import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import type { Credentials } from "../../../lib/enrolment/identity.ts";
import type { Ip } from "../../../lib/net/address.ts";
import { newRecord } from "../../../proxy/connection.ts";
import { Dataplane } from "../../../proxy/dataplane.ts";
import type { ConnectionRecord } from "../../../proxy/observe/events.ts";
import { OpenConnection } from "../../../proxy/open-connection.ts";
import type { LookUpAnswer, Policy, Verdict, View } from "../../../proxy/route/policy.ts";
import type { Welcome } from "../../../proxy/session/verify-peer.ts";
import { manualClock } from "../../clock/manual-clock.ts";
import type { ManualClock } from "../../clock/manual-clock.ts";
import { ip, self, viewWith } from "./route/world.ts";

const [permissive, project, strict] = (["permissive", "project", "strict"] as const).map((mode) =>
  viewWith({ shop: { mode } }),
) as [View, View, View];

/** The rules of the snapshots that were taken, with a connection open for each `open`. */
function world(): {
  plane: Dataplane;
  open: (parts?: { verdict?: Verdict }) => Opened;
  clock: ManualClock;
  lookUps: LookUpAnswer[];
  loseCertificate: () => void;
} {
  const clock = manualClock();
  const lookUps: LookUpAnswer[] = [];
  let credentials = {} as Credentials | null;
  const plane = new Dataplane({
    clock,
    log: () => {},
    self,
    directory: { current: () => permissive, lookUp: async () => lookUps.shift() ?? "no-answer" },
    pool: null as never,
    welcome: { credentials: () => credentials } as Welcome,
    sampling: null,
    maxConnections: 10,
    maxBuffered: 1_000_000,
  });
  const open = ({ verdict = null }: { verdict?: Verdict } = {}): Opened => {
    const [near, client] = duplexPair();
    const [server] = duplexPair();
    const record = newRecord("inbound", "", plane);
    const judgedBy: Policy[] = [];
    near.on("error", () => {});
    new OpenConnection({
      client,
      server,
      record,
      plane,
      judge: (now) => {
        judgedBy.push(now);
        return verdict;
      },
      tunnel: null,
    });
    return { client, server, record, judgedBy };
  };
  return { plane, open, clock, lookUps, loseCertificate: () => (credentials = null) };
}

const hour = 3_600_000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

type Opened = { client: Duplex; server: Duplex; record: ConnectionRecord; judgedBy: Policy[] };

const ended = ({ client, server }: Opened): Promise<unknown> =>
  Promise.all([client, server].map((each) => new Promise<void>((resolve) => each.once("close", () => resolve()))));

const refusal = { reason: "plaintext_refused", detail: "strict" } as const;

test("other rules end what they would refuse, and the record says which rule it was", async () => {
  const { plane, open } = world();
  plane.snapshotTaken(permissive);
  const refused = open({ verdict: refusal });
  const welcome = open();
  plane.snapshotTaken(strict);
  await ended(refused);
  assert.deepEqual([refused.record.reason, refused.record.detail], ["policy_changed", "plaintext_refused strict"]);
  assert.deepEqual([refused.record.closedBy, refused.record.reset], ["proxy", true]);
  assert.deepEqual(welcome.judgedBy, [strict.policy]);
  assert.equal(welcome.client.destroyed, false);
  assert.equal(plane.open.size, 1);
});

test("a snapshot with the same rules judges nothing", () => {
  const { plane, open } = world();
  plane.snapshotTaken(permissive);
  const { judgedBy } = open({ verdict: refusal });
  plane.snapshotTaken(viewWith({ shop: { mode: "permissive" }, document: { services: [] } }));
  assert.deepEqual(judgedBy, []);
});

test("a dry run judges nothing", () => {
  const { plane, open } = world();
  plane.snapshotTaken(permissive);
  const { judgedBy } = open({ verdict: refusal });
  plane.snapshotTaken(viewWith({ shop: { mode: "permissive", dryRun: "strict", allowFromDryRun: ["shop/web"] } }));
  assert.deepEqual(judgedBy, []);
});

test("what is dialled while the rules become others is judged until they stay", async () => {
  const { plane } = world();
  plane.snapshotTaken(permissive);
  const { rules } = plane;
  const judgedBy: Policy[] = [];
  const judge = (now: Policy): Verdict => {
    judgedBy.push(now);
    if (judgedBy.length === 1) plane.snapshotTaken(strict);
    return null;
  };
  const [dialled] = duplexPair();
  assert.equal(await plane.judgeAnew(rules, dialled, judge), null);
  assert.deepEqual(judgedBy, []);
  plane.snapshotTaken(project);
  assert.equal(await plane.judgeAnew(rules, dialled, judge), null);
  assert.deepEqual(judgedBy, [project.policy, strict.policy]);
  assert.equal(dialled.destroyed, false);
  assert.deepEqual(await plane.judgeAnew(rules, dialled, () => refusal), refusal);
  assert.equal(dialled.destroyed, true);
});

test("a look-up that nobody answers is made again for what is open, and only so often", async () => {
  const { plane, clock, lookUps } = world();
  const address = ip("10.0.0.99");
  type Told = { lookUp: LookUpAnswer | null; asked: Ip | null };
  const ask = ({ lookUp, asked }: Told): { kind: "look-up"; ip: Ip } | ({ kind: "done" } & Told) =>
    lookUp === null ? { kind: "look-up", ip: address } : { kind: "done", lookUp, asked };
  lookUps.push("no-answer", "no-answer", "unheld");
  const decided = plane.decideAnew(ask);
  for (let pauses = 0; pauses < 2; pauses++) {
    await turn();
    clock.advance(1_000);
  }
  assert.deepEqual(await decided, { kind: "done", lookUp: "unheld", asked: address });
  assert.deepEqual(await plane.decide(ask), { kind: "done", lookUp: "no-answer", asked: address });
  lookUps.push(...Array<LookUpAnswer>(20).fill("no-answer"));
  const unanswered = plane.decideAnew(ask);
  for (let pauses = 0; pauses < 7; pauses++) {
    await turn();
    clock.advance(1_000);
  }
  await turn();
  assert.equal(clock.pending, 0);
  assert.equal(lookUps.length, 20 - 8);
  assert.deepEqual(await unanswered, { kind: "done", lookUp: "no-answer", asked: address });
});

test("the end of our certificate ends what is open in clear, also where the timer is early", async () => {
  const { plane, open, loseCertificate, clock } = world();
  plane.snapshotTaken(permissive);
  const connection = open();
  const notAfter = clock.now() + 1_000;
  plane.certified(notAfter + 1_000);
  plane.certified(notAfter);
  // It is still valid, as for a clock that is a moment behind the timer.
  clock.advance(1_000);
  await turn();
  assert.equal(connection.client.destroyed, false);
  loseCertificate();
  clock.advance(1);
  await ended(connection);
  assert.deepEqual([connection.record.reason, connection.record.reset], ["certificate_ended", true]);
});

test("so it does where the machine slept over that end", async () => {
  const { plane, open, loseCertificate, clock } = world();
  plane.snapshotTaken(permissive);
  const connection = open();
  plane.certified(clock.now() + 24 * hour);
  clock.leap(25 * hour);
  loseCertificate();
  clock.advance(30_000);
  await ended(connection);
  assert.equal(connection.record.reason, "certificate_ended");
});

test("what is being dialled while our certificate ends is not opened", async () => {
  const { plane, loseCertificate } = world();
  plane.snapshotTaken(permissive);
  const [far] = duplexPair();
  assert.equal(await plane.judgeAnew(permissive.policy, far, () => null), null);
  loseCertificate();
  assert.equal((await plane.judgeAnew(permissive.policy, far, () => null))?.reason, "expired");
  assert.equal(far.destroyed, true);
});

test("no connection is left only when the last one has told its end", async () => {
  const { plane, open, clock } = world();
  const { client, record } = open();
  assert.equal(plane.admit(client), true);
  const idle = new Promise<number>((resolve) => plane.whenIdle(() => resolve(record.endedAt)));
  client.destroy();
  assert.equal(await idle, clock.now());
  await new Promise<void>((resolve) => plane.whenIdle(resolve));
});
