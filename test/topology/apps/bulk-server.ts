/** Sends so many bytes to whoever connects, as fast as they are taken, and ends: `--port N --bytes N [--text T]`. Reads nothing. */
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { parseArgs } from "node:util";
import { onCommand, say, sendBulk } from "./commands.ts";

const any = { type: "string" } as const;
const { values } = parseArgs({ options: { port: any, bytes: any, text: any, pod: any, address: any } });
const total = Number(values.bytes ?? 1_000_000_000);

function send(socket: Socket): void {
  socket.on("error", () => {});
  sendBulk(socket, total, values.text ?? "bulk");
}

const server = createServer(send);
server.listen(Number(values.port ?? 0), "::", () => say("listening", { port: (server.address() as AddressInfo).port }));
onCommand(() => ({}));
