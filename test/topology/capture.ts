/**
 * Everything that passes a device, the bridge's above all, from the moment `startCapture` resolves to the moment `stop` is called.
 *
 * A marker packet is sent there at the start and at the end, and waited for in the file: what was sent in
 * between is in the file for certain. A capture that lost a packet fails instead of finding nothing.
 */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { Child, basicEnvironment, must } from "./child.ts";
import { network } from "./directory.ts";
import { countText, flows, readPackets } from "./pcap.ts";
import type { Flow, Packet } from "./pcap.ts";
import { inspectTls } from "./tls-on-wire.ts";
import type { TlsFlow } from "./tls-on-wire.ts";

const markerDeadlineMs = 20_000;

export type Captured = {
  readonly file: string;
  readonly packets: readonly Packet[];
  /** Of all frames. */
  readonly bytes: number;
  readonly count: (text: string | Buffer) => number;
  readonly flows: () => readonly Flow[];
  /** The flows from or to that port with at least one byte. */
  readonly tls: (port: number) => readonly TlsFlow[];
};

export type Capture = {
  readonly file: string;
  /** What is captured so far, for certain. */
  snapshot(): Promise<Captured>;
  stop(): Promise<Captured>;
};

const carries = (flow: Flow, port: number): boolean =>
  flow.pieces.length > 0 && [flow.source, flow.destination].some((end) => end.endsWith(`:${port}`));

function captured(file: string): Captured {
  const packets = readPackets(readFileSync(file));
  return {
    file,
    packets,
    bytes: packets.reduce((sum, { frame }) => sum + frame.length, 0),
    count: (text) => countText(packets, text),
    flows: () => flows(packets),
    tls: (port) =>
      flows(packets)
        .filter((flow) => carries(flow, port))
        .map(inspectTls),
  };
}

let markers = 0;

/** Where to listen (`netns` is a file that names it), and an address whose packets pass there without reaching anybody. */
export type Tap = { readonly netns: string; readonly device: string; readonly marker: string };

const named = (netns: string): string => `/run/netns/${netns}`;

export const bridgeTap = (netns: string): Tap => ({ netns: named(netns), device: "br0", marker: network.nobody });
/** What a pod says to itself: an application and its proxy. */
export const loopbackTap = (netns: string): Tap => ({ netns: named(netns), device: "lo", marker: "127.0.0.1" });
/** The cable of a pair, at its outer end. */
export const cableTap = (netns: string, marker: string): Tap => ({ netns: named(netns), device: "eth0", marker });

/** Sends a marker packet and waits until the capture holds it. */
async function mark(tap: Tap, file: string): Promise<void> {
  const marker = `tencrypt-capture-marker-${process.pid}-${markers++}`;
  await must(["nsenter", `--net=${tap.netns}`, "bash", "-c", `echo ${marker} > /dev/udp/${tap.marker}/9`]);
  const deadline = performance.now() + markerDeadlineMs;
  while (!readFileSync(file).includes(marker)) {
    if (performance.now() > deadline) throw new Error(`the capture ${file} does not hold its marker`);
    await pause(5);
  }
}

export async function startCapture(tap: Tap, file: string, started: (child: Child) => void): Promise<Capture> {
  const options = [
    "-i",
    tap.device,
    "-n",
    "-U",
    "--immediate-mode",
    "-s",
    "0",
    "-B",
    "131072",
    "-Z",
    "root",
    "-w",
    file,
  ];
  const argv = ["nsenter", `--net=${tap.netns}`, "setpriv", "--pdeathsig", "KILL", "tcpdump", ...options];
  const child = new Child("tcpdump", argv, basicEnvironment);
  started(child);
  await child.waitForLine(({ text }) => text.includes("listening on"), { what: "the start of tcpdump" });
  await mark(tap, file);
  return {
    file,
    snapshot: async () => {
      await mark(tap, file);
      return captured(file);
    },
    stop: async () => {
      await mark(tap, file);
      await child.stop("SIGINT");
      const dropped = child.lines.find(({ text }) => text.includes("dropped by kernel"))?.text;
      if (dropped !== "0 packets dropped by kernel")
        throw new Error(`the capture is not complete: ${dropped ?? child.tail()}`);
      return captured(file);
    },
  };
}
