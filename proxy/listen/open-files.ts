/**
 * How much the proxy may hold at once, by the open files that the kernel allows it. Beyond that the kernel's own refusal
 * would come: no dial to a peer or to the ca, and connections that are closed without a reason and without a line.
 */
import { readFileSync } from "node:fs";

export type Capacity = { readonly connections: number; readonly halfOpen: number };

/** Half-open handshakes on the tunnel's port, where there are files enough. */
const mostHalfOpen = 256;
/** Listeners, runtime, ca, controller, collector, probes, scrapes. */
const ownFiles = 64;
/** The application's socket, and one in clear or under a session of its own. */
const filesPerConnection = 2;

/** `wanted` connections, or as many as fit; at least one. */
export function capacityOf(openFiles: number, wanted: number): Capacity {
  const halfOpen = Math.max(1, Math.min(mostHalfOpen, Math.floor(openFiles / 4)));
  const fitting = Math.floor((openFiles - ownFiles - halfOpen) / filesPerConnection);
  return { halfOpen, connections: Math.max(1, Math.min(wanted, fitting)) };
}

/** Node has raised the soft limit to the hard one before it runs any of this. */
export function openFilesLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const soft = /^Max open files\s+([0-9]+)/m.exec(limits)?.[1];
  return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
}
