/**
 * The webhooks' HTTPS server. Any pod can dial it: bodies are capped, answers are bounded in time, sources take turns, and
 * whatever goes wrong answers "no": the API server then refuses the pod. The certificate is replaced without a restart.
 */
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import type { Log } from "../../lib/log/log.ts";
import type { HostPort } from "../../lib/net/host-port.ts";
import { listen } from "../../lib/server/listen.ts";
import type { AdmissionRequest, Answer } from "./admission.ts";
import { Connections } from "./connections.ts";
import type { Connection } from "./connections.ts";
import { largestBody, readBody, readReview, reviewOf } from "./review.ts";
import { limitLines } from "../../lib/log/line-limit.ts";
import type { Limited } from "../../lib/log/line-limit.ts";
import { Turns } from "../../lib/limit/turns.ts";

/** Answers one request; may ask the API server, until `over` says that nobody waits any more. */
export type Handler = (request: AdmissionRequest, over: AbortSignal) => Promise<Answer>;

export type WebhookParts = {
  readonly handlers: ReadonlyMap<string, Handler>;
  readonly clock: Clock;
  readonly log: Log;
};

export type WebhookServer = {
  readonly address: string;
  readonly port: number;
  /** New connections get this certificate; until the first, none is accepted. */
  renew(credentials: Pick<Credentials, "identity">): void;
  /** Answers what still comes, and ends each connection with an answer: an API server that meets a closed one refuses a pod. */
  drain(): Promise<void>;
  close(): void;
};

/**
 * Whoever makes a pod waits for this, so a read of the API that stalls is not waited for: the answer is then a refusal that clients
 * make their request again for. Less than the API server waits (webhook.timeoutSeconds), as of its own refusal they do not.
 */
export const answerMs = 1_000;
/** A connection that an API server has not used for that long is hardly used just when it is closed. */
export const lingerMs = 1_000;
/** Bodies that are judged at once, in bytes: what is made of one takes a multiple of it. A small one counts as much as this. */
const mostAtOnce = largestBody;
const leastCost = mostAtOnce / 64;

const bounds = {
  handshakeTimeout: 5_000,
  requestTimeout: 5_000,
  headersTimeout: 5_000,
  // How often Node looks whether one of the times is over.
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 60_000,
  maxHeaderSize: 16_384,
};

/** Why is no matter of the pod: asked again, there may be an answer. */
const no = (message: string): Answer => ({
  allowed: false,
  patch: [],
  message,
  warnings: [],
  outcome: "refused",
  reason: "internal",
  retry: true,
});

export async function listenWebhooks(where: HostPort, parts: WebhookParts): Promise<WebhookServer> {
  const shared: Shared = {
    parts,
    connections: new Connections(),
    turns: new Turns({ capacity: mostAtOnce }),
    refused: limitRefusals(parts),
    isDraining: false,
  };
  const open = new Map<string, Connection>();
  const server = createServer({ ...bounds, minVersion: "TLSv1.2" }, (request, response) => {
    const handler = parts.handlers.get((request.url ?? "").split("?")[0]!);
    if (request.method !== "POST" || handler === undefined) return plain(response, 404);
    const connection = open.get(nameOf(request.socket));
    // Who sends another request before the first is answered is no API server.
    if (connection?.state !== "opening" && connection?.state !== "idle") return void request.socket.destroy();
    if (shared.isDraining) response.setHeader("connection", "close");
    void serve({ request, response, handler, connection }, shared)
      // A mistake of ours, such as an answer that cannot be written: the API server refuses the pod, and nothing else ends.
      .catch((error: unknown) => {
        failed(parts, request, error);
        response.destroy();
      })
      .finally(() => shared.connections.answered(connection));
  });
  server.on("connection", (socket: Socket) => follow(socket, open, shared.connections));
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  const bound = await listen(server, where);
  const close = (): void => {
    closeAll(server);
    shared.refused.stop();
  };
  return {
    ...bound,
    renew: ({ identity }) => server.setSecureContext({ cert: identity.chainPem, key: identity.keyPem() }),
    drain: async () => {
      shared.isDraining = true;
      await new Promise<void>((resolve) => parts.clock.after(lingerMs, resolve));
      close();
    },
    close,
  };
}

