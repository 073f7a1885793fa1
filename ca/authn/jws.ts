/**
 * Takes a compact JWS apart (RFC 7515) without believing it. Refuses what two readers could read differently: base64url
 * that is not canonical, members named twice, bytes that are not UTF-8, critical header extensions. Pure.
 */
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";
import { readObject } from "./json.ts";
import type { Tree } from "../../lib/json/tree.ts";

export type Jws = {
  readonly kind: "jws";
  readonly algorithm: string;
  readonly keyId: string | null;
  readonly claims: Tree;
  /** What the signature covers. */
  readonly signed: Buffer;
  readonly signature: Buffer;
};

const longestToken = 16_384;
const form = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decode(part: string): Buffer | null {
  const bytes = Buffer.from(part, "base64url");
  return bytes.toString("base64url") === part ? bytes : null;
}

function decodeObject(part: string): Tree | null {
  const bytes = decode(part);
  if (bytes === null) return null;
  try {
    return readObject(utf8.decode(bytes));
  } catch {
    return null;
  }
}

export function readJws(token: string): Jws | Denial {
  const parts = token.length <= longestToken ? form.exec(token) : null;
  if (parts === null) return denial("token_malformed", "not three parts of base64url");
  const header = decodeObject(parts[1]!);
  const claims = decodeObject(parts[2]!);
  const signature = decode(parts[3]!);
  if (header === null || claims === null || signature === null)
    return denial("token_malformed", "a part is not canonical base64url of one JSON object");
  const { alg, kid, crit } = header;
  if (typeof alg !== "string" || crit !== undefined)
    return denial("token_malformed", "the header has no alg, or critical extensions");
  if (kid !== undefined && typeof kid !== "string") return denial("token_malformed", "kid is no text");
  return {
    kind: "jws",
    algorithm: alg,
    keyId: kid ?? null,
    claims,
    signed: Buffer.from(`${parts[1]!}.${parts[2]!}`),
    signature,
  };
}
