/** Probes against real servers of each kind, with the rules of a kubelet. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttp, request as requestHttp } from "node:http";
import type { ClientRequest, IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import { createServer as createHttps } from "node:https";
import { createServer as createTcp } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { systemClock } from "../../../../lib/clock/clock.ts";
import { parseIp } from "../../../../lib/net/address.ts";
import { serveHealth } from "../../../../proxy/admin/health.ts";
import { readProbes } from "../../../../proxy/probe/declared.ts";
import type { ProbeAction } from "../../../../proxy/probe/declared.ts";
import { perform } from "../../../../proxy/probe/perform.ts";
import type { ProbeOutcome } from "../../../../proxy/probe/perform.ts";
import { makeSelfSigned } from "../../../pki/self-signed.ts";

const host = parseIp("127.0.0.1")!;
const at = { host, clock: systemClock, gone: new AbortController().signal };

async function listen(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

function action(fields: object, timeoutSeconds = 2): ProbeAction {
  const actions = readProbes(JSON.stringify({ "/probe/app/liveness": { ...fields, timeoutSeconds } }));
  return actions!.get("/probe/app/liveness")!;
}

const http = (port: number, more: object = {}): ProbeAction => action({ httpGet: { port, path: "/h", ...more } });

const answering =
  (status: number, headers: Record<string, string> = {}): RequestListener =>
  (_request, response) =>
    void response.writeHead(status, headers).end("body");

for (const [status, ok] of [
  [200, true],
  [204, true],
  [399, true],
  [400, false],
  [404, false],
  [500, false],
] as const) {
  test(`HTTP ${status} is ${ok ? "success" : "failure"}`, async (t) => {
    const port = await listen(t, createHttp(answering(status)));
    assert.deepEqual(await perform(http(port), at), { ok, text: `HTTP ${status}` });
  });
}

test("headers of the probe are sent, Host among them", async (t) => {
  let seen: IncomingMessage["headers"] = {};
  const port = await listen(
    t,
    createHttp((request, response) => {
      seen = request.headers;
      response.end();
    }),
  );
  const httpHeaders = [
    { name: "Host", value: "cart.local" },
    { name: "X-Token", value: "abc" },
  ];
  await perform(http(port, { httpHeaders }), at);
  assert.equal(seen.host, "cart.local");
  assert.equal(seen["x-token"], "abc");
  assert.match(seen["user-agent"] ?? "", /^kube-probe\//);
  await perform(http(port), at);
  assert.equal(seen.host, `127.0.0.1:${port}`);
});

test("a redirect to the same host is followed, one to another host is the answer itself", async (t) => {
  const paths: string[] = [];
  const port = await listen(
    t,
    createHttp((request, response) => {
      paths.push(request.url ?? "");
      if (request.url === "/h") response.writeHead(302, { location: "/there" }).end();
      else response.writeHead(503).end();
    }),
  );
  assert.deepEqual(await perform(http(port), at), { ok: false, text: "HTTP 503" });
  assert.deepEqual(paths, ["/h", "/there"]);
  const other = await listen(t, createHttp(answering(302, { location: "http://example.com/" })));
  assert.deepEqual(await perform(http(other), at), { ok: true, text: "HTTP 302" });
});

test("redirects in a circle are a failure after ten requests", async (t) => {
  let asked = 0;
  const port = await listen(
    t,
    createHttp((_request, response) => {
      asked++;
      response.writeHead(302, { location: "/h" }).end();
    }),
  );
  assert.deepEqual(await perform(http(port), at), { ok: false, text: "stopped after 10 redirects" });
  assert.equal(asked, 10);
});

test("the time of a probe is that of all its requests", async (t) => {
  const port = await listen(
    t,
    createHttp(
      (_request, response) => void setTimeout(() => response.writeHead(302, { location: "/h" }).end(), 150).unref(),
    ),
  );
  assert.deepEqual(await perform(action({ httpGet: { port } }, 0.4), at), { ok: false, text: "timed out" });
});

test("an answer that would lead on by another status than a redirect's is the answer itself", async (t) => {
  const port = await listen(t, createHttp(answering(300, { location: "/there" })));
  assert.deepEqual(await perform(http(port), at), { ok: true, text: "HTTP 300" });
});

test("an answer whose body does not come or breaks off is a failure; of a long one the beginning is enough", async (t) => {
  const answer = (after: (response: ServerResponse) => void): Promise<number> =>
    listen(
      t,
      createHttp((_request, response) => {
        response.writeHead(200, { "content-length": 1_000_000 }).write("beginning");
        after(response);
      }),
    );
  const outcome = (port: number): Promise<unknown> => perform(action({ httpGet: { port } }, 0.3), at);
  assert.deepEqual(await outcome(await answer(() => {})), { ok: false, text: "timed out" });
  const broken = await answer((response) => setImmediate(() => response.destroy()));
  assert.deepEqual(await outcome(broken), { ok: false, text: "ECONNRESET" });
  const long = await answer((response) => response.write(Buffer.alloc(100_000)));
  assert.deepEqual(await outcome(long), { ok: true, text: "HTTP 200" });
});

test("HTTPS is not verified", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-probe-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [key, cert] = [join(folder, "key"), join(folder, "cert")];
  makeSelfSigned("x", { key, cert });
  const port = await listen(t, createHttps({ key: readFileSync(key), cert: readFileSync(cert) }, answering(200)));
  assert.deepEqual(await perform(http(port, { scheme: "HTTPS" }), at), { ok: true, text: "HTTP 200" });
});

test("nobody who listens, and somebody who never answers, are failures in time", async (t) => {
  const port = await listen(
    t,
    createTcp(() => {}),
  );
  const started = performance.now();
  assert.deepEqual(await perform(action({ httpGet: { port } }, 0.2), at), { ok: false, text: "timed out" });
  assert.ok(performance.now() - started < 2_000);
  const closed = createTcp();
  const free = await listen(t, closed);
  await new Promise((resolve) => closed.close(resolve));
  assert.deepEqual(await perform(http(free), at), { ok: false, text: "ECONNREFUSED" });
  assert.deepEqual(await perform(action({ tcpSocket: { port: free } }), at), { ok: false, text: "ECONNREFUSED" });
});

test("TCP is a connection", async (t) => {
  const port = await listen(
    t,
    createTcp((socket) => socket.on("error", () => {})),
  );
  assert.deepEqual(await perform(action({ tcpSocket: { port } }), at), { ok: true, text: "connected" });
});

test("gRPC health by service", async (t) => {
  const statuses: Readonly<Record<string, number>> = { "": 1, "up.v1": 1, "down.v1": 2 };
  const server = createHttp2();
  server.on("stream", (stream: ServerHttp2Stream) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      const status = statuses[Buffer.concat(chunks).subarray(7).toString()];
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status === undefined ? "5" : "0" }));
      stream.end(status === undefined ? "" : Buffer.from([0, 0, 0, 0, 2, 8, status]));
    });
  });
  const port = await listen(t, server);
  const ask = (service?: string): Promise<unknown> =>
    perform(action({ grpc: { port, ...(service === undefined ? {} : { service }) } }), at);
  assert.deepEqual(await ask(), { ok: true, text: "SERVING" });
  assert.deepEqual(await ask("up.v1"), { ok: true, text: "SERVING" });
  assert.deepEqual(await ask("down.v1"), { ok: false, text: "status 2" });
  assert.deepEqual(await ask("none.v1"), { ok: false, text: "gRPC status 5" });
});

test("a path and a header that Node would not send arrive as a kubelet sends them", async (t) => {
  let seen: readonly unknown[] = [];
  const port = await listen(
    t,
    createHttp(({ url, headers }, response) => {
      seen = [url, Buffer.from(String(headers["x-name"]), "latin1").toString()];
      response.end();
    }),
  );
  const httpHeaders = [{ name: "X-Name", value: "Ji\u0159\u00ed" }];
  assert.equal((await perform(http(port, { path: "/a path/\u00fc?q=%20", httpHeaders }), at)).ok, true);
  assert.deepEqual(seen, ["/a%20path/%C3%BC?q=%20", "Ji\u0159\u00ed"]);
});

test("what no HTTP client may send is a failure, not an error", async () => {
  const httpHeaders = [{ name: "X-Name", value: "a\r\nb" }];
  const outcome = await perform(http(1, { httpHeaders }), at);
  assert.equal(outcome.ok, false);
  assert.match(outcome.text, /Invalid character in header/);
});

test("a gRPC answer that does not end is a failure, long before the time is over", async (t) => {
  const server = createHttp2();
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.on("error", () => {});
    const more = (): void => void (stream.writable && stream.write(Buffer.alloc(16_384), more));
    more();
  });
  const port = await listen(t, server);
  assert.deepEqual(await perform(action({ grpc: { port } }, 100), at), { ok: false, text: "the answer is too long" });
});

const preStop = "/hook/app/preStop";
const anybody = (): Promise<boolean> => Promise.resolve(true);

for (const [containers, most] of [
  [1, 16],
  [7, 21],
  [30, 90],
] as const)
  test(`whoever may not ask gets nothing performed, and one address not all places, of ${containers} containers`, async (t) => {
    const kinds = ["liveness", "readiness", "startup"];
    const paths = Array.from({ length: containers }, (_, index) => kinds.map((kind) => `/probe/app${index}/${kind}`));
    const declared = paths.flat().map((path) => [path, { httpGet: { port: 1 } }] as const);
    const gate = Promise.withResolvers<void>();
    let performed = 0;
    const health = serveHealth({
      isReady: () => true,
      probes: readProbes(JSON.stringify(Object.fromEntries(declared)))!,
      perform: async () => {
        performed++;
        await gate.promise;
        return { ok: true, text: "done" };
      },
      mayAsk: (source) => Promise.resolve(source !== "127.0.0.9"),
    });
    const port = await listen(t, health);
    const ask = async (localAddress: string): Promise<number> => {
      const call = requestHttp({ host, port, localAddress, path: paths[0]![0]!, agent: false }).end();
      const [answer] = (await once(call, "response")) as [IncomingMessage];
      answer.resume();
      return answer.statusCode ?? 0;
    };
    assert.deepEqual([await ask("127.0.0.9"), performed], [403, 0]);
    const first = Array.from({ length: most }, () => ask("127.0.0.2"));
    while (performed < most) await new Promise(setImmediate);
    assert.equal(await ask("127.0.0.2"), 503);
    const another = ask("127.0.0.3");
    while (performed < most + 1) await new Promise(setImmediate);
    gate.resolve();
    assert.deepEqual(
      await Promise.all([...first, another]),
      Array.from({ length: most + 1 }, () => 200),
    );
    assert.equal(await ask("127.0.0.2"), 200);
  });

test("the health port performs what was declared and nothing else", async (t) => {
  const port = await listen(t, createHttp(answering(404)));
  const probes = readProbes(JSON.stringify({ "/probe/app/liveness": { httpGet: { port } } }))!;
  const health = serveHealth({
    isReady: () => false,
    probes,
    perform: (each, gone) => perform(each, { ...at, gone }),
    mayAsk: anybody,
  });
  const base = `http://127.0.0.1:${await listen(t, health)}`;
  const get = async (path: string): Promise<string> => {
    const answer = await fetch(`${base}${path}`);
    return `${answer.status} ${(await answer.text()).trim()}`;
  };
  assert.equal(await get("/probe/app/liveness"), "503 HTTP 404");
  assert.equal(await get("/probe/other/liveness"), "404 not found");
  assert.equal(await get("/probe/app/liveness?port=22"), "404 not found");
  assert.equal(await get("/ready"), "503 not ready");
  health.closeAllConnections();
});

/** A health port of ours, and what a kubelet sees of the handler behind it: a status, or that the connection ended. */
async function handler(t: TestContext, port: number): Promise<{ call: ClientRequest; seen: Promise<string> }> {
  const probes = readProbes(JSON.stringify({ [preStop]: { httpGet: { port } } }))!;
  const doing = (each: ProbeAction, gone: AbortSignal): Promise<ProbeOutcome> => perform(each, { ...at, gone });
  const health = serveHealth({ isReady: () => true, probes, perform: doing, mayAsk: anybody });
  const call = requestHttp({ host, port: await listen(t, health), path: preStop, agent: false }).end();
  const seen = new Promise<string>((resolve) => {
    call.on("response", (answer) => resolve(`HTTP ${answer.resume().statusCode}`));
    call.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
  return { call, seen };
}

test("a handler is done whatever the application answers, and has failed where nobody answers", async (t) => {
  const answered = await handler(t, await listen(t, createHttp(answering(500))));
  assert.equal(await answered.seen, "HTTP 200");
  const closed = createTcp();
  const free = await listen(t, closed);
  await new Promise((resolve) => closed.close(resolve));
  assert.equal(await (await handler(t, free)).seen, "ECONNRESET");
});

test("a handler takes its time, and ends with whoever asked for it", { timeout: 10_000 }, async (t) => {
  const asked = Promise.withResolvers<IncomingMessage>();
  const port = await listen(t, createHttp(asked.resolve));
  const { call, seen } = await handler(t, port);
  const { socket } = await asked.promise;
  call.destroy();
  await once(socket, "close");
  assert.equal(await seen, "ECONNRESET");
});
