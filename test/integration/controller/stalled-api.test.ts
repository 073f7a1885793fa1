/**
 * An API server that takes a connection and never answers, while the webhooks are asked: whoever makes a pod has a refusal within the
 * bound, one that clients make their request again for. On the wall clock.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { answerMs } from "../../../controller/webhook/server.ts";
import type { WebhookServer } from "../../../controller/webhook/server.ts";
import { startWebhooks } from "../../../controller/webhook/start.ts";
import type { WebhookContext } from "../../../controller/webhook/start.ts";
import { systemClock } from "../../../lib/clock/clock.ts";
import type { Credentials, Identity } from "../../../lib/enrolment/identity.ts";
import { KubeClient } from "../../../lib/kube/client.ts";
import { silent } from "../../../lib/log/log.ts";
import { Keys } from "../../cluster/keys.ts";
import { injection } from "../../cluster/protected-pod.ts";
import { review } from "./reviews.ts";

/** A busy machine is late by more than a timer is. */
const marginMs = 800;

const folder = mkdtempSync(join(tmpdir(), "tencrypt-stalled-"));
const stalled = new Set<Socket>();
let apiServer: Server;
let client: KubeClient;
let webhooks: WebhookServer;

before(async () => {
  apiServer = createServer((socket) => void stalled.add(socket.on("error", () => {})));
  await new Promise<void>((resolve) => apiServer.listen(0, "127.0.0.1", resolve));
  const server = new URL(`https://127.0.0.1:${(apiServer.address() as AddressInfo).port}`);
  const credentials = async () => ({ headers: {}, tls: { rejectUnauthorized: false } });
  client = new KubeClient({ server, namespace: "default", credentials }, systemClock);
  const keys = new Keys(folder);
  const { certificateFile, keyFile } = keys.issue("webhook", { user: "x", usages: ["serverAuth"] });
  webhooks = await startWebhooks({
    config: { ...injection, webhookListen: { host: "127.0.0.1", port: 0 } },
    client,
    namespaces: { get: () => undefined },
    credentials: () => ({ roots: [keys.authority.pem] }) as unknown as Credentials,
    metrics: { injection: () => {} },
    clock: systemClock,
    log: silent,
  } as unknown as WebhookContext);
  const chainPem = readFileSync(certificateFile, "utf8");
  const identity = { chainPem, keyPem: () => readFileSync(keyFile, "utf8") } as Identity;
  webhooks.renew({ identity });
});
after(() => {
  for (const socket of stalled) socket.destroy();
  apiServer.close();
  client.close();
  webhooks.close();
  rmSync(folder, { recursive: true, force: true });
});

const pod = { metadata: { name: "web" }, spec: { containers: [{ name: "app", image: "x" }] } };
const peers = { metadata: { name: "shop", annotations: { "tencrypt.io/peers": "billing" } } };

describe("while the API server does not answer", () => {
  for (const [path, object] of [
    ["/inject", pod],
    ["/validate", pod],
    ["/namespaces", peers],
  ] as const)
    test(`${path} refuses in time, for another try`, async () => {
      const dialled = stalled.size;
      const startedAt = performance.now();
      const answer = await review(webhooks.port, path, { operation: "CREATE", namespace: "shop", object });
      const tookMs = performance.now() - startedAt;
      assert.ok(stalled.size > dialled, "the API server was asked");
      assert.deepEqual([answer.allowed, answer.code, answer.retryAfterSeconds], [false, 503, 1]);
      assert.match(answer.message, /no answer within 1000 ms/);
      // Not at once, which would be another reason, and not late.
      assert.ok(tookMs >= answerMs - 50 && tookMs < answerMs + marginMs, `${tookMs} ms`);
    });
});
