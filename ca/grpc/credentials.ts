/**
 * TLS of the ca's own endpoint: TLS 1.3 only, a certificate that can be replaced while connections stay open, no session
 * tickets, no certificate of the client (callers have none yet: their token proves them).
 */
import { constants } from "node:crypto";
import { ServerCredentials } from "@grpc/grpc-js";
import { maxHeaderList } from "./requests.ts";

export type ServingIdentity = { readonly certificatePem: string; readonly keyPem: string };

const handshakeTimeoutMs = 10_000;
/** Beside those of a proxy and of other agents, which are about ten. */
const maxHeaderListPairs = 32;
/** A pod may have eight streams of bundles, and certificates beside them; others' agents have one connection for all. */
const settings = { maxConcurrentStreams: 16, maxHeaderListSize: maxHeaderList } as const;
const protocol = { minVersion: "TLSv1.3", secureOptions: constants.SSL_OP_NO_TICKET } as const;

/** What grpc-js hands on to `http2.createSecureServer` as it is, and has no options of its own for. */
const session = { maxHeaderListPairs, settings };

/** grpc-js's own certificate providers cannot set a TLS version, and would fall back to 1.2 at each replacement. */
export class ServingCredentials extends ServerCredentials {
  constructor(identity: ServingIdentity) {
    super({ ...protocol, ...session, requestCert: false, handshakeTimeout: handshakeTimeoutMs }, contextOf(identity));
  }

  /** New connections get this certificate. */
  replace(identity: ServingIdentity): void {
    this.updateSecureContextOptions(contextOf(identity));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

const contextOf = ({ certificatePem, keyPem }: ServingIdentity): typeof protocol & { cert: string; key: string } => ({
  ...protocol,
  cert: certificatePem,
  key: keyPem,
});
