/**
 * Calls of the Kubernetes API over connections that are kept: JSON in, JSON out. What the API server refuses is a
 * `KubeError` with its code and reason; what does not answer in time is one with code 0. Credentials are asked for anew
 * every few seconds.
 */
import { Agent, request } from "node:https";
import type { IncomingMessage } from "node:http";
import type { Clock } from "../clock/clock.ts";
import type { Access, Credentials } from "./access.ts";

export type Json = { readonly [field: string]: unknown };
export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
export type PatchType = "merge" | "json" | "apply";

/** The reason where what the kubeconfig names cannot be had: a file that is absent, a program that fails. */
export const noCredentials = "NoCredentials";

/** `code` is the HTTP status, 0 where no answer came; `reason` is Kubernetes' own word (`NotFound`, `Conflict`). */
export class KubeError extends Error {
  readonly code: number;
  readonly reason: string;

  constructor(what: string, code: number, reason: string, message: string) {
    super(`${what}: ${code === 0 ? "" : `${code} `}${reason === "" ? "" : `${reason}: `}${message}`);
    this.code = code;
    this.reason = reason;
  }
}

export const isStatus = (error: unknown, ...codes: readonly number[]): error is KubeError =>
  error instanceof KubeError && codes.includes(error.code);

const contentTypes: Readonly<Record<PatchType, string>> = {
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  apply: "application/apply-patch+yaml",
};

/** No byte of an answer for this long: there is none. */
const answerMs = 10_000;
const credentialsAgeMs = 10_000;
const mostSockets = 64;
const largestError = 65_536;

type Connection = { readonly agent: Agent; readonly headers: Readonly<Record<string, string>>; readonly key: string };
type Body = { readonly text: string; readonly type: string };
export type Call = { readonly method: Method; readonly path: string; readonly body?: Body };

const keyOf = ({ tls }: Credentials): string =>
  JSON.stringify([tls.ca, tls.cert, tls.key, tls.rejectUnauthorized, tls.servername]);

export class KubeClient {
  readonly #access: Access;
  readonly #clock: Clock;
  #connection: Connection | null = null;
  #checkedAt = 0;
  #checking: Promise<Connection> | null = null;
  #closed = false;

  constructor(access: Access, clock: Clock) {
    this.#access = access;
    this.#clock = clock;
  }

  get server(): string {
    return this.#access.server.host;
  }

  async get<T>(path: string): Promise<T> {
    return this.#json<T>({ method: "GET", path });
  }

  /** Null where it does not exist. */
  async find<T>(path: string): Promise<T | null> {
    try {
      return await this.get<T>(path);
    } catch (error) {
      if (isStatus(error, 404)) return null;
      throw error;
    }
  }

  async create<T>(path: string, body: Json): Promise<T> {
    return this.#json<T>({ method: "POST", path, body: { text: JSON.stringify(body), type: "application/json" } });
  }

  /** With the object's `resourceVersion` in the body, only if nobody changed it since: else 409. */
  async replace<T>(path: string, body: Json): Promise<T> {
    return this.#json<T>({ method: "PUT", path, body: { text: JSON.stringify(body), type: "application/json" } });
  }

  async patch<T>(path: string, body: unknown, type: PatchType = "merge"): Promise<T> {
    return this.#json<T>({ method: "PATCH", path, body: { text: JSON.stringify(body), type: contentTypes[type] } });
  }

  async delete(path: string, options: Json = {}): Promise<void> {
    const text = JSON.stringify({ kind: "DeleteOptions", apiVersion: "v1", ...options });
    await this.#json({ method: "DELETE", path, body: { text, type: "application/json" } });
  }

