/**
 * Speaks to a proxy's tunnel port as a proxy would, with whatever certificate it is given, and believes whatever the
 * other side shows: for asking what a proxy refuses.
 *
 * `connect` {host, port, key?, cert?, alpn?, version?, authority?, headers?, send?, expect?, timeoutMs?} ->
 *   {secured, protocol, alpn, error, goaway: {code, text} | null, status, reason, bytes, text, ended}
 *   `resumed` is what the handshake was. With `session` one
 *   is offered: `own` is of that very server, `foreign` of another one with the same certificate.
 *   With `fields` [[name, value], ...] the request is written by hand with exactly these, and `reset` is the code of the
 *   RST_STREAM that answered. With `raw` that text alone is sent.
 *   With `afterwards`, `client-hello`, `hello-request` or `plain-hello`, that is sent once the request by hand was answered: as
 *   a handshake message inside of the session, or in clear between its records; `more-data` is `send` once more.
 *   `secured` only says that our side of the handshake is done: TLS 1.3 tells a client of a refusal afterwards.
 */
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import type { AddressInfo } from "node:net";
import { connect as connectTcp } from "node:net";
import { connect, createServer } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { frame, openingWith, readAnswer, types } from "../http2-frames.ts";
import type { Field } from "../http2-frames.ts";
import { cipherSuite, clientHello, contentTypes, helloRequest, plainRecord, sealer } from "../tls-by-hand.ts";
import { onCommand, say, text } from "./commands.ts";
import type { Fields } from "./commands.ts";

type Result = {
  secured: boolean;
  resumed: boolean;
  protocol: string | null;
  alpn: string | null;
  error: string | null;
  goaway: { code: number; text: string } | null;
  status: number | null;
  reason: string | null;
  reset: number | null;
  bytes: number;
  text: string;
  ended: string | null;
};

const nothingYet = (): Result => ({
  secured: false,
  resumed: false,
  protocol: null,
  alpn: null,
  error: null,
  goaway: null,
  status: null,
  reason: null,
  reset: null,
  bytes: 0,
  text: "",
  ended: null,
});

function tlsOptions(command: Fields): ConnectionOptions {
  const version = text(command, "version", "TLSv1.3") as "TLSv1.2" | "TLSv1.3";
  const alpn = command["alpn"] === undefined ? ["h2"] : (command["alpn"] as string[]);
  const shown = command["cert"] === undefined ? {} : { key: text(command, "key"), cert: text(command, "cert") };
  return {
    host: text(command, "host"),
    port: Number(command["port"]),
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    ...(alpn.length > 0 ? { ALPNProtocols: alpn } : {}),
    ...(command["servername"] === undefined ? {} : { servername: text(command, "servername") }),
    ...shown,
  };
}

/** A session that a server resumes which has shown the same certificate, and whose tickets nobody else can read. */
async function foreignSession(command: Fields): Promise<Buffer> {
  const options = { key: text(command, "key"), cert: text(command, "cert"), ALPNProtocols: ["h2"] };
  const server = createServer({ ...options, minVersion: "TLSv1.3" }, (socket) => socket.end("x"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const session = await sessionOf({ ...tlsOptions(command), host: "127.0.0.1", port });
  server.close();
  return session;
}

async function sessionOf(options: ConnectionOptions): Promise<Buffer> {
  const socket = connect(options);
  socket.resume();
  const [session] = (await once(socket, "session")) as [Buffer];
  socket.destroy();
  return session;
}

const offered = (command: Fields): Promise<Buffer> =>
  command["session"] === "own" ? sessionOf(tlsOptions(command)) : foreignSession(command);

const secretLine = "CLIENT_TRAFFIC_SECRET_0 ";

/**
 * The library makes the connection and reads; everything that is said after the handshake is sealed here, so that what no
 * library says can follow.
 */
async function renegotiate(command: Fields): Promise<Fields> {
  const result = nothingYet();
  const raw = connectTcp({ host: text(command, "host"), port: Number(command["port"]) });
  const socket = connect({ ...tlsOptions(command), socket: raw, ciphers: cipherSuite });
  let secret: Buffer = Buffer.alloc(0);
  socket.on("keylog", (line: Buffer) => {
    const words = line.toString("latin1").trim();
    if (words.startsWith(secretLine)) secret = Buffer.from(words.split(" ").at(-1)!, "hex");
  });
  await once(socket, "secureConnect");
  result.secured = true;
  // The library's own Finished goes out at the end of this turn.
  await new Promise((resolve) => setImmediate(resolve));
  const seal = sealer(secret);
  const messages: Readonly<Record<string, () => Buffer>> = {
    "client-hello": () => seal(contentTypes.handshake, clientHello("again")),
    "hello-request": () => seal(contentTypes.handshake, helloRequest()),
    "more-data": () => seal(contentTypes.applicationData, frame(types.data, 0, 1, Buffer.from(text(command, "send")))),
    "plain-hello": () => plainRecord(clientHello("again")),
  };
  const opening = openingWith(command["fields"] as readonly Field[], text(command, "send", ""));
  return new Promise((resolve) => {
    const finish = (how: string): void => {
      clearTimeout(timer);
      result.ended ??= how;
      raw.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => finish("timeout"), Number(command["timeoutMs"] ?? 10_000));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      const before = result.status;
      const answer = readAnswer(Buffer.concat(chunks));
      Object.assign(result, answer, { bytes: answer.text.length });
      if (before === null && result.status !== null) raw.write(messages[text(command, "afterwards")]!());
    });
    socket.on("error", (error: NodeJS.ErrnoException) => (result.error ??= error.code ?? error.message));
    for (const end of [socket, raw]) end.on("close", () => finish("closed"));
    raw.write(seal(contentTypes.applicationData, opening));
  });
}

