/**
 * The CONNECT request of a stream, read strictly: method CONNECT, one `:authority`, no `:scheme` and no `:path`
 * (RFC 9113 par. 8.5). nghttp2 drops malformed fields silently, so what matters is checked as present. Pure.
 */
import type { IncomingHttpHeaders } from "node:http2";
import { headerNames } from "./header-names.ts";

export type ConnectRequest =
  | {
      readonly kind: "connect";
      readonly authority: string;
      /** Key-exchange group as the client saw it; only the client side can. */
      readonly group: string | null;
      /** The pod uid that the caller means; null from proxies that do not say. */
      readonly pod: string | null;
    }
  | { readonly kind: "invalid"; readonly detail: string };

const invalid = (detail: string): ConnectRequest => ({ kind: "invalid", detail });
const token = /^[A-Za-z0-9_.:-]{1,128}$/;

export function readRequest(headers: IncomingHttpHeaders, rawHeaders: readonly string[]): ConnectRequest {
  if (headers[":method"] !== "CONNECT") return invalid("method");
  if (headers[":scheme"] !== undefined || headers[":path"] !== undefined) return invalid(":scheme or :path");
  if (headers[":protocol"] !== undefined) return invalid(":protocol");
  const authority = headers[":authority"];
  if (typeof authority !== "string" || count(rawHeaders, ":authority") !== 1) return invalid(":authority");
  return {
    kind: "connect",
    authority,
    group: tokenOf(headers[headerNames.group]),
    pod: tokenOf(headers[headerNames.pod]),
  };
}

function count(rawHeaders: readonly string[], name: string): number {
  let found = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) if (rawHeaders[index] === name) found++;
  return found;
}

const tokenOf = (value: string | string[] | undefined): string | null =>
  typeof value === "string" && token.test(value) ? value : null;
