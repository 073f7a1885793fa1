/**
 * A span collector (OTLP over HTTP in protobuf) for tests and the demo. It can be told to hang, to dribble or to answer
 * with an error, and hands out what it was sent as plain objects.
 */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { gunzipSync } from "node:zlib";
import { decodeSpans } from "./decode.ts";
import type { DecodedSpan } from "./decode.ts";

export type { DecodedSpan } from "./decode.ts";

/** `hang` never answers, `dribble` sends a byte of a response each 20 ms without end, `error` is status 500, `busy` 503. */
export type CollectorMode = "ok" | "hang" | "dribble" | "error" | "busy";

export type Collector = {
  readonly host: string;
  readonly port: number;
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly url: string;
  mode: CollectorMode;
  /** What arrived so far, in order. */
  readonly spans: readonly DecodedSpan[];
  readonly requests: readonly { readonly path: string; readonly headers: IncomingMessage["headers"] }[];
  /** Resolves with the spans that match as soon as there are `count`. Give the caller's test a deadline. */
  waitFor(count: number, matches?: (span: DecodedSpan) => boolean): Promise<DecodedSpan[]>;
  /** Resolves after the next request has been read, whatever the answer is. */
  nextRequest(): Promise<void>;
  close(): Promise<void>;
};

export type CollectorOptions = {
  readonly host?: string;
  readonly port?: number;
  readonly mode?: CollectorMode;
  readonly tls?: { readonly key: string; readonly cert: string };
};

export async function startCollector(options: CollectorOptions = {}): Promise<Collector> {
  const state = new CollectorState(options.mode ?? "ok");
  const handle = (request: IncomingMessage, response: ServerResponse): void => void state.answer(request, response);
  const server = options.tls === undefined ? createServer(handle) : createTlsServer(options.tls, handle);
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).once("close", () => sockets.delete(socket));
  });
  const host = options.host ?? "127.0.0.1";
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const authority = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  return Object.assign(state, {
    host,
    port,
    url: `${options.tls === undefined ? "http" : "https"}://${authority}`,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      state.stop();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  });
}

class CollectorState {
  mode: CollectorMode;
  readonly spans: DecodedSpan[] = [];
  readonly requests: { path: string; headers: IncomingMessage["headers"] }[] = [];
  readonly #dribbling = new Set<NodeJS.Timeout>();
  #waiting: (() => boolean)[] = [];
  #asked: (() => void)[] = [];

  constructor(mode: CollectorMode) {
    this.mode = mode;
  }

  waitFor(count: number, matches: (span: DecodedSpan) => boolean = () => true): Promise<DecodedSpan[]> {
    return new Promise((resolve) => {
      const check = (): boolean => {
        const found = this.spans.filter(matches);
        if (found.length < count) return false;
        resolve(found);
        return true;
      };
      if (!check()) this.#waiting.push(check);
    });
  }

  nextRequest(): Promise<void> {
    return new Promise((resolve) => this.#asked.push(resolve));
  }

  stop(): void {
    for (const timer of this.#dribbling) clearInterval(timer);
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await read(request);
    if (body === null) return;
    this.requests.push({ path: request.url ?? "", headers: request.headers });
    for (const resolve of this.#asked.splice(0)) resolve();
    response.setHeader("content-type", "application/x-protobuf");
    switch (this.mode) {
      case "hang":
        return;
      case "dribble":
        response.writeHead(200);
        return this.#dribble(response);
      case "error":
      case "busy":
        response.writeHead(this.mode === "error" ? 500 : 503).end();
        return;
      case "ok":
        this.spans.push(...decodeSpans(request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body));
        response.writeHead(200).end();
        this.#waiting = this.#waiting.filter((check) => !check());
    }
  }

  #dribble(response: ServerResponse): void {
    const timer = setInterval(() => response.write("\0"), 20);
    this.#dribbling.add(timer);
    response.once("close", () => clearInterval(timer));
  }
}

/** Null if the request broke off. */
async function read(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
  } catch {
    return null;
  }
  return Buffer.concat(chunks);
}
