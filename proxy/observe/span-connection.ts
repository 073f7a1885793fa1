/**
 * How spans leave the process: over streams that the caller makes (the proxy's own outbound route), one for each
 * batch, each destroyed at a deadline, so that a collector that accepts and then says nothing holds nothing.
 */
import { Agent } from "node:http";
import type { Duplex } from "node:stream";
import { readFileSync } from "node:fs";
import { connect as connectTls } from "node:tls";
import { isIP } from "node:net";
import type { Clock } from "../../lib/clock/clock.ts";

export type Connect = (host: string, port: number) => Duplex | Promise<Duplex>;

export type SpanRouteOptions = {
  readonly url: string;
  readonly certificateFile: string | null;
  readonly connect: Connect;
  readonly clock: Clock;
  readonly deadlineMs: number;
};

type Callback = (error: Error | null, stream?: Duplex) => void;

export class SpanAgent extends Agent {
  readonly #options: SpanRouteOptions;
  readonly #url: URL;
  readonly #open = new Set<Duplex>();
  #closed = false;

  constructor(options: SpanRouteOptions) {
    // No reuse: a request on a connection that the collector is about to close would be lost.
    super({ keepAlive: false });
    this.#options = options;
    this.#url = new URL(options.url);
    // `createConnection` speaks TLS itself; to Node's request function we are the agent of the URL's protocol.
    Object.assign(this, { protocol: this.#url.protocol });
  }

  // Node hands over an options object that repeats the URL, and takes the stream by callback.
  override createConnection(_options: unknown, callback: Callback): undefined {
    this.#dial().then(
      (stream) => callback(null, stream),
      (error: unknown) => callback(error instanceof Error ? error : new Error("no connection to the collector")),
    );
  }

  /** Ends what is under way; nothing can be opened any more. */
  override destroy(): void {
    this.#closed = true;
    for (const stream of this.#open) stream.destroy(new Error("tracing has stopped"));
    super.destroy();
  }

  async #dial(): Promise<Duplex> {
    if (this.#closed) throw new Error("tracing has stopped");
    const host = this.#url.hostname.replace(/^\[(.*)\]$/, "$1");
    const isTls = this.#url.protocol === "https:";
    const port = Number(this.#url.port) || (isTls ? 443 : 80);
    const raw = await this.#connect(host, port);
    this.#bound(raw);
    return isTls ? this.#secure(raw, host) : withSocketMethods(raw);
  }

  /** Node's request waits without end for a stream; a route that never comes to an answer would keep a batch for ever. */
  #connect(host: string, port: number): Promise<Duplex> {
    const { clock, deadlineMs, connect } = this.#options;
    return new Promise((resolve, reject) => {
      let late = false;
      const timer = clock.after(deadlineMs, () => {
        late = true;
        reject(new Error("no connection to the collector in time"));
      });
      Promise.try(connect, host, port).then((stream) => {
        timer.cancel();
        if (late) stream.on("error", () => {}).destroy();
        else resolve(stream);
      }, reject);
    });
  }

  #bound(raw: Duplex): void {
    const { clock, deadlineMs } = this.#options;
    const timer = clock.after(deadlineMs, () => raw.destroy(new Error("the collector did not answer in time")));
    this.#open.add(raw);
    raw.on("error", () => {});
    raw.once("close", () => {
      timer.cancel();
      this.#open.delete(raw);
    });
    if (this.#closed) raw.destroy(new Error("tracing has stopped"));
  }

  #secure(socket: Duplex, host: string): Duplex {
    const { certificateFile } = this.#options;
    const ca = certificateFile === null ? {} : { ca: readFileSync(certificateFile) };
    return connectTls({
      socket,
      ALPNProtocols: ["http/1.1"],
      ...(isIP(host) === 0 ? { servername: host } : { host }),
      ...ca,
    });
  }
}

/** node:http calls these on every stream; a stream of a tunnel has none of them. The deadline above replaces them. */
function withSocketMethods(stream: Duplex): Duplex {
  const methods = {
    setTimeout: () => stream,
    setKeepAlive: () => stream,
    setNoDelay: () => stream,
    ref: () => stream,
    unref: () => stream,
  };
  for (const [name, method] of Object.entries(methods))
    if (!(name in stream)) Object.assign(stream, { [name]: method });
  return stream;
}
