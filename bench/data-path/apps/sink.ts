/** Answers `GET /bulk?bytes=N` with N bytes, and anything with a body once it has read it all. `sink.ts PORT [ADDRESS]` */
import { createServer } from "node:http";
import type { ServerResponse } from "node:http";

const chunk = Buffer.alloc(64 * 1024, 0x2e);

function send(response: ServerResponse, bytes: number): void {
  let left = bytes;
  const more = (): void => {
    while (left > 0) {
      const part = left >= chunk.length ? chunk : chunk.subarray(0, left);
      left -= part.length;
      if (!response.write(part)) return void response.once("drain", more);
    }
    response.end();
  };
  response.writeHead(200, { "content-length": bytes });
  more();
}

const server = createServer((request, response) => {
  const bytes = Number(new URL(request.url ?? "/", "http://sink").searchParams.get("bytes") ?? 0);
  request.resume();
  request.on("end", () => send(response, bytes));
});
server.listen(Number(process.argv[2]), process.argv[3] ?? "127.0.0.1", () =>
  console.log(JSON.stringify({ event: "listening" })),
);
