/** PEM of exactly one block. Reading refuses text around it, headers, other labels and base64 that is not canonical. Pure. */
export type Label = "CERTIFICATE REQUEST" | "CERTIFICATE";

const lines = /^(?:[A-Za-z0-9+/=]{1,76}\r?\n)+$/;

export function writePem(label: Label, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString("base64");
  return `-----BEGIN ${label}-----\n${base64.replaceAll(/.{1,64}/g, "$&\n")}-----END ${label}-----\n`;
}

/** The DER of the one block, or null. */
export function readPem(label: Label, text: string): Buffer | null {
  const [begin, end] = [`-----BEGIN ${label}-----`, `-----END ${label}-----`];
  const whole = text.trimEnd();
  if (!whole.startsWith(begin) || !whole.endsWith(end)) return null;
  const body = whole.slice(begin.length, -end.length).replace(/^\r?\n/, "");
  if (!lines.test(body)) return null;
  const base64 = body.replaceAll(/[\r\n]/g, "");
  const der = Buffer.from(base64, "base64");
  return der.toString("base64") === base64 ? der : null;
}
