/**
 * TLS of the ca's own endpoint: TLS 1.3 only, a certificate that can be replaced while connections stay open, no session
 * tickets, no certificate of the client (callers have none yet: their token proves them).
 */
import { constants } from "node:crypto";
import { ServerCredentials } from "@grpc/grpc-js";

export type ServingIdentity = { readonly certificatePem: string; readonly keyPem: string };

const handshakeTimeoutMs = 10_000;
const protocol = { minVersion: "TLSv1.3", secureOptions: constants.SSL_OP_NO_TICKET } as const;

/** grpc-js's own certificate providers cannot set a TLS version, and would fall back to 1.2 at each replacement. */
export class ServingCredentials extends ServerCredentials {
  constructor(identity: ServingIdentity) {
    super({ ...protocol, requestCert: false, handshakeTimeout: handshakeTimeoutMs }, contextOf(identity));
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
