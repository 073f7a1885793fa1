/** An AdmissionReview in and out: its bytes, bounded, and what of it is read and written. */
import type { AdmissionRequest, Answer } from "./admission.ts";

/** An object has at most 1.5 MiB in etcd, and a review may hold the old one too. */
export const largestBody = 4 * 1024 * 1024;
/** What a piece of a body costs beside its bytes: pieces of one byte are a body many times its size in memory. */
const pieceBytes = 512;

/** Null for one that is too large, in bytes or in pieces, or that its sender gave up. */
export async function readBody(
  request: AsyncIterable<Buffer>,
  onRead: (bytes: number) => void,
): Promise<Buffer | null> {
  const pieces: Buffer[] = [];
  let held = 0;
  try {
    for await (const piece of request) {
      held += piece.length + pieceBytes;
      if (held > largestBody) return null;
      onRead(piece.length + pieceBytes);
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  } catch {
    return null;
  }
}

export function readReview(body: Buffer): AdmissionRequest | null {
  try {
    const { request } = JSON.parse(body.toString("utf8")) as { readonly request?: AdmissionRequest };
    return typeof request?.uid === "string" && typeof request.operation === "string" ? request : null;
  } catch {
    return null;
  }
}

/** A status that clients make their request again for, after a second; the API server hands both on. */
const retried = { code: 503, reason: "ServiceUnavailable", details: { retryAfterSeconds: 1 } };

export function reviewOf(uid: string, { allowed, patch, message, warnings, retry }: Answer): object {
  return {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    response: {
      uid,
      allowed,
      ...(patch.length === 0
        ? {}
        : { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(patch)).toString("base64") }),
      ...(message === null ? {} : { status: { ...(retry ? retried : { code: 403 }), message } }),
      ...(warnings.length === 0 ? {} : { warnings }),
    },
  };
}
