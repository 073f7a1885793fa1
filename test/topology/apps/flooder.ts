/**
 * A peer with a good certificate that abuses HTTP/2: sends frames of one kind as fast as they are taken, and tells how it
 * ended. What comes back is read and counted, or with `deaf` never read.
 *
 * `flood` {host, port, key, cert, authority, what, forMs, deaf?} -> {frames, bytes, ended, goaway, milliseconds}
 *   `ended` is `closed` where the other side ended it, `time` where it stood all of it.
 */
import { connect } from "node:tls";
import type { TLSSocket } from "node:tls";
import { floods, readAnswer } from "../http2-frames.ts";
import type { Flood } from "../http2-frames.ts";
import { onCommand, say, text } from "./commands.ts";
import type { Fields } from "./commands.ts";

/** Frames in one write: few enough that the clock is looked at often. */
const batch = 64;

type Ended = { readonly ended: "closed" | "time"; readonly error: string | null };

function endOf(socket: TLSSocket, forMs: number): Promise<Ended> {
  return new Promise((resolve) => {
    let error: string | null = null;
    const timer = setTimeout(() => resolve({ ended: "time", error }), forMs);
    socket.on("error", ({ code, message }: NodeJS.ErrnoException) => (error = code ?? message));
    socket.on("close", () => {
      clearTimeout(timer);
      resolve({ ended: "closed", error });
    });
  });
}

/** Returns the number of frames once the socket is gone or the time is over. */
function pour(socket: TLSSocket, { opening, next }: Flood, isOver: () => boolean): () => number {
  let frames = 0;
  const more = (): void => {
    while (!isOver() && !socket.destroyed && !socket.writableNeedDrain) {
      const some: Buffer[] = [];
      for (let count = 0; count < batch; count++) some.push(next(frames++));
      socket.write(Buffer.concat(some));
      // Others of this process, the clock among them, get their turn.
      if (!socket.writableNeedDrain) return void setImmediate(more);
    }
  };
  socket.on("drain", more);
  socket.write(opening);
  more();
  return () => frames;
}

async function flood(command: Fields): Promise<Fields> {
  const what = floods[text(command, "what")];
  if (what === undefined) throw new Error(`no flood ${text(command, "what")}`);
  const forMs = Number(command["forMs"]);
  const started = performance.now();
  const socket = connect({
    host: text(command, "host"),
    port: Number(command["port"]),
    key: text(command, "key"),
    cert: text(command, "cert"),
    rejectUnauthorized: false,
    minVersion: "TLSv1.3",
    ALPNProtocols: ["h2"],
  });
  const end = endOf(socket, forMs);
  let bytes = 0;
  let last: Buffer = Buffer.alloc(0);
  if (command["deaf"] === true) socket.pause();
  else
    socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      last = chunk;
    });
  let over = false;
  let frames = (): number => 0;
  socket.once("secureConnect", () => {
    frames = pour(socket, what(text(command, "authority")), () => over);
  });
  const { ended, error } = await end;
  over = true;
  socket.destroy();
  const { goaway } = readAnswer(last);
  return { frames: frames(), bytes, ended, error, goaway, milliseconds: performance.now() - started };
}

onCommand((command) => flood(command));
say("ready");
