/**
 * TLS 1.3 records that no library would send: a ClientHello with a server name of any length, and messages sealed with the
 * keys of a connection that a library has made (RFC 8446, 4.1.2, 5.2 and 7.3). Pure.
 */
import { createCipheriv, createHash, createHmac } from "node:crypto";

export const contentTypes = { handshake: 22, applicationData: 23 } as const;
/** The one that `sealer` speaks. */
export const cipherSuite = "TLS_AES_128_GCM_SHA256";
const messages = { helloRequest: 0, clientHello: 1 } as const;
const tagLength = 16;

const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const vector8 = (content: Buffer): Buffer => Buffer.concat([Buffer.from([content.length]), content]);
const vector16 = (content: Buffer): Buffer => Buffer.concat([uint16(content.length), content]);
const extension = (type: number, content: Buffer): Buffer => Buffer.concat([uint16(type), vector16(content)]);

const message = (type: number, content: Buffer): Buffer =>
  Buffer.concat([Buffer.from([type, 0]), uint16(content.length), content]);

/** Not random, which it need not be for a handshake that nobody ends. */
const thirtyTwo = (what: string): Buffer => createHash("sha256").update(what).digest();

/** Asks for TLS 1.3, X25519 and h2. */
export function clientHello(serverName: string): Buffer {
  const host = Buffer.concat([Buffer.from([0]), vector16(Buffer.from(serverName))]);
  const share = Buffer.concat([uint16(0x001d), vector16(thirtyTwo("share"))]);
  const extensions = [
    extension(0, vector16(host)),
    extension(10, vector16(uint16(0x001d))),
    extension(13, vector16(Buffer.concat([0x0403, 0x0804, 0x0401].map(uint16)))),
    extension(16, vector16(vector8(Buffer.from("h2")))),
    extension(43, vector8(uint16(0x0304))),
    extension(51, vector16(share)),
  ];
  const content = [
    uint16(0x0303),
    thirtyTwo("random"),
    vector8(thirtyTwo("session")),
    vector16(Buffer.concat([0x1301, 0x1302, 0x1303].map(uint16))),
    vector8(Buffer.from([0])),
    vector16(Buffer.concat(extensions)),
  ];
  return message(messages.clientHello, Buffer.concat(content));
}

/** Of TLS 1.2 and older; TLS 1.3 has no such message. */
export const helloRequest = (): Buffer => message(messages.helloRequest, Buffer.alloc(0));

/** In clear, as the first one is. */
export const plainRecord = (content: Buffer): Buffer =>
  Buffer.concat([Buffer.from([contentTypes.handshake]), uint16(0x0301), vector16(content)]);

/** HKDF-Expand-Label with an empty context, of at most one hash. */
function expand(secret: Buffer, label: string, length: number): Buffer {
  const info = Buffer.concat([uint16(length), vector8(Buffer.from(`tls13 ${label}`)), vector8(Buffer.alloc(0))]);
  return createHmac("sha256", secret)
    .update(info)
    .update(Buffer.from([1]))
    .digest()
    .subarray(0, length);
}

/** Seals the records of one direction, from its first one on. */
export function sealer(trafficSecret: Buffer): (type: number, content: Buffer) => Buffer {
  const key = expand(trafficSecret, "key", 16);
  const iv = expand(trafficSecret, "iv", 12);
  let sequence = 0;
  return (type, content) => {
    const nonce = Buffer.from(iv);
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ sequence++) >>> 0, 8);
    const header = Buffer.from([contentTypes.applicationData, 3, 3, ...uint16(content.length + 1 + tagLength)]);
    const cipher = createCipheriv("aes-128-gcm", key, nonce).setAAD(header);
    const sealed = cipher.update(Buffer.concat([content, Buffer.from([type])]));
    return Buffer.concat([header, sealed, cipher.final(), cipher.getAuthTag()]);
  };
}
