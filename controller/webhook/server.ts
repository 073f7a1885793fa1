/**
 * The webhooks' HTTPS server. Bodies are capped, answers are bounded in time, and whatever goes wrong answers "no": the API
 * server then refuses the pod. The certificate is replaced without a restart.
 */
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import type { Log } from "../../lib/log/log.ts";
import type { AdmissionRequest, Answer } from "./admission.ts";

/** Answers one request; may ask the API server. */
export type Handler = (request: AdmissionRequest) => Promise<Answer>;

export type WebhookParts = {
  readonly handlers: ReadonlyMap<string, Handler>;
  readonly clock: Clock;
  readonly log: Log;
};

export type WebhookServer = {
  readonly address: string;
  readonly port: number;
  /** New connections get this certificate; until the first, none is accepted. */
  renew(credentials: Credentials): void;
  close(): void;
};

/** An object has at most 1.5 MiB in etcd, and a review may hold the old one too. */
const largestBody = 4 * 1024 * 1024;
const answerMs = 1_000;
const mostAtOnce = 64;

const bounds = { requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 60_000, maxHeaderSize: 16_384 };

const no = (message: string): Answer => ({
  allowed: false,
  patch: [],
  message,
  warnings: [],
  outcome: "refused",
  reason: "internal",
  retry: false,
});

export async function listenWebhooks(
  where: { readonly host: string; readonly port: number },
  parts: WebhookParts,
): Promise<WebhookServer> {
  let underWay = 0;
  const server = createServer({ ...bounds, minVersion: "TLSv1.2" }, (request, response) => {
    const handler = parts.handlers.get((request.url ?? "").split("?")[0]!);
    if (request.method !== "POST" || handler === undefined) return plain(response, 404);
    if (underWay >= mostAtOnce) return plain(response, 503);
    underWay++;
    void serve(request, response, { handler, parts }).finally(() => underWay--);
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(where.port, where.host, resolve));
  const bound = server.address() as AddressInfo;
  return {
    address: bound.address,
    port: bound.port,
    renew: ({ identity }) => server.setSecureContext({ cert: identity.chainPem, key: identity.keyPem() }),
    close: () => closeAll(server),
  };
}

function closeAll(server: Server): void {
  server.close();
  server.closeIdleConnections();
}

const plain = (response: ServerResponse, status: number): void => void response.writeHead(status).end();

type Context = { readonly handler: Handler; readonly parts: WebhookParts };

async function serve(request: IncomingMessage, response: ServerResponse, { handler, parts }: Context): Promise<void> {
  const review = await readReview(request);
  if (review === "too-large") return plain(response, 413);
  if (review === null) return plain(response, 400);
  const answer = await inTime(handler(review), parts).catch((error: unknown) => {
    parts.log("error", "webhook_failed", {
      path: request.url,
      detail: error instanceof Error ? error.stack : String(error),
    });
    return no("tencrypt could not judge the pod; its log says why. Next: try again");
  });
  if (!answer.allowed)
    parts.log("warn", "admission_refused", {
      reason: answer.reason,
      message: answer.message,
      project: review.namespace ?? null,
    });
  const text = JSON.stringify(reviewOf(review.uid, answer));
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}

function inTime(answer: Promise<Answer>, { clock }: WebhookParts): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(answerMs, () =>
      resolve(no(`tencrypt had no answer within ${answerMs} ms. Next: try again, then look at the controller's log`)),
    );
    answer.then(resolve, reject).finally(() => timer.cancel());
  });
}

async function readReview(request: IncomingMessage): Promise<AdmissionRequest | "too-large" | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > largestBody) return "too-large";
      chunks.push(chunk);
    }
    const { request: inner } = JSON.parse(Buffer.concat(chunks).toString("utf8")) as { request?: AdmissionRequest };
    return typeof inner?.uid === "string" && typeof inner.operation === "string" ? inner : null;
  } catch {
    return null;
  }
}

/** A status that clients make their request again for, after a second; the API server hands both on. */
const retried = { code: 503, reason: "ServiceUnavailable", details: { retryAfterSeconds: 1 } };

function reviewOf(uid: string, { allowed, patch, message, warnings, retry }: Answer): object {
  return {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    response: {
      uid,
      allowed,
      ...(patch.length === 0
        ? {}
        : { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(patch)).toString("base64") }),
      ...(message === null ? {} : { status: { ...(retry ? retried : { code: 403 }), message } }),
      ...(warnings.length === 0 ? {} : { warnings }),
    },
  };
}
