/** The link to the controller: what happens to news, and to dials, while the next stream cannot be had. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Credentials } from "../../../../lib/enrolment/identity.ts";
import type { StreamHandlers } from "../../../../lib/grpc/channel.ts";
import type { Update } from "../../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import type { DirectoryClient } from "../../../../proxy/directory/client.ts";
import { Link } from "../../../../proxy/directory/link.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import type { ManualClock } from "../../../clock/manual-clock.ts";

const credentials = (generation: number): Credentials =>
  ({ identity: { generation }, roots: ["root"] }) as unknown as Credentials;
const named = (resume: string): Update => ({ resume, forget: [] }) as unknown as Update;

type Watch = StreamHandlers<Update>;
type World = {
  readonly clock: ManualClock;
  readonly link: Link;
  /** Of each stream that was asked for. */
  readonly watches: Watch[];
  readonly applied: string[];
};

/** `next`: what becomes of every stream but the first. */
function world(next: (watch: Watch) => void): World {
  const clock = manualClock();
  const watches: Watch[] = [];
  const applied: string[] = [];
  const client = {
    reached: async () => {},
    watch: (_request: unknown, handlers: Watch) => {
      if (watches.push(handlers) > 1) next(handlers);
      return () => {};
    },
    close: () => {},
  } as unknown as DirectoryClient;
  const follower = {
    request: () => ({ version: 0n, resume: "", revisions: [] }),
    begun: () => {},
    updated: ({ resume }: Update) => {
      applied.push(resume);
      return null;
    },
    forget: () => {},
    inUse: () => 1,
  };
  const link = new Link({ connect: async () => client, clock, random: () => 1, log: () => {} }, follower);
  return { clock, link, watches, applied };
}

/** A dial is behind a few promises. */
async function turns(): Promise<void> {
  for (let count = 0; count < 4; count++) await new Promise((resolve) => setImmediate(resolve));
}

async function replacing(next: (watch: Watch) => void): Promise<World> {
  const made = world(next);
  made.link.renew(credentials(1));
  await turns();
  made.watches[0]!.onMessage(named("first"));
  made.link.renew(credentials(2));
  await turns();
  return made;
}

test("news that came while the next stream was silent counts, also where the one in use has ended since", async () => {
  const { clock, watches, applied } = await replacing(() => {});
  clock.advance(1_000);
  watches[0]!.onMessage(named("stricter"));
  clock.advance(1_000);
  watches[0]!.onEnd({ kind: "over" });
  assert.deepEqual(applied, ["first"], "the next one may still go on from where it asked");
  clock.advance(5_000);
  await turns();
  assert.deepEqual(applied, ["first", "stricter"]);
});

for (const busy of [false, true])
  test(`a next stream that is refused is asked for ever more seldom, ${busy ? "in a busy cluster too" : "with no news"}`, async () => {
    const { clock, watches } = await replacing((watch) => {
      setImmediate(() => watch.onEnd({ kind: "failed", error: "refused" }));
    });
    for (let step = 0; step < 60; step++) {
      clock.advance(500);
      if (busy) watches[0]!.onMessage(named(`news ${step}`));
      await turns();
    }
    // After 0.2, 0.4, 0.8, 1.6, 3.2 and then every 5 s: in 30 s.
    assert.ok(watches.length >= 9 && watches.length <= 13, `${watches.length} streams`);
  });
