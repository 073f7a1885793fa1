/**
 * Proves that the kernel redirects what the pod sends: a dial to an address outside of the pod must arrive at our own
 * listener on the capture port. Runs behind the guard, so what is not redirected never leaves the pod, and the only
 * thing that can answer is inside of it.
 *
 * The pod's own address would not do: it is routed over lo and, on purpose, not captured. Dialled are neighbours on
 * the pod's own subnets first (they need no default route), then an address of the documentation range (a pod with a
 * /32 and a default route only). A family without a route for either has nothing that could leave, and no proof.
 */
import net from "node:net";
import type { Clock } from "../lib/clock/clock.ts";
import { ipBytes, isIpv6, isLinkLocal, isLoopback, parseIp } from "../lib/net/address.ts";
import type { Ip } from "../lib/net/address.ts";
import type { Family } from "./ruleset.ts";

export type Proof =
  /** `by`: our own listener saw the very connection, or something else in the pod held the port and answered. */
  | { readonly kind: "proven"; readonly destination: Ip; readonly by: "listener" | "port_in_use" }
  | { readonly kind: "no_route" }
  | { readonly kind: "disproven"; readonly destination: Ip; readonly why: string };

export type Question = {
  readonly family: Family;
  /** Where the rules send the TCP of this process's UID. */
  readonly capturePort: number;
  /** Any port that is not the proxy's. */
  readonly dialPort: number;
  /** The pod's addresses outside of loopback, of this family. */
  readonly own: readonly Ip[];
};

const answerWithinMs = 1000;
/** A fresh IPv6 address cannot be a source before duplicate address detection is through, a second or two. */
const addressReadyWithinMs = 3000;
const addressRetryMs = 50;

type Interfaces = NodeJS.Dict<readonly { address: string }[]>;

/** The pod's addresses of a family that others can reach it by. */
export const reachableAddresses = (interfaces: Interfaces, family: Family): readonly Ip[] =>
  neighbourAddresses(interfaces, family).filter((ip) => !isLinkLocal(ip));

/** Those that a neighbour on the same link can reach it by. */
export function neighbourAddresses(interfaces: Interfaces, family: Family): readonly Ip[] {
  const all = Object.values(interfaces).flatMap((entries) => (entries ?? []).map(({ address }) => parseIp(address)));
  return all.filter((ip) => ip !== null).filter((ip) => !isLoopback(ip) && isIpv6(ip) === (family === "v6"));
}

export type Target = { readonly from: Ip; readonly to: Ip };

/**
 * Pure. Some of them may be a subnet's own or its broadcast address, which the kernel refuses to dial: the next one
 * serves. The source is named, since the kernel would take a link-local one while the address is still new.
 */
export function targets(own: readonly Ip[], family: Family): readonly Target[] {
  const documentation = parseIp(family === "v4" ? "192.0.2.1" : "2001:db8::1");
  const neighbours = own.flatMap((from) => [1, 2, 3].map((flip) => ({ from, to: flipped(from, flip) })));
  const beyond = own.slice(0, 1).map((from) => ({ from, to: documentation }));
  return [...neighbours, ...beyond].flatMap(({ from, to }) => (to === null || own.includes(to) ? [] : [{ from, to }]));
}

/** The address with the lowest bits turned over: in the same subnet, unless that is smaller still. */
function flipped(ip: Ip, bits: number): Ip | null {
  const bytes = ipBytes(ip);
  bytes[bytes.length - 1]! ^= bits;
  if (!isIpv6(ip)) return parseIp([...bytes].join("."));
  return parseIp(
    Array.from({ length: 8 }, (_, at) => ((bytes[at * 2]! << 8) | bytes[at * 2 + 1]!).toString(16)).join(":"),
  );
}

type Listener = { readonly portInUse: boolean; hasSeen(port: number): Promise<boolean>; close(): void };
type Dial =
  | { readonly kind: "answered"; readonly localPort: number }
  | { readonly kind: "failed"; readonly code: string };

export async function prove(question: Question, clock: Clock): Promise<Proof> {
  const listener = await listen(question);
  try {
    for (const target of targets(question.own, question.family)) {
      const dialled = await dialWhenReady(target, question.dialPort, clock);
      if (dialled.kind === "failed" && noRoute.has(dialled.code)) continue;
      return await judge(target.to, dialled, listener, clock);
    }
    return { kind: "no_route" };
  } finally {
    listener.close();
  }
}

/** What connect() gives before a packet exists. EACCES: a broadcast address. */
const noRoute: ReadonlySet<string> = new Set(["ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL"]);

async function judge(destination: Ip, dialled: Dial, listener: Listener, clock: Clock): Promise<Proof> {
  if (dialled.kind === "failed") {
    return { kind: "disproven", destination, why: `the dial was not redirected to the capture port: ${dialled.code}` };
  }
  if (listener.portInUse) return { kind: "proven", destination, by: "port_in_use" };
  const seen = await within(answerWithinMs, clock, listener.hasSeen(dialled.localPort));
  if (seen === true) return { kind: "proven", destination, by: "listener" };
  return { kind: "disproven", destination, why: "the dial was answered, but not on the capture port" };
}

function within<T>(delayMs: number, clock: Clock, promise: Promise<T>): Promise<T | "late"> {
  const late = Promise.withResolvers<"late">();
  const timer = clock.after(delayMs, () => late.resolve("late"));
  return Promise.race([promise, late.promise]).finally(() => timer.cancel());
}

/** A port in use is no obstacle: on a second run the proxy itself holds it. */
async function listen({ family, capturePort }: Question): Promise<Listener> {
  const waiting = new Map<number, () => void>();
  const seen = new Set<number>();
  const server = net.createServer((socket) => {
    const port = socket.remotePort ?? 0;
    seen.add(port);
    waiting.get(port)?.();
    socket.on("error", () => {}).destroy();
  });
  const opened = Promise.withResolvers<boolean>();
  server
    .once("listening", () => opened.resolve(false))
    .once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") opened.resolve(true);
      else opened.reject(error);
    });
  server.listen({ port: capturePort, host: family === "v4" ? "127.0.0.1" : "::1", ipv6Only: family === "v6" });
  return {
    portInUse: await opened.promise,
    hasSeen: (port) =>
      new Promise((resolve) => (seen.has(port) ? resolve(true) : waiting.set(port, () => resolve(true)))),
    close: () => server.close(),
  };
}

async function dialWhenReady(target: Target, port: number, clock: Clock): Promise<Dial> {
  const deadline = clock.monotonic() + addressReadyWithinMs;
  for (;;) {
    const dialled = await dial(target, port, clock);
    const isTooEarly = dialled.kind === "failed" && dialled.code === "EADDRNOTAVAIL" && clock.monotonic() < deadline;
    if (!isTooEarly) return dialled;
    await new Promise<void>((resolve) => void clock.after(addressRetryMs, resolve));
  }
}

async function dial({ from, to }: Target, port: number, clock: Clock): Promise<Dial> {
  const socket = net.connect({ host: to, port, localAddress: from });
  const result = new Promise<Dial>((resolve) => {
    socket.once("connect", () => resolve({ kind: "answered", localPort: socket.localPort ?? 0 }));
    socket.on("error", (error: NodeJS.ErrnoException) =>
      resolve({ kind: "failed", code: error.code ?? error.message }),
    );
  });
  const dialled = await within(answerWithinMs, clock, result);
  socket.destroy();
  return dialled === "late" ? { kind: "failed", code: "no answer" } : dialled;
}
