/**
 * HTTP/1.1 server: says in a JSON body who it is, whom it saw, and what it was asked, headers and body included.
 * `?bytes=N` adds N bytes of padding to the answer.
 */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onCommand, plainAddress, say, serverArguments } from "./commands.ts";

const { port, address, pod } = serverArguments();

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const url = request.url ?? "";
  const source = plainAddress(request.socket.remoteAddress);
  const padding = "p".repeat(Number(new URL(url, "http://pod").searchParams.get("bytes") ?? 0));
  const body = Buffer.concat(chunks).toString("latin1");
  say("request", { method: request.method, url, source, headers: request.headers });
  response.setHeader("content-type", "application/json");
  response.setHeader("x-pod", pod);
  response.end(JSON.stringify({ pod, source, method: request.method, url, headers: request.headers, body, padding }));
}

const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => {
    say("request_failed", { error: String(error) });
    response.destroy();
  });
});
server.keepAliveTimeout = 0; // never closes an idle connection under a request
server.listen(port, address, () => say("listening", { port: (server.address() as AddressInfo).port }));
onCommand(() => ({}));
