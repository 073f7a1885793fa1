/** Places at a gRPC port that anybody can dial: whoever holds many gives way, and who is proven stays longest. */
// Who gives way where a control-plane program has too many connections, over real sockets from addresses of their own.
import assert from "node:assert/strict";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Connections } from "../../../lib/grpc/connections.ts";
import type { ConnectionBounds } from "../../../lib/grpc/connections.ts";

type Dialled = { readonly socket: Socket; readonly peer: string; readonly closed: Promise<void> };
type Rig = {
  readonly connections: Connections;
  /** Resolves when it is taken. */
  readonly dial: (localAddress: string) => Promise<Dialled>;
};

async function start(t: TestContext, bounds: ConnectionBounds): Promise<Rig> {
  const greet = (socket: Socket): void => {
    socket.on("error", () => {});
    socket.write("!");
  };
  const connections = new Connections(bounds, greet);
  const { port } = await connections.listen({ host: "127.0.0.1", port: 0 });
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    connections.close();
    connections.endAll();
  });
  const dial = async (localAddress: string): Promise<Dialled> => {
    const socket = connect({ host: "127.0.0.1", port, localAddress });
    sockets.push(socket);
    socket.on("error", () => {});
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    await Promise.race([
      new Promise((resolve) => socket.once("data", resolve)),
      closed.then(() => assert.fail(`a connection from ${localAddress} was not taken`)),
    ]);
    return { socket, peer: `${localAddress}:${socket.localPort}`, closed };
  };
  return { connections, dial };
}

const source = (index: number): string => `127.0.0.${index}`;
const isOpen = ({ socket }: Dialled): boolean => !socket.closed;

test("eight sources that hold all places do not shut out a ninth: the busiest loses its oldest", async (t) => {
  const { dial } = await start(t, { all: 17, ofOneSource: 3 });
  const held: Dialled[] = [];
  for (let index = 2; index < 10; index++) held.push(await dial(source(index)), await dial(source(index)));
  const busy = await dial(source(5));
  await dial("127.0.0.1");
  const oldest = held[6]!;
  assert.ok(oldest.peer.startsWith(`${source(5)}:`));
  await oldest.closed;
  assert.deepEqual([...held.filter((each) => each !== oldest), busy].map(isOpen), Array(16).fill(true));
});

test("connections of proven callers stay while there are others, however old they are", async (t) => {
  const { connections, dial } = await start(t, { all: 6, ofOneSource: 4 });
  const proven = [await dial(source(2)), await dial(source(2)), await dial(source(2))];
  for (const { peer } of proven) connections.proven(peer);
  const [first, second] = [await dial(source(3)), await dial(source(4))];
  await dial(source(5));
  await dial(source(6));
  await first.closed;
  await dial(source(6));
  await second.closed;
  assert.deepEqual(proven.map(isOpen), [true, true, true]);
});

test("where all callers are proven, the busiest source loses its oldest", async (t) => {
  const { connections, dial } = await start(t, { all: 3, ofOneSource: 3 });
  const [oldest, other, busy] = [await dial(source(2)), await dial(source(3)), await dial(source(3))];
  for (const { peer } of [oldest, other, busy]) connections.proven(peer);
  await dial(source(4));
  await other.closed;
  assert.deepEqual([oldest, busy].map(isOpen), [true, true]);
});

test("a source that has all that it may have loses its own oldest, those of proven callers last", async (t) => {
  const { connections, dial } = await start(t, { all: 100, ofOneSource: 3 });
  const neighbour = await dial(source(3));
  const proven = await dial(source(2));
  connections.proven(proven.peer);
  const [first, second] = [await dial(source(2)), await dial(source(2))];
  await dial(source(2));
  await first.closed;
  await dial(source(2));
  await second.closed;
  assert.deepEqual([neighbour, proven].map(isOpen), [true, true]);
});

test("a place is free again when its connection has closed, and the end waits for every one", async (t) => {
  const { connections, dial } = await start(t, { all: 2, ofOneSource: 2 });
  const [one, other] = [await dial(source(2)), await dial(source(3))];
  one.socket.destroy();
  await one.closed;
  const third = await dial(source(4));
  connections.proven("127.0.0.9:1");
  connections.close();
  connections.endAll();
  await connections.ended();
  await Promise.all([other.closed, third.closed]);
});
