/** Asks a controller's webhooks as the API server does, without one in between. */
import { request } from "node:https";
import type { Agent } from "node:https";

export type Patch = readonly { readonly op: string; readonly path: string; readonly value?: unknown }[];

export type Review = {
  readonly allowed: boolean;
  readonly patch: Patch;
  readonly code: number | null;
  readonly message: string;
  readonly retryAfterSeconds: number | null;
};

type Response = {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patch?: string;
  readonly status?: {
    readonly code: number;
    readonly message: string;
    readonly details?: { readonly retryAfterSeconds?: number };
  };
};

/** The status and text of an answer to one POST. */
export function post(
  port: number,
  path: string,
  body: string,
  options: { readonly agent?: Agent; readonly localAddress?: string } = {},
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const call = request(
      { host: "127.0.0.1", port, path, method: "POST", rejectUnauthorized: false, ...options },
      (answer) => {
        let text = "";
        answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
        answer.on("error", reject);
      },
    );
    call.on("error", reject);
    call.end(body);
  });
}

export const reviewOf = (inner: object): string =>
  JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: { uid: "1", ...inner } });

export async function review(port: number, path: string, inner: object): Promise<Review> {
  const { response } = JSON.parse((await post(port, path, reviewOf(inner))).text) as { readonly response: Response };
  return {
    allowed: response.allowed,
    patch: response.patch === undefined ? [] : (JSON.parse(Buffer.from(response.patch, "base64").toString()) as Patch),
    code: response.status?.code ?? null,
    message: response.status?.message ?? "",
    retryAfterSeconds: response.status?.details?.retryAfterSeconds ?? null,
  };
}
