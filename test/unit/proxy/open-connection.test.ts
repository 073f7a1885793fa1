/** When an open connection is judged anew: as soon as other rules hold, also if it was being dialled then, and only then. */
import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { newRecord } from "../../../proxy/connection.ts";
import { Dataplane } from "../../../proxy/dataplane.ts";
import type { ConnectionRecord } from "../../../proxy/observe/events.ts";
import { OpenConnection } from "../../../proxy/open-connection.ts";
import type { Policy, Verdict, View } from "../../../proxy/route/policy.ts";
import { manualClock } from "../../clock/manual-clock.ts";
import { self, viewWith } from "./route/world.ts";

const [permissive, project, strict] = (["permissive", "project", "strict"] as const).map((mode) =>
  viewWith({ shop: { mode } }),
) as [View, View, View];

/** The rules of the snapshots that were taken, with a connection open for each `open`. */
function world(): { plane: Dataplane; open: (parts?: { rules?: Policy | null; verdict?: Verdict }) => Opened } {
  const clock = manualClock();
  const plane = new Dataplane({
    clock,
    log: () => {},
    self,
    directory: { current: () => permissive, lookUp: async () => "no-answer" },
    pool: null as never,
    reauthentication: null as never,
    sampling: null,
    maxConnections: 10,
  });
  const open = ({ rules = plane.rules, verdict = null }: { rules?: Policy | null; verdict?: Verdict } = {}): Opened => {
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
      rules,
      judge: (now) => {
        judgedBy.push(now);
        return verdict;
      },
      bulk: () => {},
      ended: () => null,
    });
    return { client, server, record, judgedBy };
  };
  return { plane, open };
}

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

test("rules that came while it was dialled are asked when it opens", async () => {
  const { plane, open } = world();
  plane.snapshotTaken(permissive);
  const { rules } = plane;
  plane.snapshotTaken(project);
  const late = open({ rules, verdict: refusal });
  assert.deepEqual(late.judgedBy, [project.policy]);
  await ended(late);
  assert.equal(late.record.reason, "policy_changed");
  assert.deepEqual(open({ verdict: refusal }).judgedBy, []);
});
