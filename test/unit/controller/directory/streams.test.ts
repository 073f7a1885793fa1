/** What is sent to a caller that is slow to read, or does not read at all. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, test } from "node:test";
import { ClusterState } from "../../../../controller/directory/state.ts";
import { Streams } from "../../../../controller/directory/streams.ts";
import type { WatchCall } from "../../../../controller/directory/streams.ts";
import type { Update } from "../../../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { manualClock } from "../../../clock/manual-clock.ts";

const caller = { project: "shop", podUid: "uid-self", spiffeId: "" };

type SlowCall = EventEmitter & { writableEnded: boolean };

/** A caller that has read an update when the test says so. */
class Slow {
  readonly updates: Update[] = [];
  readonly call: SlowCall = Object.assign(new EventEmitter(), {
    request: { version: 0n, resume: "", revisions: [] },
    writableEnded: false,
    end: (): void => void (this.call.writableEnded = true),
    write: (update: Update, written: () => void): void => {
      this.updates.push(update);
      this.read = written;
    },
  });
  read: () => void = () => {};

  get modes(): readonly (string | undefined)[] {
    return this.updates.map(({ projects }) => projects[0]?.mode);
  }
}

class World {
  readonly state: ClusterState = new ClusterState({ defaultMode: "project", clusterRanges: [] });
  readonly #clock = manualClock();
  readonly streams: Streams = new Streams({
    state: this.state,
    clock: this.#clock,
    instance: "one",
    revisions: () => [],
    watching: () => {},
  });

  mode(mode: string): void {
    const labels = { "tencrypt.io/project": "enabled" };
    const annotations = { "tencrypt.io/mode": mode };
    const metadata = { name: "shop", uid: "uid-shop", resourceVersion: "1", labels, annotations };
    this.state.namespace({ kind: "added", object: { metadata } });
    this.streams.changed();
    this.#clock.advance(100);
  }

  open(slow: Slow): boolean {
    return this.streams.open(slow.call as unknown as WatchCall, caller);
  }
}

describe("a slow caller", () => {
  test("has one update on the way, and then the newest state, not those between", () => {
    const world = new World();
    const slow = new Slow();
    world.mode("permissive");
    assert.ok(world.open(slow));
    for (const mode of ["project", "permissive", "strict"]) world.mode(mode);
    assert.deepEqual(slow.modes, ["permissive"]);
    slow.read();
    assert.deepEqual(slow.modes, ["permissive", "strict"]);
    slow.read();
    assert.equal(slow.updates.length, 2);
    world.mode("project");
    assert.deepEqual(slow.modes, ["permissive", "strict", "project"]);
  });

  test("that has gone is sent nothing more", () => {
    const world = new World();
    const slow = new Slow();
    world.mode("project");
    world.open(slow);
    world.mode("strict");
    slow.call.emit("cancelled");
    slow.read();
    assert.equal(slow.updates.length, 1);
  });

  test("whose stream has ended is sent nothing behind the end, be it due before or after", () => {
    const world = new World();
    const slow = new Slow();
    world.mode("project");
    world.open(slow);
    world.mode("permissive");
    world.streams.endAll();
    world.mode("strict");
    slow.read();
    assert.equal(slow.updates.length, 1);
  });

  test("is told once what to forget, and answered no more when it does not read it", () => {
    const world = new World();
    const slow = new Slow();
    world.mode("project");
    world.open(slow);
    let answered = 0;
    while (world.streams.lookedUp(caller, `10.0.${answered >> 8}.${answered & 255}`, true)) answered++;
    assert.equal(answered, 2 * 4_096);
    world.mode("strict");
    slow.read();
    assert.equal(slow.updates[1]?.forget.length, 4_096);
    assert.ok(world.streams.lookedUp(caller, "10.1.0.1", true));
  });
});

test("a pod has four streams, and room again when one ends", () => {
  const world = new World();
  const all = Array.from({ length: 5 }, () => new Slow());
  assert.deepEqual(
    all.map((slow) => world.open(slow)),
    [true, true, true, true, false],
  );
  all[0]!.call.emit("close");
  assert.ok(world.open(all[4]!));
});
