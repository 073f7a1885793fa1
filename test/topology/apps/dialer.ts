/**
 * A raw TCP client on command. Says exactly what a connection did: connected or why not, the bytes, how it ended.
 *
 * `dial`  {host, port, send?, sendBase64?, half?, expect?, timeoutMs?}: connects, sends, optionally half-closes; done
 *         when the connection ended, or when `expect` bytes came (then it closes). -> {connected, error, ended, bytes, text, base64, milliseconds}
 * `open`  {name, host, port, send?, half?, pump?, drip?, bulk?, bytes?, everyMs?, discard?, pace?, deaf?}: the same, but stays open; -> {connected, error}. `pump`:
 *         repeats that text every few milliseconds, or every `everyMs`. `drip`: sends that text byte by byte, one every `everyMs`.
 *         `bulk`: sends `bytes` bytes of that text as fast as they are taken, and ends. `discard`: counts what comes and keeps none of it. `pace`: reads so many MB a second. `deaf`: reads nothing.
 *         Events: `data`, `ended` {name, ended, reset, bytes}; `reset` also for an RST that came after the FIN.
 * `resets` {host, port, perSecond, forMs}: opens connections and resets each at once. -> {begun, reset, failed, milliseconds}
 * `write` {name, send}, `end` {name} (half-close), `reset` {name}, `read` {name, expect}: waits for so many bytes in all
 * ended: `end` (FIN), `reset` (RST), `timeout`, `closed` (we closed it), or the errno.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { drip, isReset, onCommand, pump, say, sendBulk, slowDown, text } from "./commands.ts";
import type { Fields } from "./commands.ts";

/** `end`, `reset`, `timeout`, `closed`, or an errno. */
type Ending = string;
type Connection = {
  readonly socket: Socket;
  readonly chunks: Buffer[];
  bytes: number;
  connected: boolean;
  error: string | null;
  ended: Ending | null;
  reset: boolean;
  changed: () => void;
};

const connections = new Map<string, Connection>();

function payload(command: Fields): Buffer {
  const base64 = command["sendBase64"];
  return typeof base64 === "string" ? Buffer.from(base64, "base64") : Buffer.from(text(command, "send", ""));
}

/** What is sent after the first bytes. */
function goOn(socket: Socket, command: Fields): void {
  const everyMs = command["everyMs"] === undefined ? undefined : Number(command["everyMs"]);
  if (typeof command["pump"] === "string") pump(socket, command["pump"], everyMs);
  if (typeof command["drip"] === "string") drip(socket, command["drip"], everyMs ?? 1);
  if (typeof command["bulk"] === "string") sendBulk(socket, Number(command["bytes"]), command["bulk"]);
}

function open(command: Fields, changed: () => void): Connection {
  const socket = connect({
    host: text(command, "host"),
    port: Number(command["port"]),
    allowHalfOpen: true,
    noDelay: true,
  });
  const start = { bytes: 0, connected: false, error: null, ended: null, reset: false } as const;
  const connection: Connection = { socket, chunks: [], ...start, changed };
  const opened = performance.now();
  const finish = (ended: Ending): void => {
    connection.ended ??= ended;
    connection.changed();
  };
  socket.on("connect", () => {
    connection.connected = true;
    const bytes = payload(command);
    if (bytes.length > 0) socket.write(bytes);
    if (command["half"] === true) socket.end();
    goOn(socket, command);
    connection.changed();
  });
  if (command["deaf"] === true) socket.pause();
  else
    socket.on("data", (chunk: Buffer) => {
      if (command["discard"] !== true) connection.chunks.push(chunk);
      connection.bytes += chunk.length;
      if (typeof command["pace"] === "number") slowDown(socket, connection.bytes, command["pace"] * 1_000, opened);
      connection.changed();
    });
  socket.on("end", () => finish("end"));
  socket.on("error", (error: NodeJS.ErrnoException) => {
    if (!connection.connected) connection.error = error.code ?? error.message;
    connection.reset = isReset(error);
    finish(error.code === "ECONNRESET" ? "reset" : (error.code ?? error.message));
  });
  socket.on("close", () => finish("closed"));
  return connection;
}

const endOf = ({ ended, reset, bytes }: Connection): Fields => ({ ended, reset, bytes });

/** Resolves as soon as `done` holds, after any change; ends the wait with `timeout` at the deadline. */
function until(connection: Connection, timeoutMs: number, done: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const check = (): void => {
      if (!done()) return;
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(() => {
      connection.ended ??= "timeout";
      resolve();
    }, timeoutMs);
    connection.changed = check;
    check();
  });
}

function report(connection: Connection, started: number): Fields {
  const all = Buffer.concat(connection.chunks);
  const { connected, error, ended, bytes } = connection;
  return {
    connected,
    error,
    ended,
    bytes,
    text: all.toString("latin1"),
    base64: all.toString("base64"),
    milliseconds: performance.now() - started,
  };
}

async function dial(command: Fields): Promise<Fields> {
  const started = performance.now();
  const expect = Number(command["expect"] ?? Number.POSITIVE_INFINITY);
  const connection = open(command, () => {});
  await until(
    connection,
    Number(command["timeoutMs"] ?? 10_000),
    () => connection.ended !== null || connection.bytes >= expect,
  );
  connection.ended ??= "closed";
  connection.socket.destroy();
  return report(connection, started);
}

async function openNamed(command: Fields): Promise<Fields> {
  const name = text(command, "name");
  const started = performance.now();
  const connection = open(command, () => {});
  connections.set(name, connection);
  connection.socket.on("close", () => say("ended", { name, ...endOf(connection) }));
  connection.socket.once("data", () => say("data", { name }));
  await until(
    connection,
    Number(command["timeoutMs"] ?? 10_000),
    () => connection.connected || connection.ended !== null,
  );
  return report(connection, started);
}

async function onNamed(command: Fields): Promise<Fields> {
  const connection = connections.get(text(command, "name"));
  if (connection === undefined) throw new Error(`no connection ${text(command, "name")}`);
  const started = performance.now();
  if (command["do"] === "write") connection.socket.write(payload(command));
  if (command["do"] === "end") connection.socket.end();
  if (command["do"] === "reset") connection.socket.resetAndDestroy();
  const expect = Number(command["expect"] ?? 0);
  await until(
    connection,
    Number(command["timeoutMs"] ?? 10_000),
    () => connection.bytes >= expect || connection.ended !== null,
  );
  return report(connection, started);
}

/** Dials at that rate and resets each connection as soon as it is open. */
async function resets(command: Fields): Promise<Fields> {
  const [perSecond, forMs] = [Number(command["perSecond"]), Number(command["forMs"])];
  const started = performance.now();
  let [begun, reset, failed] = [0, 0, 0];
  const begin = (): void => {
    const socket = connect({ host: text(command, "host"), port: Number(command["port"]) });
    socket.once("connect", () => {
      reset++;
      socket.resetAndDestroy();
    });
    socket.once("error", () => failed++);
  };
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const elapsed = performance.now() - started;
      for (const due = (Math.min(elapsed, forMs) * perSecond) / 1000; begun < due; begun++) begin();
      if (elapsed < forMs || reset + failed < begun) return;
      clearInterval(timer);
      resolve();
    }, 1);
  });
  return { begun, reset, failed, milliseconds: performance.now() - started };
}

const verbs: Readonly<Record<string, (command: Fields) => Promise<Fields>>> = {
  dial,
  resets,
  open: openNamed,
  write: onNamed,
  end: onNamed,
  reset: onNamed,
  read: onNamed,
};
onCommand((command) => verbs[text(command, "do")]!(command));
say("ready");
