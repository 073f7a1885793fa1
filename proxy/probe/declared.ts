/**
 * The probes and lifecycle handlers that the application declared, as injection passes them on: a JSON object, by the path
 * under which the kubelet asks for them. What is not exactly of that form is a problem of the settings. Pure.
 */
import { isTree } from "../../lib/json/tree.ts";
import type { Tree } from "../../lib/json/tree.ts";
import { isPort } from "../../lib/net/address.ts";

export type Header = { readonly name: string; readonly value: string };

export type ProbeAction =
  | {
      readonly kind: "http";
      readonly scheme: "http" | "https";
      readonly port: number;
      readonly path: string;
      readonly headers: readonly Header[];
      /** A handler is done when it was answered, whatever the status. */
      readonly anyStatus: boolean;
      readonly timeoutMs: number;
    }
  | { readonly kind: "tcp"; readonly port: number; readonly timeoutMs: number }
  | { readonly kind: "grpc"; readonly port: number; readonly service: string; readonly timeoutMs: number };

export type ProbeActions = ReadonlyMap<string, ProbeAction>;

const pathText = /^\/(?:probe|hook)\/[a-z0-9-]{1,63}\/(?:liveness|readiness|startup|postStart|preStop)$/;
/** Kubernetes' default for probes; handlers have none: they last for as long as the kubelet waits, which is the grace period. */
const probeTimeoutMs = 1_000;
const hookTimeoutMs = 24 * 3_600_000;

/** The length is one byte in the request. */
const longestService = 127;

/** Null for a text that is not what injection writes. */
export function readProbes(text: string): ProbeActions | null {
  const value = parse(text);
  if (!isTree(value)) return null;
  const actions = new Map<string, ProbeAction>();
  for (const [path, declared] of Object.entries(value)) {
    const action = pathText.test(path) && isTree(declared) ? readAction(path, declared) : null;
    if (action === null) return null;
    actions.set(path, action);
  }
  return actions;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function readAction(path: string, { httpGet, tcpSocket, grpc, timeoutSeconds }: Tree): ProbeAction | null {
  const own = typeof timeoutSeconds === "number" && timeoutSeconds > 0 ? timeoutSeconds * 1000 : null;
  const anyStatus = path.startsWith("/hook/");
  const timeoutMs = own ?? (anyStatus ? hookTimeoutMs : probeTimeoutMs);
  if (isTree(httpGet)) return readHttp(httpGet, { anyStatus, timeoutMs });
  if (isTree(tcpSocket)) return isPort(tcpSocket["port"]) ? { kind: "tcp", port: tcpSocket["port"], timeoutMs } : null;
  if (!isTree(grpc) || !isPort(grpc["port"])) return null;
  const service = grpc["service"] ?? "";
  return typeof service === "string" && service.length <= longestService
    ? { kind: "grpc", port: grpc["port"], service, timeoutMs }
    : null;
}

type Rules = { readonly anyStatus: boolean; readonly timeoutMs: number };

function readHttp({ port, path, scheme, httpHeaders }: Tree, rules: Rules): ProbeAction | null {
  const headers = httpHeaders ?? [];
  if (!isPort(port) || !Array.isArray(headers) || !headers.every(isHeader)) return null;
  const target = typeof path === "string" && path !== "" ? path : "/";
  return {
    kind: "http",
    scheme: scheme === "HTTPS" ? "https" : "http",
    port,
    path: target.startsWith("/") ? target : `/${target}`,
    headers,
    ...rules,
  };
}

const isHeader = (value: unknown): value is Header =>
  isTree(value) && typeof value["name"] === "string" && typeof value["value"] === "string";