/** A TLS socket has the addresses of the TCP socket below it, by which the connection is counted from its first packet. */
const nameOf = ({ remoteAddress = "", remotePort = 0 }: Socket): string => `${remoteAddress} ${remotePort}`;

function follow(socket: Socket, open: Map<string, Connection>, connections: Connections): void {
  const name = nameOf(socket);
  const connection = connections.open(socket.remoteAddress ?? "", socket);
  open.set(name, connection);
  socket.once("close", () => {
    connections.closed(connection);
    if (open.get(name) === connection) open.delete(name);
  });
}

function closeAll(server: Server): void {
  server.close();
  server.closeIdleConnections();
}

const plain = (response: ServerResponse, status: number): void => void response.writeHead(status).end();

type Refused = Pick<Answer, "reason" | "message"> & { readonly project: string | null };

/** Any pod can ask for refusals, and name any project: they must not fill the log. */
const limitRefusals = ({ clock, log }: WebhookParts): Limited<Refused> =>
  limitLines(clock, ({ reason, message, project }, count, merged) =>
    log("warn", "admission_refused", { reason, ...(merged ? {} : { message, project }), count }),
  );

type Shared = {
  readonly parts: WebhookParts;
  readonly connections: Connections;
  readonly turns: Turns;
  readonly refused: Limited<Refused>;
  isDraining: boolean;
};
type Asked = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly handler: Handler;
  readonly connection: Connection;
};

/** A request takes a turn when it is complete: whoever only drips holds nothing but its own connection. */
async function serve(asked: Asked, { parts, connections, turns, refused }: Shared): Promise<void> {
  const { request, response, connection } = asked;
  connection.state = "reading";
  const body = await readBody(request, (bytes) => connections.read(connection, bytes));
  if (body === null) return plain(response, 413);
  connection.state = "waiting";
  const over = new AbortController();
  const timer = parts.clock.after(answerMs, () => over.abort());
  const turn = turns.ask(connection.source, Math.max(leastCost, body.length));
  const ended = once(over.signal);
  await Promise.race([turn?.granted, ended]);
  if (turn === null || over.signal.aborted) {
    turn?.end();
    return plain(response, 503);
  }
  connection.state = "judged";
  await judge(body, { asked, parts, refused, over: over.signal, ended, done: () => turn.end() }).finally(() =>
    timer.cancel(),
  );
}

const failed = ({ log }: WebhookParts, { url }: IncomingMessage, error: unknown): void =>
  log("error", "webhook_failed", { path: url, detail: error instanceof Error ? error.stack : String(error) });

const once = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

type Judging = {
  readonly asked: Asked;
  readonly parts: WebhookParts;
  readonly refused: Limited<Refused>;
  readonly over: AbortSignal;
  readonly ended: Promise<void>;
  /** The turn is over when nothing works on the request any more, which may be after the answer. */
  readonly done: () => void;
};

async function judge(
  body: Buffer,
  { asked: { response, handler, request }, parts, refused, over, ended, done }: Judging,
): Promise<void> {
  const review = readReview(body);
  if (review === null) {
    done();
    return plain(response, 400);
  }
  const late = ended.then(() =>
    no(`tencrypt had no answer within ${answerMs} ms. Next: try again, then look at the controller's log`),
  );
  const work = handler(review, over).finally(done);
  const answer = await Promise.race([work, late]).catch((error: unknown) => {
    failed(parts, request, error);
    return no("tencrypt could not judge the pod; its log says why. Next: try again");
  });
  if (!answer.allowed) {
    const project = review.namespace ?? null;
    refused.take(`${answer.reason} ${project}`, answer.reason, { ...answer, project });
  }
  const text = JSON.stringify(reviewOf(review.uid, answer));
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}
