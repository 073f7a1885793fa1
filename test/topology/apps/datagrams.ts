/**
 * UDP in both roles. With `--port` an echo, which says `listening`. On command {host, port, text}: sends it from a
 * connected socket; -> {answer} with the text that came back, the errno of the kernel or of an ICMP error, or
 * `timeout`.
 */
import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import { onCommand, say, serverArguments, text } from "./commands.ts";
import type { Fields } from "./commands.ts";

const { port } = serverArguments();
if (port > 0) {
  const server = createSocket({ type: "udp6" });
  server.on("message", (message, from) => server.send(message, from.port, from.address));
  server.bind(port, "::", () => say("listening", { port }));
}

function ask(command: Fields): Promise<Fields> {
  const host = text(command, "host");
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  return new Promise((resolve) => {
    const finish = (answer: string): void => {
      clearTimeout(timer);
      socket.close();
      resolve({ answer });
    };
    const timer = setTimeout(() => finish("timeout"), 10_000);
    socket.on("error", (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
    socket.on("message", (message) => finish(message.toString()));
    socket.on("connect", () => socket.send(text(command, "text")));
    socket.connect(Number(command["port"]), host);
  });
}

onCommand(ask);
say("ready");
