/** Stands where the proxy listens: echoes, and says for each connection where the caller had meant to go. */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { formatEndpoint } from "../../../lib/net/address.ts";
import { originalDestination, selfTest } from "../../../proxy/listen/socket-options.ts";
import { onCommand, plainAddress, say, serverArguments } from "./commands.ts";

const { port, address } = serverArguments();
await selfTest();

const server = createServer((socket) => {
  const original = originalDestination(socket);
  const meant = original.kind === "found" ? formatEndpoint(original.endpoint) : original.errno;
  say("connection", { source: plainAddress(socket.remoteAddress), original: meant });
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
});
server.listen(port, address, () => say("listening", { port: (server.address() as AddressInfo).port }));
onCommand(() => ({}));
