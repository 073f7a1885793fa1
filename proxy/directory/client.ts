/**
 * The two calls to the controller, over TLS 1.3 with the pod's own certificate. The controller is believed only if our
 * verifier says that it is the program `ns/tencrypt-system/sa/tencrypt-controller`. gRPC is loaded when it is first used.
 */
import type { Clock } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import { channelCredentials, channelOptions, follow } from "../../lib/grpc/channel.ts";
import type { StreamHandlers } from "../../lib/grpc/channel.ts";
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

export type DirectoryClient = {
  /** Resolves once there is a connection to a controller that is believed; rejects when there is none in time. */
  reached(timeoutMs: number): Promise<void>;
  /** Streams updates until `onEnd`; the returned function cancels without calling it. */
  watch(request: WatchRequest, handlers: StreamHandlers<Update>): () => void;
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
  const { maxLeafLifetimeMs, clock } = options;
  const server = { name: "the controller", who: controlPlane.controller, bundle, maxLeafLifetimeMs, clock };
  const context = { cert: identity.chainPem, key: identity.keyPem(), ca: [...roots] };
  const client = new Client(
    options.address,
    channelCredentials(grpc, context, server),
    channelOptions(server, { largestMessage: largestUpdate, longestBackoffMs: 2_000 }),
  );
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
