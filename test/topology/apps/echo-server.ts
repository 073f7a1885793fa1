/**
 * Sends back what it gets, and ends its side when the caller has ended its own. Says how each connection came to its end,
 * how many bytes had come, and when the last of them did (milliseconds since the epoch).
 */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { onCommand, plainAddress, say, serverArguments } from "./commands.ts";

const { port, address } = serverArguments();
let connections = 0;

const server = createServer({ allowHalfOpen: true }, (socket) => {
  const connection = ++connections;
  let [ended, lastAt] = ["closed", 0];
  say("connection", { connection, source: plainAddress(socket.remoteAddress) });
  socket.pipe(socket);
  socket.once("data", () => say("data", { connection }));
  socket.on("data", () => (lastAt = Date.now()));
  socket.on("end", () => (ended = "end"));
  socket.on(
    "error",
    (error: NodeJS.ErrnoException) => (ended = error.code === "ECONNRESET" ? "reset" : (error.code ?? "error")),
  );
  socket.on("close", () => say("connection_closed", { connection, ended, bytes: socket.bytesRead, lastAt }));
});
server.listen(port, address, () => say("listening", { port: (server.address() as AddressInfo).port }));
onCommand(() => ({}));
