/**
 * The two calls to the CA, over TLS 1.3. The CA is believed only if our verifier says that it is the program
 * `ns/tencrypt-ca/sa/tencrypt-ca`, issued by the control-plane CA under a root we were given: never by host name.
 * gRPC is loaded when the first call is made.
 */
import { readFile } from "node:fs/promises";
import type { ChannelOptions, Client, Metadata } from "@grpc/grpc-js";
import type { Clock } from "../clock/clock.ts";
import { channelCredentials, channelOptions, follow } from "../grpc/channel.ts";
import type { StreamHandlers } from "../grpc/channel.ts";
import { controlPlane } from "../identity/spiffe-id.ts";
import type { Bundle } from "../proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import type { TrustBundle } from "../x509/verify.ts";

export type CaClientOptions = {
  /** `host:port`. */
  readonly address: string;
  /** Re-read at every call: the kubelet replaces it. */
  readonly tokenFile: string;
  readonly maxLeafLifetimeMs: number;
  readonly clock: Clock;
};

/** The trust that calls start from: the roots of the root file, no project. */
export type BootstrapTrust = { readonly roots: readonly string[]; readonly bundle: TrustBundle };

export type Issued = {
  /** PEM, leaf first. */
  readonly chain: readonly string[];
  /** The bundle version that holds for this certificate; 0 if the CA tells none. */
  readonly bundleVersion: bigint;
};

export type CaClient = {
  issue(csr: string): Promise<Issued>;
  /**
   * Streams bundles until `onEnd`; the returned function cancels without calling it. The CA itself ends a stream with the
   * token that opened it.
   */
  watch(handlers: StreamHandlers<Bundle>): Promise<() => void>;
  /** Takes no new call; one that is under way ends first. */
  close(): void;
};

const callTimeoutMs = 10_000;
const largestAnswer = 4 * 1024 * 1024;
/** The controller's bundle holds every project: 6 MiB where a cluster has as many namespaces as Kubernetes is made for. */
const largestBundle = 32 * 1024 * 1024;
/**
 * For a connection, or for what stands against it. A dial to an address that is gone, as the replicas' just after both were
 * replaced, is repeated by the kernel for two minutes, and gRPC waits for it.
 */
const dialTimeoutMs = 5_000;

export async function createCaClient(options: CaClientOptions, trust: BootstrapTrust): Promise<CaClient> {
  // `default`: of a CommonJS package loaded this way, a bundle exports nothing else.
  const [{ default: grpc }, istio, tencrypt] = await Promise.all([
    import("@grpc/grpc-js"),
    import("../proto/gen/istio/v1/auth/ca.ts"),
    import("../proto/gen/tencrypt/ca/v1/trust_bundle.ts"),
  ]);
  const { maxLeafLifetimeMs, clock } = options;
  const server = { name: "the CA", who: controlPlane.ca, bundle: trust.bundle, maxLeafLifetimeMs, clock };
  const credentials = channelCredentials(grpc, { ca: [...trust.roots] }, server);
  // Shorter than the agent's own pause, which a call made during this one would only lengthen.
  const bounds = (largestMessage: number): ChannelOptions =>
    channelOptions(server, { largestMessage, longestBackoffMs: 1_000 });
  const dialled = (): InstanceType<typeof istio.IstioCertificateServiceClient> =>
    new istio.IstioCertificateServiceClient(options.address, credentials, bounds(largestAnswer));
  let certificates = dialled();
  const bundles = new tencrypt.TrustBundleClient(options.address, credentials, bounds(largestBundle));
  const answered = (client: Client): Promise<void> => dialAnswered(grpc, client, options.clock.now() + dialTimeoutMs);

  const issue = async (csr: string): Promise<Issued> => {
    const metadata = await bearer(grpc, options.tokenFile);
    try {
      await answered(certificates);
    } catch (error) {
      // The next call dials anew.
      certificates.close();
      certificates = dialled();
      throw error;
    }
    const deadline = new Date(options.clock.now() + callTimeoutMs);
    // No longer than what we take, should the ca issue longer ones by now; it cuts what is more than its own.
    const validityDuration = BigInt(Math.floor(maxLeafLifetimeMs / 1_000));
    const request = { csr, validityDuration, metadata: [] };
    return await new Promise<Issued>((resolve, reject) => {
      certificates.createCertificate(request, metadata, { deadline }, (error, response) => {
        if (error !== null) return reject(error);
        resolve({ chain: response.certChain, bundleVersion: response.bundleVersion });
      });
    });
  };

  const calls = countCalls(() => {
    certificates.close();
    bundles.close();
  });

  return {
    issue: (csr) => calls.during(issue(csr)),
    async watch(handlers) {
      const metadata = await bearer(grpc, options.tokenFile);
      await answered(bundles);
      return follow(bundles.watch({}, metadata), handlers);
    },
    close: calls.closeOnceIdle,
  };
}

async function bearer(grpc: typeof import("@grpc/grpc-js"), tokenFile: string): Promise<Metadata> {
  const token = (await readFile(tokenFile, "utf8")).trim();
  // gRPC would quote what no header can hold in its error, and errors are logged.
  if (!/^[ -~]*$/.test(token)) throw new Error(`${tokenFile} does not hold one token`);
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

/** Resolves once there is a connection, or something that stands against it: the call says what. */
function dialAnswered(grpc: typeof import("@grpc/grpc-js"), client: Client, deadline: number): Promise<void> {
  const { IDLE, CONNECTING } = grpc.connectivityState;
  const channel = client.getChannel();
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const state = channel.getConnectivityState(true);
      if (state !== IDLE && state !== CONNECTING) return resolve();
      channel.watchConnectivityState(state, deadline, (late) => {
        if (late === undefined) look();
        else reject(new Error(`the CA did not answer within ${dialTimeoutMs} ms`));
      });
    };
    look();
  });
}

/** A call that is under way ends by itself: cut off, it could not say why the CA refuses it. */
function countCalls(close: () => void): {
  readonly during: <T>(call: Promise<T>) => Promise<T>;
  readonly closeOnceIdle: () => void;
} {
  let underWay = 0;
  let closing = false;
  const closeOnceIdle = (): void => {
    closing = true;
    if (underWay === 0) close();
  };
  const ended = (): void => {
    underWay--;
    if (closing) closeOnceIdle();
  };
  return {
    during: (call) => {
      underWay++;
      return call.finally(ended);
    },
    closeOnceIdle,
  };
}
