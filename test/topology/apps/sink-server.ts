/**
 * Takes what it gets and answers nothing: `--port N`, at `--pace` MB a second at most (0: reads nothing at all). Says how much it has
 * of a connection, every 10 MB, and how each came to its end.
 */
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { parseArgs } from "node:util";
import { onCommand, say, slowDown } from "./commands.ts";

const any = { type: "string" } as const;
const { values } = parseArgs({ options: { port: any, pace: any, pod: any } });
const pace = Number(values.pace ?? 0);
const tellEvery = 10_000_000;

function take(socket: Socket): void {
  const started = performance.now();
  let bytes = 0;
  let ended = "closed";
  say("connection");
  socket.on("end", () => (ended = "end"));
  socket.on("error", ({ code }: NodeJS.ErrnoException) => (ended = code ?? "error"));
  socket.on("close", () => say("connection_closed", { ended, bytes }));
  if (pace === 0) return void socket.pause();
  socket.on("data", (chunk) => {
    if (Math.floor(bytes / tellEvery) < Math.floor((bytes + chunk.length) / tellEvery))
      say("taken", { bytes: bytes + chunk.length });
    bytes += chunk.length;
    slowDown(socket, bytes, pace * 1_000, started);
  });
}

const server = createServer(take);
server.listen(Number(values.port ?? 0), "::", () => say("listening", { port: (server.address() as AddressInfo).port }));
onCommand(() => ({}));