  /** A page of text that is no JSON, such as logs. */
  async text(path: string): Promise<string> {
    return (await this.#answer({ method: "GET", path })).text;
  }

  /** When the answer was given, by the API server's clock, in milliseconds since the epoch; null where it does not say. */
  async serverTime(): Promise<number | null> {
    const { date } = await this.#answer({ method: "GET", path: "/version" });
    return Number.isNaN(date) ? null : date;
  }

  /** The open answer of a call whose body does not end by itself (a watch). The caller destroys it. */
  async open(path: string, timeoutMs: number): Promise<IncomingMessage> {
    const response = await this.#send({ method: "GET", path }, timeoutMs);
    if ((response.statusCode ?? 0) < 300) return response;
    throw errorOf({ method: "GET", path }, response.statusCode ?? 0, await textOf(response, largestError));
  }

  /** Ends the kept connections; calls that are under way fail. */
  close(): void {
    this.#closed = true;
    this.#connection?.agent.destroy();
  }

  async #json<T>(call: Call): Promise<T> {
    const { text } = await this.#answer(call);
    try {
      return JSON.parse(text) as T;
    } catch {
      // Something between us and the API server answers in its place.
      throw new KubeError(`${call.method} ${call.path}`, 0, "", "the answer is not JSON");
    }
  }

  async #answer(call: Call): Promise<{ readonly text: string; readonly date: number }> {
    const response = await this.#send(call, answerMs);
    const text = await textOf(response, Infinity);
    const code = response.statusCode ?? 0;
    if (code >= 300) throw errorOf(call, code, text);
    return { text, date: Date.parse(response.headers.date ?? "") };
  }

  async #send(call: Call, timeoutMs: number): Promise<IncomingMessage> {
    const { agent, headers } = await this.#connect();
    const { body } = call;
    // Node gives the body of a DELETE neither a length nor chunks of its own accord.
    const described =
      body === undefined ? {} : { "content-type": body.type, "content-length": String(Buffer.byteLength(body.text)) };
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: this.#access.server.hostname.replace(/^\[|\]$/g, ""),
          port: this.#access.server.port === "" ? 443 : Number(this.#access.server.port),
          path: `${this.#access.server.pathname.replace(/\/$/, "")}${call.path}`,
          method: call.method,
          headers: { accept: "application/json", "user-agent": "tencrypt", ...headers, ...described },
          agent,
          timeout: timeoutMs,
        },
        resolve,
      );
      outgoing.on("timeout", () => outgoing.destroy(new Error(`no byte for ${timeoutMs} ms`)));
      outgoing.on("error", (error) => reject(new KubeError(`${call.method} ${call.path}`, 0, "", error.message)));
      outgoing.end(body?.text);
    });
  }

  /** One look at the credentials at a time; connections are kept as long as what TLS needs stays the same. */
  async #connect(): Promise<Connection> {
    if (this.#closed) throw new KubeError("call", 0, "", "the client is closed");
    const now = this.#clock.monotonic();
    if (this.#connection !== null && now - this.#checkedAt < credentialsAgeMs) return this.#connection;
    this.#checking ??= this.#renew(now).finally(() => (this.#checking = null));
    return this.#checking;
  }

  async #renew(now: number): Promise<Connection> {
    const credentials = await this.#access.credentials().catch((error: Error) => {
      throw new KubeError("credentials", 0, noCredentials, error.message);
    });
    const key = keyOf(credentials);
    const previous = this.#connection;
    const kept = previous !== null && previous.key === key;
    if (previous !== null && !kept) previous.agent.destroy();
    const agent = kept
      ? previous.agent
      : (credentials.agent ??
        new Agent({ keepAlive: true, maxSockets: mostSockets, scheduling: "lifo", ...credentials.tls }));
    this.#connection = { agent, headers: credentials.headers, key };
    this.#checkedAt = now;
    return this.#connection;
  }
}

function errorOf(call: Call, code: number, text: string): KubeError {
  const what = `${call.method} ${call.path}`;
  try {
    const { reason = "", message = text } = JSON.parse(text) as { readonly reason?: string; readonly message?: string };
    return new KubeError(what, code, reason, message);
  } catch {
    return new KubeError(what, code, "", text.slice(0, 1024));
  }
}

async function textOf(response: IncomingMessage, most: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > most) break;
    }
  } catch (error) {
    throw new KubeError("answer", 0, "", `cut off: ${(error as Error).message}`);
  }
  return Buffer.concat(chunks).toString("utf8");
}