async function connectCommand(command: Fields): Promise<Fields> {
  const result = nothingYet();
  const session = command["session"] === undefined ? {} : { session: await offered(command) };
  const socket = connect({ ...tlsOptions(command), ...session });
  return new Promise((resolve) => {
    const finish = (how: string): void => {
      clearTimeout(timer);
      result.ended ??= how;
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => finish("timeout"), Number(command["timeoutMs"] ?? 10_000));
    socket.on("error", (error: NodeJS.ErrnoException) => (result.error ??= error.code ?? error.message));
    socket.on("close", () => finish("closed"));
    socket.on("secureConnect", () => {
      result.secured = true;
      result.resumed = socket.isSessionReused();
      result.protocol = socket.getProtocol();
      result.alpn = socket.alpnProtocol === false ? null : (socket.alpnProtocol ?? null);
      if (command["fields"] !== undefined || command["raw"] !== undefined) byHand(socket, command, result, finish);
      else tunnel(socket, command, result, finish);
    });
  });
}

function tunnel(socket: TLSSocket, command: Fields, result: Result, finish: (how: string) => void): void {
  const session: ClientHttp2Session = connectHttp2("http://peer", { createConnection: () => socket });
  session.on(
    "goaway",
    (code, _last, data) => (result.goaway = { code, text: Buffer.from(data ?? []).toString("latin1") }),
  );
  session.on("error", (error: NodeJS.ErrnoException) => (result.error ??= error.code ?? error.message));
  session.on("close", () => finish("closed"));
  const headers = (command["headers"] ?? {}) as OutgoingHttpHeaders;
  const stream = session.request(
    { ":method": "CONNECT", ":authority": text(command, "authority", ""), ...headers },
    { endStream: false },
  );
  read(stream, command, result, finish);
  stream.write(text(command, "send", ""));
}

/** Done as soon as the server has answered the request or given up the connection. */
function byHand(socket: TLSSocket, command: Fields, result: Result, finish: (how: string) => void): void {
  const chunks: Buffer[] = [];
  const raw = command["raw"] === undefined ? null : Buffer.from(text(command, "raw"));
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    const answer = readAnswer(Buffer.concat(chunks));
    Object.assign(result, answer, { bytes: answer.text.length });
    if (answer.status !== null || answer.reset !== null) finish("answered");
  });
  socket.write(raw ?? openingWith(command["fields"] as readonly Field[], text(command, "send", "")));
}

function read(stream: ClientHttp2Stream, command: Fields, result: Result, finish: (how: string) => void): void {
  const expect = Number(command["expect"] ?? Number.POSITIVE_INFINITY);
  stream.on("response", (headers) => {
    result.status = headers[":status"] ?? null;
    const reason = headers["tencrypt-reason"];
    result.reason = typeof reason === "string" ? reason : null;
  });
  stream.on("data", (chunk: Buffer) => {
    result.bytes += chunk.length;
    result.text += chunk.toString("latin1");
    if (result.bytes >= expect) finish("enough");
  });
  stream.on("error", (error: NodeJS.ErrnoException) => (result.error ??= error.code ?? error.message));
  // The session has the last word where nothing was answered: its GOAWAY tells why.
  stream.on("close", () => result.status !== null && finish("closed"));
}

onCommand((command) => (command["afterwards"] === undefined ? connectCommand(command) : renegotiate(command)));
say("ready");
