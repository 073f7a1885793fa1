/**
 * What the small applications share: arguments, one JSON line an event on stdout, and commands as JSON lines on stdin.
 * An application ends when its stdin ends, so none outlives the test that started it.
 */
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

export type Fields = Readonly<Record<string, unknown>>;

export function say(event: string, fields: Fields = {}): void {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

export function onCommand(run: (command: Fields) => Promise<Fields> | Fields): void {
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const command = JSON.parse(line) as Fields;
    void Promise.resolve(run(command)).then(
      (answer) => say("answer", { id: command["id"], ...answer }),
      (error: unknown) => say("answer", { id: command["id"], failed: String(error) }),
    );
  });
  lines.on("close", () => process.exit(0));
}

/** A field of a command that has to be a text. */
export function text(command: Fields, name: string, fallback?: string): string {
  const value = command[name] ?? fallback;
  if (typeof value !== "string") throw new Error(`${name} has to be a text`);
  return value;
}

/** `--port N`, `--address A` (default: every address of both families), `--pod NAME`. */
export function serverArguments(): { port: number; address: string; pod: string } {
  const any = { type: "string" } as const;
  const { values } = parseArgs({ options: { port: any, address: any, pod: any } });
  return { port: Number(values.port ?? 0), address: values.address ?? "::", pod: values.pod ?? "" };
}

/** As the kernel says it, without the prefix of IPv4 on a dual-stack socket. */
export const plainAddress = (address: string | undefined): string => (address ?? "").replace(/^::ffff:/, "");

/** The kernel says EPIPE for an RST that comes after the other side's FIN. */
export const isReset = ({ code }: NodeJS.ErrnoException): boolean => code === "ECONNRESET" || code === "EPIPE";

/** Much in flight all the time, and little enough for a capture to keep up. */
const pumpBytes = 4096;
const pumpMs = 5;

/** Sends the text again and again until the socket is gone, no more than the other side takes. */
export function pump(socket: Socket, repeated: string, everyMs: number = pumpMs): void {
  const chunk = Buffer.from(repeated.repeat(Math.ceil(pumpBytes / repeated.length)));
  const timer = setInterval(() => {
    if (socket.destroyed) clearInterval(timer);
    else if (!socket.writableNeedDrain) socket.write(chunk);
  }, everyMs);
}

/** Sends the text, one byte at a time. */
export function drip(socket: Socket, whole: string, everyMs: number): void {
  const bytes = Buffer.from(whole);
  let at = 0;
  const timer = setInterval(() => {
    if (socket.destroyed || at === bytes.length) clearInterval(timer);
    else socket.write(bytes.subarray(at, ++at));
  }, everyMs);
}

const bulkChunk = 64 * 1024;

/** Sends so many bytes, as fast as they are taken, and ends. */
export function sendBulk(socket: Socket, total: number, repeated: string): void {
  const chunk = Buffer.alloc(bulkChunk, repeated);
  let left = total;
  const more = (): void => {
    while (left > 0) {
      const part = left >= chunk.length ? chunk : chunk.subarray(0, left);
      left -= part.length;
      if (!socket.write(part)) return void socket.once("drain", more);
    }
    socket.end();
  };
  more();
}

/** Lets so many bytes in a millisecond pass, counted from the start; to be called after each piece. */
export function slowDown(socket: Socket, bytes: number, bytesPerMs: number, since: number): void {
  const aheadMs = bytes / bytesPerMs - (performance.now() - since);
  if (aheadMs < 1) return;
  socket.pause();
  setTimeout(() => socket.resume(), aheadMs);
}
