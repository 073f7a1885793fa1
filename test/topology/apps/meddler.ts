/**
 * Who sits in the path of a TLS connection and can change what passes: ends TCP on both sides, forwards record by record,
 * and does one thing to one record when it is told to. `--port N` is where it listens; `--to HOST:PORT` the true other side.
 *
 * `meddle` {direction, how}: with the next long record of the newest connection. Then the event `meddled`.
 * how: `body`, `tag`, `type`, `length` (one bit of it or one less), `drop`, `repeat`, `swap` (with the record behind it),
 *      `end` (TCP ends behind a whole record).
 */
import { connect, createServer } from "node:net";
import type { Socket } from "node:net";
import { parseArgs } from "node:util";
import { onCommand, say, text } from "./commands.ts";

type How = "body" | "tag" | "type" | "length" | "drop" | "repeat" | "swap" | "end";

const header = 5;
const applicationData = 23;
/** Longer than frames that only keep a session: it carries bytes of an application. */
const long = 1_000;

const flipped = (record: Buffer, index: number, mask: number): Buffer => {
  const changed = Buffer.from(record);
  changed[index]! ^= mask;
  return changed;
};

const shortened = (record: Buffer): Buffer => {
  const changed = Buffer.from(record);
  changed.writeUInt16BE(record.readUInt16BE(3) - 1, 3);
  return changed;
};

/** What goes on in the place of one record; `swap` and `end` are not of one record alone. */
const replaced: Readonly<Record<Exclude<How, "swap" | "end">, (record: Buffer) => readonly Buffer[]>> = {
  body: (record) => [flipped(record, record.length >> 1, 0x01)],
  tag: (record) => [flipped(record, record.length - 1, 0x80)],
  type: (record) => [flipped(record, 0, 0x01)],
  length: (record) => [shortened(record)],
  drop: () => [],
  repeat: (record) => [record, record],
};

class Direction {
  how: How | null = null;
  readonly #from: Socket;
  readonly #to: Socket;
  #pending: Buffer = Buffer.alloc(0);
  #held: Buffer | null = null;

  constructor(from: Socket, to: Socket) {
    this.#from = from;
    this.#to = to;
    from.on("data", (chunk: Buffer) => this.#take(chunk));
    from.on("end", () => to.end());
    from.on("error", () => to.resetAndDestroy());
  }

  #take(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= header) {
      const end = header + this.#pending.readUInt16BE(3);
      if (this.#pending.length < end) return;
      this.#pass(this.#pending.subarray(0, end));
      this.#pending = this.#pending.subarray(end);
    }
  }

  #pass(record: Buffer): void {
    const held = this.#held;
    this.#held = null;
    if (this.how !== null && record[0] === applicationData && record.length >= long)
      return this.#meddle(record, this.how);
    this.#to.write(record);
    if (held !== null) this.#to.write(held);
  }

  #meddle(record: Buffer, how: How): void {
    this.how = null;
    if (how === "swap") this.#held = record;
    else if (how === "end") {
      this.#to.end(record);
      this.#from.end();
    } else for (const each of replaced[how](record)) this.#to.write(each);
    say("meddled", { how });
  }
}

const any = { type: "string" } as const;
const { values } = parseArgs({ options: { port: any, to: any } });
const [host = "", port = ""] = (values.to ?? "").split(":");
let newest: Readonly<Record<string, Direction>> = {};

createServer({ allowHalfOpen: true }, (near) => {
  const far = connect({ host, port: Number(port), allowHalfOpen: true });
  newest = { up: new Direction(near, far), down: new Direction(far, near) };
  say("connection");
}).listen(Number(values.port), () => say("listening"));

onCommand((command) => {
  const direction = newest[text(command, "direction")];
  if (direction === undefined) throw new Error("there is no connection");
  direction.how = text(command, "how") as How;
  return {};
});
