/** A client of the Kubernetes API with nothing in it: a method, a path, a body. What answers with an error throws. */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";

export type Json = { readonly [key: string]: unknown };

/** Of an answer that is no success: the `Status` object's code, reason and message. */
export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;

  constructor(what: string, code: number, reason: string, message: string) {
    super(`${what}: ${code} ${reason}: ${message}`);
    this.code = code;
    this.reason = reason;
  }
}

export type Caller =
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "certificate"; readonly certificateFile: string; readonly keyFile: string };

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

const contentType = (method: Method): string =>
  method === "PATCH" ? "application/merge-patch+json" : "application/json";

export class KubernetesClient {
  readonly #url: string;
  readonly #agent: Agent;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(url: string, authorityPem: string, caller: Caller) {
    this.#url = url;
    this.#headers = caller.kind === "token" ? { authorization: `Bearer ${caller.token}` } : {};
    const own =
      caller.kind === "token" ? {} : { cert: readFileSync(caller.certificateFile), key: readFileSync(caller.keyFile) };
    this.#agent = new Agent({ ca: authorityPem, keepAlive: true, ...own });
  }

  get(path: string): Promise<Json> {
    return this.#call("GET", path);
  }

  create(path: string, body: Json): Promise<Json> {
    return this.#call("POST", path, body);
  }

  replace(path: string, body: Json): Promise<Json> {
    return this.#call("PUT", path, body);
  }

  /** A JSON merge patch. */
  patch(path: string, body: Json): Promise<Json> {
    return this.#call("PATCH", path, body);
  }

  delete(path: string, options: Json = {}): Promise<Json> {
    return this.#call("DELETE", path, { kind: "DeleteOptions", apiVersion: "v1", ...options });
  }

  close(): void {
    this.#agent.destroy();
  }

  async #call(method: Method, path: string, body?: Json): Promise<Json> {
    const { code, text } = await this.#exchange(method, path, body === undefined ? null : JSON.stringify(body));
    const answer = text.startsWith("{") ? (JSON.parse(text) as Json) : { text };
    if (code < 300) return answer;
    const { reason = "", message = text } = answer as { readonly reason?: string; readonly message?: string };
    throw new ApiError(`${method} ${path}`, code, reason, message);
  }

  #exchange(
    method: Method,
    path: string,
    body: string | null,
  ): Promise<{ readonly code: number; readonly text: string }> {
    // Node gives the body of a DELETE neither a length nor chunks of its own accord.
    const described =
      body === null ? {} : { "content-type": contentType(method), "content-length": Buffer.byteLength(body) };
    const headers = { ...this.#headers, ...described };
    return new Promise((resolve, reject) => {
      const call = request(`${this.#url}${path}`, { method, headers, agent: this.#agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({ code: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
        );
      });
      call.on("error", reject);
      call.end(body ?? undefined);
    });
  }
}
