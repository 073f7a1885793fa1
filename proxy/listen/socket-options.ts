/**
 * The socket options that Node has no interface for: the destination a redirected connection had before, whether
 * closing a socket sends RST, and how far away its other end is. The only file of the proxy that knows a file
 * descriptor.
 *
 * `_handle.fd` is undocumented in Node, so `selfTest` runs at start: a Node that lacks it stops the proxy with a clear
 * error instead of a data plane that refuses everything, or one that ends truncated connections with a clean FIN.
 */
import { once } from "node:events";
import { createRequire } from "node:module";
import net from "node:net";
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";
import { ipFromSocket, parseIp } from "../../lib/net/address.ts";
import type { Endpoint } from "../../lib/net/address.ts";

/** Each gives a value, or a negated errno. */
type Addon = {
  originalDestination(fd: number): { readonly address: string; readonly port: number } | number;
  setResetOnClose(fd: number, on: boolean): number;
  resetsOnClose(fd: number): number;
  roundTrip(fd: number): number;
  isClosed(fd: number): number;
};

/** Lies beside this file in the source tree, and beside `main.js` once bundled. */
const addonPath = fileURLToPath(new URL("./socket-options.node", import.meta.url));
const addon = createRequire(import.meta.url)(addonPath) as Addon;

export type OriginalDestination =
  | { readonly kind: "found"; readonly endpoint: Endpoint }
  /** `ENOENT`: the kernel tracks no such connection. `EBADF`: the socket is closed already. */
  | { readonly kind: "none"; readonly errno: string };

/** -1 for a handle that is closed, or that never was a kernel socket. */
function descriptor(of: net.Socket | net.Server): number {
  const handle = (of as unknown as { readonly _handle?: { readonly fd?: unknown } | null })._handle;
  return typeof handle?.fd === "number" ? handle.fd : -1;
}

const none = (errno: string): OriginalDestination => ({ kind: "none", errno });

/**
 * Where the caller meant to connect to. Call it when the connection is accepted, before TLS wraps the socket. Without
 * a redirect the kernel gives the address that was dialled, which is the listener's own: the caller must treat that as
 * a loop.
 */
export function originalDestination(socket: net.Socket): OriginalDestination {
  const fd = descriptor(socket);
  if (fd < 0) return none("EBADF");
  const result = addon.originalDestination(fd);
  if (typeof result === "number") return none(getSystemErrorName(result));
  const ip = parseIp(result.address);
  return ip === null ? none("EAFNOSUPPORT") : { kind: "found", endpoint: { ip, port: result.port } };
}

/**
 * On: closing the socket throws away what is unsent and sends RST, also when the kernel closes it for a killed process.
 * Off: data first, then FIN; do it before a clean end. What a server accepts later inherits its setting. A closed
 * socket is left alone.
 */
export function resetOnClose(socketOrServer: net.Socket | net.Server, on: boolean): void {
  const fd = descriptor(socketOrServer);
  if (fd < 0) return;
  const result = addon.setResetOnClose(fd, on);
  if (result < 0) throw new Error(`setsockopt SO_LINGER: ${getSystemErrorName(result)}`);
}

/** Whether closing would send RST; false for a closed socket. */
export function resetsOnClose(socketOrServer: net.Socket | net.Server): boolean {
  return addon.resetsOnClose(descriptor(socketOrServer)) === 1;
}

/**
 * Microseconds to the other end and back: the shortest that the kernel has measured in the last five minutes, so without the
 * queues of a busy moment. Null where it has measured none, and for a closed socket.
 */
export function roundTrip(socket: net.Socket): number | null {
  const result = addon.roundTrip(descriptor(socket));
  return result < 0 ? null : result;
}

/** Whether the kernel has ended the connection, as by an RST: who does not read is not told. False for a socket of ours that is closed. */
export function isReset(socket: net.Socket): boolean {
  return addon.isClosed(descriptor(socket)) === 1;
}

/** Rejects with what is wrong if this Node or this kernel does not do what the rest of this file promises. */
export async function selfTest(): Promise<void> {
  const server = net.createServer({ pauseOnConnect: true });
  const client = new net.Socket();
  try {
    await once(server.listen(0, "127.0.0.1"), "listening");
    resetOnClose(server, true);
    const opened = Promise.withResolvers<net.Socket>();
    server.once("connection", opened.resolve).once("error", opened.reject);
    client.once("error", opened.reject);
    client.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
    const accepted = await opened.promise;
    try {
      checkAccepted(accepted);
    } finally {
      accepted.destroy();
    }
  } finally {
    client.destroy();
    server.close();
  }
}

function checkAccepted(accepted: net.Socket): void {
  if (descriptor(accepted) < 0) fail("an accepted socket has no number in _handle.fd");
  if (!resetsOnClose(accepted)) fail("an accepted socket does not inherit SO_LINGER from its listener");
  resetOnClose(accepted, false);
  if (resetsOnClose(accepted)) fail("SO_LINGER cannot be cleared");
  const original = originalDestination(accepted);
  const own = { ip: ipFromSocket(accepted.localAddress), port: accepted.localPort };
  // ENOENT where nothing tracks connections, ENOPROTOOPT where the kernel has no connection tracking loaded at all.
  if (original.kind === "none" && (original.errno === "ENOENT" || original.errno === "ENOPROTOOPT")) return;
  if (original.kind === "found" && original.endpoint.ip === own.ip && original.endpoint.port === own.port) return;
  fail(`the original destination of a direct connection is ${JSON.stringify(original)}`);
}

function fail(what: string): never {
  throw new Error(`socket options do not work with Node ${process.version}: ${what}`);
}
