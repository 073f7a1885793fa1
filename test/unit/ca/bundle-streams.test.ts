// A stream of bundles whose reader is slow while its end comes.
import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { test } from "node:test";
import type { Caller } from "../../../ca/authn/caller.ts";
import type { Publisher } from "../../../ca/bundle/publisher.ts";
import { BundleStreams } from "../../../ca/grpc/bundle-streams.ts";
import type { Published } from "../../../ca/store/store.ts";
import { manualClock } from "../../clock/manual-clock.ts";

const second = 1000;
const published = (version: bigint): Published => ({ version, knowledge: { roots: [], projects: new Map() } });

/** Takes one message at a time, each when the test lets it. */
class SlowCall extends Writable {
  readonly cancelled = false;
  readonly versions: bigint[] = [];
  hasStatus = false;
  #taken: () => void = () => {};

  constructor() {
    super({ objectMode: true });
  }

  override _write({ version }: { version: bigint }, _encoding: string, taken: () => void): void {
    this.versions.push(version);
    this.#taken = taken;
  }

  override _final(done: () => void): void {
    this.hasStatus = true;
    done();
  }

  async take(): Promise<void> {
    this.#taken();
    await setImmediate();
  }
}

type Started = {
  readonly call: SlowCall;
  readonly streams: BundleStreams;
  readonly publish: (version: bigint) => void;
  readonly endProof: () => void;
};

/** A stream with its first version under way. */
function start(): Started {
  const clock = manualClock();
  const subscribers = new Set<() => void>();
  const publisher = {
    current: published(1n),
    subscribe: (subscriber: () => void) => {
      subscribers.add(subscriber);
      return () => subscribers.delete(subscriber);
    },
  };
  const streams = new BundleStreams({
    publisher: publisher as unknown as Publisher,
    clock,
    watching: () => {},
  });
  const call = new SlowCall();
  const caller = { role: "controller", provenUntil: clock.now() + second, pod: { podUid: "p", namespace: "n" } };
  streams.open(call as never, caller as unknown as Caller);
  return {
    call,
    streams,
    publish: (version) => {
      publisher.current = published(version);
      for (const subscriber of subscribers) subscriber();
    },
    endProof: () => clock.advance(second),
  };
}

for (const how of ["its proof ends", "the ca drains"])
  test(`a stream that ends because ${how}, with a message under way, gets its status though a version follows`, async () => {
    const { call, streams, publish, endProof } = start();
    if (how === "its proof ends") endProof();
    else streams.endAll();
    publish(2n);
    await setImmediate();
    await call.take();
    assert.deepEqual([call.versions, call.hasStatus, call.errored], [[1n], true, null]);
  });

test("a reader that is slow is spared the versions in between, never the newest", async () => {
  const { call, publish } = start();
  for (const version of [2n, 3n, 4n]) publish(version);
  await call.take();
  await call.take();
  assert.deepEqual(call.versions, [1n, 4n]);
  publish(5n);
  assert.deepEqual(call.versions, [1n, 4n, 5n]);
});

test("a stream whose caller is gone is written to no more", async () => {
  const { call, publish } = start();
  publish(2n);
  call.emit("cancelled");
  await call.take();
  publish(3n);
  assert.deepEqual([call.versions, call.errored], [[1n], null]);
});
