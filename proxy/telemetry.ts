/**
 * The way out for the proxy's own spans: the same route as the application's traffic, so a protected collector is reached
 * through the tunnel and a mode that refuses clear refuses it here too. Nothing is published of it, so it makes no span here,
 * and its trace, which is not sampled, asks the collector's proxy to make none.
 */
import { lookup } from "node:dns/promises";
import type { Duplex } from "node:stream";
import { parseIp } from "../lib/net/address.ts";
import { newRecord } from "./connection.ts";
import type { Dataplane, Judge } from "./dataplane.ts";
import { dialFarEnd } from "./far-end.ts";
import { decide, judge } from "./outbound.ts";
import type { Policy, Verdict } from "./route/policy.ts";

/** Rejects with the reason code when the collector may not be reached or cannot be. */
export async function connectForTelemetry(
  { host, port }: { host: string; port: number },
  plane: Dataplane,
): Promise<Duplex> {
  const ip = parseIp(host) ?? parseIp((await lookup(host)).address);
  if (ip === null) throw new Error("destination_unknown");
  const uncertified = plane.whyUncertified();
  if (uncertified !== null) throw new Error(uncertified.reason);
  const rulesBefore = plane.rules;
  const destination = { ip, port };
  const decided = await decide(destination, plane);
  if (decided.kind === "refuse") throw new Error(decided.reason);
  // What is sent is known to be HTTP in clear here: TLS, where there is any, lies above this connection.
  if (decided.kind === "clear-if-tls") throw new Error("egress_not_allowed");
  const record = newRecord("outbound", "", plane);
  record.trace = plane.silentTrace();
  const far = await dialFarEnd(decided, record, { plane, caller: null });
  if (far.kind === "failed") throw new Error(far.reason);
  const question = { destination, spoken: { is: "no" }, plane } as const;
  const asked = (now: Policy): Promise<Verdict> => judge(far, question, now);
  const verdict = await plane.judgeAnew(rulesBefore, far.duplex, asked);
  if (verdict !== null) throw new Error(verdict.reason);
  judgeWhileOpen(far.duplex, asked, plane);
  return far.duplex;
}

/** Spans still leave while the proxy drains: only other rules end the connection. */
function judgeWhileOpen(client: Duplex, asked: Judge, plane: Dataplane): void {
  const cut = (): void => void client.destroy();
  const open = { client, server: client, judge: asked, cut, destroy: () => {}, endIfReset: () => {} };
  plane.open.add(open);
  client.once("close", () => plane.open.delete(open));
}
