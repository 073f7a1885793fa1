/** The whole of a short body, bounded in octets and time. */
import type { Readable } from "node:stream";
import type { Clock } from "../../lib/clock/clock.ts";

export type Body =
  | { readonly kind: "body"; readonly bytes: Buffer }
  | { readonly kind: "failed"; readonly detail: string };

export type Bounds = { readonly longest: number; readonly timeoutMs: number; readonly clock: Clock };

export function readBody(stream: Readable, { longest, timeoutMs, clock }: Bounds): Promise<Body> {
  const chunks: Buffer[] = [];
  let length = 0;
  return new Promise((resolve) => {
    const settle = (body: Body): void => {
      timer.cancel();
      resolve(body);
    };
    const timer = clock.after(timeoutMs, () => settle({ kind: "failed", detail: `not complete in ${timeoutMs} ms` }));
    stream.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length > longest) return settle({ kind: "failed", detail: `longer than ${longest} octets` });
      chunks.push(chunk);
    });
    stream.once("end", () => settle({ kind: "body", bytes: Buffer.concat(chunks) }));
    stream.once("error", (error) => settle({ kind: "failed", detail: error.message }));
    stream.once("close", () => settle({ kind: "failed", detail: "closed before its end" }));
  });
}
