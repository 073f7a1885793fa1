/**
 * The two calls to the controller, over TLS 1.3 with the pod's own certificate. The controller is believed only if our
 * verifier says that it is the program `ns/tencrypt-system/sa/tencrypt-controller`. gRPC is loaded when it is first used.
 */
import { createSecureContext } from "node:tls";
import type { DetailedPeerCertificate } from "node:tls";
import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import { judgeServer } from "../../lib/enrolment/judge-server.ts";
import { controlPlane } from "../../lib/identity/spiffe-id.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { LookupResponse, Update, WatchRequest } from "../../lib/proto/gen/tencrypt/directory/v1/directory.ts";

export type DirectoryClientOptions = {
  /** `host:port`. */
  readonly address: string;
  readonly credentials: Credentials;
  readonly maxLeafLifetimeMs: number;
  readonly clock: Clock;
};

export type WatchHandlers = { readonly onUpdate: (update: Update) => void; readonly onEnd: (why: string) => void };

export type DirectoryClient = {
  /** Resolves once there is a connection to a controller that is believed; rejects when there is none in time. */
  reached(timeoutMs: number): Promise<void>;
  /** Streams updates until `onEnd`; the returned function cancels without calling it. */
  watch(request: WatchRequest, handlers: WatchHandlers): () => void;
  /** Rejects when there is no answer in time. */
  lookUp(address: Ip, timeoutMs: number): Promise<LookupResponse>;
  close(): void;
};

/** The whole state of a large project is one message. */
const largestUpdate = 64 * 1024 * 1024;

export async function connectDirectory(options: DirectoryClientOptions): Promise<DirectoryClient> {
  // `default`: of a CommonJS package loaded this way, a bundle exports nothing else.
  const [{ default: grpc }, { DirectoryClient: Client }] = await Promise.all([
    import("@grpc/grpc-js"),
    import("../../lib/proto/gen/tencrypt/directory/v1/directory.ts"),
  ]);
  const { identity, bundle, roots } = options.credentials;
  const context = createSecureContext({
    cert: identity.chainPem,
    key: identity.keyPem(),
    ca: [...roots],
    minVersion: "TLSv1.3",
  });
  const credentials = grpc.credentials.createFromSecureContext(context, {
    checkServerIdentity: (_host, certificate) =>
      judgeServer(certificate as DetailedPeerCertificate, {
        name: "the controller",
        who: controlPlane.controller,
        bundle,
        ...options,
      }),
  });
  const client = new Client(options.address, credentials, {
    // SNI has to be a name and the address may be an IP; whom we believe is decided by judgeServer alone.
    "grpc.ssl_target_name_override": controlPlane.controller.serviceAccount,
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.max_receive_message_length": largestUpdate,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_http_proxy": 0,
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 2_000,
  });
  return {
    reached: (timeoutMs) =>
      new Promise((resolve, reject) => {
        client.waitForReady(options.clock.now() + timeoutMs, (error) =>
          error === undefined ? resolve() : reject(error),
        );
      }),
    watch: (request, handlers) => follow(client.watch(request), handlers),
    lookUp: (address, timeoutMs) =>
      new Promise((resolve, reject) => {
        const deadline = new Date(options.clock.now() + timeoutMs);
        client.lookup({ address }, new grpc.Metadata(), { deadline }, (error, response) => {
          if (error === null) resolve(response);
          else reject(error);
        });
      }),
    close: () => client.close(),
  };
}

function follow(stream: ClientReadableStream<Update>, handlers: WatchHandlers): () => void {
  let over = false;
  const end = (why: string): void => {
    if (!over) handlers.onEnd(why);
    over = true;
  };
  stream.on("data", (update: Update) => {
    if (!over) handlers.onUpdate(update);
  });
  stream.on("error", (error: ServiceError) => end(error.message));
  stream.on("end", () => end("the controller ended the stream"));
  return () => {
    over = true;
    stream.cancel();
  };
}
