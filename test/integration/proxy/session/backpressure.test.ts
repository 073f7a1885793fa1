/**
 * A relay whose receiver takes what comes in fits and starts carries every byte and the end, at windows so narrow that a
 * pause which is not taken back stops the stream for good.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Relay } from "../../../../proxy/relay/relay.ts";
import type { RelayOutcome } from "../../../../proxy/relay/relay.ts";

const total = 20_000_000;

type Random = () => number;

/** Numerical Recipes' generator: the same fits and starts in each run. */
function randomFrom(seed: number): Random {
  let state = seed;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
}

/** Pieces of 1 to 40 000 octets, most of them small. */
function sendAll(stream: ServerHttp2Stream, random: Random): void {
  let left = total;
  const more = (): void => {
    while (left > 0) {
      const piece = Buffer.alloc(Math.min(left, 1 + Math.floor(random() ** 3 * 40_000)));
      left -= piece.length;
      if (!stream.write(piece)) return void stream.once("drain", more);
      if (random() < 0.05) return void setImmediate(more);
    }
    stream.end();
  };
  stream.respond({ ":status": 200 });
  stream.resume();
  more();
}

/** Takes a piece at once, in a turn, or in a millisecond; ends its half when it is ended. */
const receiver = (random: Random): Duplex => {
  const duplex: Duplex = new Duplex({
    writableHighWaterMark: 16_384,
    read: () => {},
    write: (_chunk, _encoding, done) => {
      const share = random();
      if (share < 0.3) done();
      else if (share < 0.9) setImmediate(done);
      else setTimeout(done, 1);
    },
    final: (done) => {
      done();
      duplex.push(null);
    },
  });
  return duplex;
};

async function carried(t: TestContext, initialWindowSize: number, seed: number): Promise<RelayOutcome> {
  const random = randomFrom(seed);
  const far = createServer();
  far.on("stream", (stream: ServerHttp2Stream) => sendAll(stream, random));
  await once(far.listen(0, "127.0.0.1"), "listening");
  const session = connect(`http://127.0.0.1:${(far.address() as AddressInfo).port}`, {
    settings: { initialWindowSize },
  });
  t.after(() => {
    session.destroy();
    far.close();
  });
  const server = session.request({ ":method": "POST", ":path": "/" }, { endStream: false });
  await once(server, "response");
  return new Promise((done) => {
    new Relay(
      { client: receiver(random), server },
      { disarm: () => {}, waits: () => {}, bulk: () => {}, done },
    ).start();
  });
}

for (const window of [8_192, 16_384, 65_535])
  for (const seed of [11, 12, 13])
    test(`a window of ${window}, seed ${seed}`, { timeout: 30_000 }, async (t) => {
      const { bytesReceived, reset, closedBy } = await carried(t, window, seed);
      assert.deepEqual([bytesReceived, reset, closedBy], [total, false, "server"]);
    });
