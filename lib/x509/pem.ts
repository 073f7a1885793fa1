/**
 * PEM to DER, strict (RFC 7468): blocks of one label and white space between them, nothing else; canonical base64 in
 * lines of at most 76 characters. What OpenSSL would skip over in silence (text before a block, another label) is
 * refused, so that nobody reads fewer certificates than a file seems to hold. Pure.
 */

export type PemBlocks =
  | { readonly kind: "blocks"; readonly ders: readonly Uint8Array[] }
  | { readonly kind: "malformed"; readonly what: string };

const largestPem = 1_048_576;
const longestLine = 76;
const base64Line = /^[A-Za-z0-9+/]+={0,2}$/;

/** At least one block labelled `CERTIFICATE`. */
export function splitPem(text: string): PemBlocks {
  if (text.length > largestPem) return wrong(`more than ${largestPem} characters`);
  const ders: Uint8Array[] = [];
  let body: string[] | null = null;
  const lines = text.split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    const at = `line ${index + 1}`;
    if (body === null) {
      if (line.trim() === "") continue;
      if (line !== "-----BEGIN CERTIFICATE-----") return wrong(`${at}: neither the begin of a certificate nor empty`);
      body = [];
    } else if (line === "-----END CERTIFICATE-----") {
      const der = decodeBase64(body.join(""));
      if (der === null) return wrong(`${at}: the base64 above is not canonical`);
      ders.push(der);
      body = null;
    } else {
      if (line.length > longestLine || !base64Line.test(line)) return wrong(`${at}: not base64`);
      body.push(line);
    }
  }
  if (body !== null) return wrong("the last block does not end");
  return ders.length === 0 ? wrong("no certificate") : { kind: "blocks", ders };
}

const wrong = (what: string): PemBlocks => ({ kind: "malformed", what });

/** Null unless encoding the octets again gives the same text: Node's decoder skips what it does not understand. */
function decodeBase64(text: string): Uint8Array | null {
  const octets = Buffer.from(text, "base64");
  return text !== "" && octets.toString("base64") === text ? new Uint8Array(octets) : null;
}
