/** Sends so many bytes to whoever connects, as fast as they are taken, and ends: `--port N --bytes N`. Reads nothing. */
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { parseArgs } from "node:util";
import { onCommand, say } from "./commands.ts";

const any = { type: "string" } as const;
const { values } = parseArgs({ options: { port: any, bytes: any, pod: any, address: any } });
const total = Number(values.bytes ?? 1_000_000_000);
const chunk = Buffer.alloc(64 * 1024, "bulk");

function send(socket: Socket): void {
  let left = total;
  const more = (): void => {
    while (left > 0) {
      const part = left >= chunk.length ? chunk : chunk.subarray(0, left);
      left -= part.length;
      if (!socket.write(part)) return void socket.once("drain", more);
    }
    socket.end();
  };
  socket.on("error", () => {});
  more();
}

const server = createServer(send);
server.listen(Number(values.port ?? 0), "::", () => say("listening", { port: (server.address() as AddressInfo).port }));
onCommand(() => ({}));
