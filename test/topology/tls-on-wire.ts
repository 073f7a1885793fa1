/**
 * What a listener on the wire can tell of TLS: read from the ServerHello, which is in clear. Pure.
 *
 * RFC 8446: a record is type, version, length; 5.1 says that only handshake, alert, change_cipher_spec and
 * application_data exist, so a flow that is TLS from its first to its last byte can be told from one that is not.
 */
import type { Flow } from "./pcap.ts";

export type Hello = {
  /** `TLS 1.3` if and only if supported_versions of the ServerHello says 0x0304 (RFC 8446, 4.2.1). */
  readonly version: string;
  readonly cipher: string;
  readonly group: string;
};

/** `recordsOnly`: every byte of the flow belongs to a TLS record. */
export type TlsFlow = { readonly flow: Flow; readonly recordsOnly: boolean; readonly serverHello: Hello | null };

const ciphers: Readonly<Record<number, string>> = {
  0x1301: "TLS_AES_128_GCM_SHA256",
  0x1302: "TLS_AES_256_GCM_SHA384",
  0x1303: "TLS_CHACHA20_POLY1305_SHA256",
};
const groups: Readonly<Record<number, string>> = {
  0x0017: "secp256r1",
  0x0018: "secp384r1",
  0x001d: "X25519",
  0x11ec: "X25519MLKEM768",
};
const versions: Readonly<Record<number, string>> = { 0x0303: "TLS 1.2", 0x0304: "TLS 1.3" };
const hex = (value: number): string => `0x${value.toString(16).padStart(4, "0")}`;

const record = { changeCipherSpec: 20, handshake: 22, applicationData: 23, header: 5, longest: 16_384 + 256 } as const;

/** True when the flow consists of whole records; the last one may be cut where the connection was killed. */
function isRecordsOnly(bytes: Buffer): boolean {
  let at = 0;
  while (at + record.header <= bytes.length) {
    const type = bytes[at]!;
    const length = bytes.readUInt16BE(at + 3);
    if (
      type < record.changeCipherSpec ||
      type > record.applicationData ||
      bytes[at + 1] !== 3 ||
      length > record.longest
    )
      return false;
    at += record.header + length;
  }
  return true;
}

/** The ServerHello at the head of a flow. A HelloRetryRequest has the same form and names the group to come. */
function readServerHello(bytes: Buffer): Hello | null {
  if (bytes.length < 49 || bytes[0] !== record.handshake || bytes[record.header] !== 2) return null;
  const sessionIdAt = record.header + 4 + 2 + 32;
  const cipherAt = sessionIdAt + 1 + bytes[sessionIdAt]!;
  const extensionsAt = cipherAt + 3;
  if (extensionsAt + 2 > bytes.length) return null;
  const extensions = readExtensions(
    bytes.subarray(extensionsAt + 2, extensionsAt + 2 + bytes.readUInt16BE(extensionsAt)),
  );
  const version = extensions.get(43)?.readUInt16BE(0) ?? bytes.readUInt16BE(record.header + 4);
  const group = extensions.get(51)?.readUInt16BE(0);
  const cipher = bytes.readUInt16BE(cipherAt);
  return {
    version: versions[version] ?? hex(version),
    cipher: ciphers[cipher] ?? hex(cipher),
    group: group === undefined ? "none" : (groups[group] ?? hex(group)),
  };
}

function readExtensions(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = bytes.readUInt16BE(at + 2);
    found.set(bytes.readUInt16BE(at), bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}

export function inspectTls(flow: Flow): TlsFlow {
  const bytes = flow.pieces[0] ?? Buffer.alloc(0);
  return { flow, recordsOnly: flow.pieces.length <= 1 && isRecordsOnly(bytes), serverHello: readServerHello(bytes) };
}
