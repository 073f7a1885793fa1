/** The terms of a session: as the handshake left them, and after an exchange of re-authentication. */
import type { TLSSocket } from "node:tls";
import type { Identity } from "../../lib/enrolment/identity.ts";
import { equalBytes } from "../../lib/x509/der.ts";
import type { Peer } from "../../lib/x509/verify.ts";
import type { TlsFacts } from "../observe/events.ts";
import { digestOf, exporterLabel, exporterLength } from "./proof.ts";
import type { Role } from "./proof.ts";
import type { Terms } from "./session.ts";

type Own = { readonly role: Role; readonly identity: Identity };

export function firstTerms(socket: TLSSocket, peer: Peer, { role, identity }: Own): Terms {
  // What counts is what was shown in the handshake: ours may have been renewed while it went on.
  const shown = socket.getX509Certificate()!;
  const isCurrent = equalBytes(shown.raw, identity.chain[0]!);
  const own = digestOf(shown.raw);
  const far = digestOf(socket.getPeerX509Certificate()!.raw);
  return {
    peer,
    tls: {
      protocolVersion: socket.getProtocol() ?? "",
      cipher: socket.getCipher().standardName,
      group: groupOf(socket),
      ownIdentity: identity.uri,
      ...shownBy(peer),
    },
    generation: isCurrent ? identity.generation : identity.generation - 1,
    ownNotAfter: isCurrent ? identity.notAfter : shown.validToDate.getTime(),
    leaves: role === "client" ? { client: own, server: far } : { client: far, server: own },
  };
}

/** Records of connections that are open keep what was true when they opened. */
export function nextTerms(
  { tls }: Terms,
  peer: Peer,
  { identity, leaves }: Pick<Terms, "leaves"> & { identity: Identity },
): Terms {
  return {
    peer,
    tls: { ...tls, ...shownBy(peer) },
    generation: identity.generation,
    ownNotAfter: identity.notAfter,
    leaves,
  };
}

/** In TLS 1.3 the same as none. */
const noContext = Buffer.alloc(0);

/** What only the two ends of this TLS connection can compute (RFC 8446, 7.5). */
export const keyingMaterial = (socket: TLSSocket, role: Role): Buffer =>
  socket.exportKeyingMaterial(exporterLength, exporterLabel(role), noContext);

const shownBy = (peer: Peer): Pick<TlsFacts, "peerIdentity" | "peerPodUid" | "peerSerial" | "peerNotAfter"> => ({
  peerIdentity: peer.uri,
  peerPodUid: peer.pod?.podUid ?? null,
  peerSerial: peer.serial,
  peerNotAfter: peer.notAfter,
});

/** Null on the side that was dialled: OpenSSL does not say it there. */
function groupOf(socket: TLSSocket): string | null {
  const key = socket.getEphemeralKeyInfo();
  return key !== null && "name" in key && typeof key.name === "string" ? key.name : null;
}
