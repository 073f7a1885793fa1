/** A protocol in which the server speaks first (SMTP, MySQL): greets at once, then answers every line with itself. */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { onCommand, plainAddress, say, serverArguments } from "./commands.ts";

const { port, address, pod } = serverArguments();

const server = createServer({ allowHalfOpen: true }, (socket) => {
  say("connection", { source: plainAddress(socket.remoteAddress) });
  socket.write(`220 ${pod} ready\r\n`);
  socket.pipe(socket);
  socket.on("error", (error: NodeJS.ErrnoException) => say("connection_error", { code: error.code }));
});
server.listen(port, address, () => say("listening", { port: (server.address() as AddressInfo).port }));
onCommand(() => ({}));
