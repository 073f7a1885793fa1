/**
 * A caller of the ca that asks for whatever it is told, with whatever token, as often as it is told; each command on a
 * connection of its own, several requests at a time.
 *
 * `ask` {address, root, token, csr, spaces?, gzip?, count?} -> {answers: {"<code> <text>": times}}
 *   `address` is host:port, `root` PEM; `spaces` that many are put behind the request, `gzip` compresses the message.
 */
import { createSecureContext } from "node:tls";
import { Metadata, credentials } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { IstioCertificateServiceClient } from "../../../lib/proto/gen/istio/v1/auth/ca.ts";
import { onCommand, say, text } from "./commands.ts";
import type { Fields } from "./commands.ts";

const atOnce = 8;
const gzip = 2;

function clientOf(command: Fields): IstioCertificateServiceClient {
  const context = createSecureContext({ ca: text(command, "root"), minVersion: "TLSv1.3" });
  const channel = credentials.createFromSecureContext(context, { checkServerIdentity: () => undefined });
  return new IstioCertificateServiceClient(text(command, "address"), channel, {
    "grpc.ssl_target_name_override": "tencrypt-ca",
    "grpc.use_local_subchannel_pool": 1,
    ...(command["gzip"] === true ? { "grpc.default_compression_algorithm": gzip } : {}),
  });
}

async function ask(command: Fields): Promise<Fields> {
  const client = clientOf(command);
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${text(command, "token")}`);
  const csr = text(command, "csr") + " ".repeat(Number(command["spaces"] ?? 0));
  const once = (): Promise<ServiceError | null> =>
    new Promise((resolve) => {
      const request = { csr, validityDuration: 0n, metadata: [] };
      client.createCertificate(request, metadata, { deadline: Date.now() + 15_000 }, (error) => resolve(error));
    });
  const answers: Record<string, number> = {};
  let left = Number(command["count"] ?? 1);
  const lane = async (): Promise<void> => {
    while (left-- > 0) {
      const error = await once();
      const answer = error === null ? "0" : `${error.code} ${error.details}`;
      answers[answer] = (answers[answer] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  client.close();
  return { answers };
}

onCommand(ask);
say("ready");
