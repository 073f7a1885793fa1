/**
 * Any pod of the cluster can dial the webhooks. What strangers do there, over real TLS connections from addresses of their
 * own, holds up no request of the API server and costs the controller bounded memory.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, mkdtempSync, rmSync } from "node:fs";
import { Agent } from "node:https";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { connect } from "node:tls";
import type { TLSSocket } from "node:tls";
import { startWebhooks } from "../../../controller/webhook/start.ts";
import type { WebhookContext } from "../../../controller/webhook/start.ts";
import { malformed } from "../../../controller/webhook/admission.ts";
import type { Answer } from "../../../controller/webhook/admission.ts";
import { answerMs, lingerMs, listenWebhooks } from "../../../controller/webhook/server.ts";
import type { Handler, WebhookServer } from "../../../controller/webhook/server.ts";
import type { Identity } from "../../../lib/enrolment/identity.ts";
import { silent } from "../../../lib/log/log.ts";
import type { Log } from "../../../lib/log/log.ts";
import { manualClock } from "../../clock/manual-clock.ts";
import { Keys } from "../../cluster/keys.ts";
import { post, review, reviewOf } from "./reviews.ts";

const [stranger, other] = ["127.0.0.2", "127.0.0.3"];
const clock = manualClock();
const folder = mkdtempSync(join(tmpdir(), "tencrypt-strangers-"));

/** What the API server is asked for, and how it answers. */
type Asked = { paths: string[]; underWay: number; most: number; answer: () => Promise<void> };
let asked: Asked;
let server: WebhookServer;
let identity: Identity;
const sockets = new Set<TLSSocket>();

async function find(path: string): Promise<unknown> {
  asked.paths.push(path);
  asked.most = Math.max(asked.most, ++asked.underWay);
  await asked.answer();
  asked.underWay--;
  return { metadata: { uid: "u" } };
}

