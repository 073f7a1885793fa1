/** Serial numbers: 16 random octets below a fixed first one, so 17 octets, positive and never zero. */
import { randomBytes } from "node:crypto";

export const randomSerial = (): Buffer => Buffer.concat([Uint8Array.of(0x01), randomBytes(16)]);