before(async () => {
  const { certificateFile, keyFile } = new Keys(folder).issue("webhook", { user: "x", usages: ["serverAuth"] });
  server = await startWebhooks({
    config: { webhookListen: { host: "127.0.0.1", port: 0 } },
    client: { find },
    credentials: () => null,
    metrics: { injection: () => {} },
    clock,
    log: silent,
  } as unknown as WebhookContext);
  identity = {
    chainPem: readFileSync(certificateFile, "utf8"),
    keyPem: () => readFileSync(keyFile, "utf8"),
  } as Identity;
  server.renew({ identity });
});
beforeEach(() => (asked = { paths: [], underWay: 0, most: 0, answer: async () => {} }));
after(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function dial(localAddress: string): Promise<TLSSocket> {
  const tcp = connectTcp({ host: "127.0.0.1", port: server.port, localAddress });
  const socket = connect({ socket: tcp, rejectUnauthorized: false });
  sockets.add(socket);
  socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  await once(socket, "secureConnect");
  return socket;
}

/** A request whose head has been read when this resolves: the server has said that it waits for the body. */
async function drip(localAddress: string): Promise<TLSSocket> {
  const socket = await dial(localAddress);
  socket.write("POST /namespaces HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1000\r\n\r\n");
  const [first] = (await once(socket, "data")) as [Buffer];
  assert.match(first.toString(), /^HTTP\/1\.1 100 /);
  socket.write("{");
  return socket;
}

const drips = (count: number, localAddress: string): Promise<readonly TLSSocket[]> =>
  Promise.all(Array.from({ length: count }, () => drip(localAddress)));

const namespace = (peers: string): object => ({
  operation: "UPDATE",
  object: { metadata: { name: "shop", annotations: { "tencrypt.io/peers": peers } } },
});
const peerNames = (count: number): string => Array.from({ length: count }, (_, index) => `p${index}`).join();

describe("strangers at the webhooks' port", () => {
  test("bodies that drip hold up nobody else, and are given up within seconds", async () => {
    const started = performance.now();
    const held = await drips(100, stranger);
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => post(server.port, "/namespaces", reviewOf(namespace("")))),
    );
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    for (const socket of held) if (!socket.closed) await once(socket, "close");
    assert.ok(performance.now() - started < 15_000);
  });

  test("an address with too many connections loses its own oldest", async () => {
    const older = await dial(other);
    const isAnswered = async (): Promise<void> => {
      older.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
      const [answer] = (await once(older, "data")) as [Buffer];
      assert.match(answer.toString(), /^HTTP\/1\.1 404 /);
    };
    // Until its first request a connection has 5 s, which a busy machine takes to dial so many.
    await isAnswered();
    const [oldest] = await drips(1, stranger);
    const closed = once(oldest!, "close");
    await drips(256, stranger);
    await closed;
    await isAnswered();
  });

  test("a second request before the first is answered ends the connection", async () => {
    asked.answer = () => new Promise(() => {});
    const socket = await dial(stranger);
    const body = reviewOf(namespace("billing"));
    const request = `POST /namespaces HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    const closed = once(socket, "close");
    socket.write(request.repeat(2));
    await closed;
    assert.equal(asked.paths.length, 1);
    clock.advance(answerMs);
  });

  test("an answer that cannot be written ends its connection and nothing else", async (t) => {
    const answer = { allowed: true, patch: [{ op: "add", path: "/", value: 1n }], warnings: [], message: null };
    const handlers = new Map<string, Handler>([["/odd", async () => answer as unknown as Answer]]);
    const own = await listenWebhooks({ host: "127.0.0.1", port: 0 }, { handlers, clock, log: silent });
    t.after(() => own.close());
    own.renew({ identity });
    for (let index = 0; index < 3; index++)
      await assert.rejects(post(own.port, "/odd", reviewOf(namespace(""))), /socket hang up|ECONNRESET/);
  });

  test("a review with a hundred thousand peers is refused before anything is asked", async () => {
    const forged = reviewOf(namespace(peerNames(100_000)));
    const agent = new Agent({ keepAlive: true });
    const ask = (): Promise<{ status: number; text: string }> => post(server.port, "/namespaces", forged, { agent });
    assert.match((await ask()).text, /too_many_peers: .*100000 names/);
    const rss = process.memoryUsage.rss();
    for (let index = 0; index < 40; index++) await ask();
    agent.destroy();
    assert.ok(process.memoryUsage.rss() - rss < 128 * 1024 * 1024, "memory stays flat");
    assert.deepEqual(asked.paths, []);
  });

  test("a peer that is named a hundred thousand times is looked up once", async () => {
    const { patch } = await review(server.port, "/namespaces", namespace("billing, ".repeat(100_000)));
    assert.deepEqual(
      patch.map(({ value }) => value),
      ["billing/u"],
    );
    assert.deepEqual(asked.paths, ["/api/v1/namespaces/billing"]);
  });

  test("as many peers as may be are looked up a few at a time", async () => {
    asked.answer = () => new Promise((resolve) => setImmediate(resolve));
    const { patch } = await review(server.port, "/namespaces", namespace(peerNames(64)));
    assert.equal(String(patch[0]?.value).split("/u").length, 65);
    assert.deepEqual([asked.paths.length, asked.most], [64, 4]);
  });

  test("nothing more is asked once the time for the answer is over", async () => {
    const going: (() => void)[] = [];
    const four = new Promise<void>((resolve) => {
      asked.answer = () =>
        new Promise((done) => {
          going.push(done);
          if (going.length === 4) resolve();
        });
    });
    const answer = review(server.port, "/namespaces", namespace(peerNames(64)));
    await four;
    clock.advance(answerMs);
    const { code, message, retryAfterSeconds } = await answer;
    assert.match(message, /no answer within 1000 ms/);
    assert.deepEqual([code, retryAfterSeconds], [503, 1]);
    for (const done of going) done();
    // The next one has its turn when nothing works on this one any more.
    await review(server.port, "/namespaces", namespace(""));
    assert.equal(asked.paths.length, 4);
  });
});

describe("what a server of its own does", () => {
  test("refusals that anybody may ask for do not fill the log, and are counted", async (t) => {
    const lines: unknown[] = [];
    const log: Log = (_level, event, fields) => lines.push([event, fields?.["reason"], fields?.["count"]]);
    const ticking = manualClock();
    const own = await listenWebhooks(
      { host: "127.0.0.1", port: 0 },
      { handlers: new Map([["/refuses", () => Promise.resolve(malformed)]]), clock: ticking, log },
    );
    t.after(() => own.close());
    own.renew({ identity });
    for (let index = 0; index < 20; index++) await post(own.port, "/refuses", reviewOf(namespace("")));
    ticking.advance(1_000);
    const { reason } = malformed;
    assert.deepEqual(lines, [
      ...Array.from({ length: 5 }, () => ["admission_refused", reason, 1]),
      ["admission_refused", reason, 15],
    ]);
  });

  test("an API server that goes on using its connection is answered to the end", async (t) => {
    const ticking = manualClock();
    const handlers = new Map([["/refuses", () => Promise.resolve(malformed)]]);
    const own = await listenWebhooks({ host: "127.0.0.1", port: 0 }, { handlers, clock: ticking, log: silent });
    own.renew({ identity });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const ask = async (): Promise<number> =>
      (await post(own.port, "/refuses", reviewOf(namespace("")), { agent })).status;
    const free = (): number => Object.values(agent.freeSockets).flat().length;
    assert.deepEqual([await ask(), free()], [200, 1]);
    const drained = own.drain();
    assert.equal(await ask(), 200);
    assert.equal(await ask(), 200, "on another connection");
    assert.equal(free(), 0, "each ended with its answer");
    ticking.advance(lingerMs);
    await drained;
    await assert.rejects(ask(), /ECONNREFUSED/);
  });
});
