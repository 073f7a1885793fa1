/**
 * The way out for the proxy's own spans: the same route as the application's traffic, so a protected collector is reached
 * through the tunnel and a mode that refuses clear refuses it here too. No record, and so no span, is made of it.
 */
import { lookup } from "node:dns/promises";
import type { Duplex } from "node:stream";
import { parseIp } from "../lib/net/address.ts";
import { newRecord } from "./connection.ts";
import type { Dataplane } from "./dataplane.ts";
import { dialFarEnd } from "./far-end.ts";
import type { FarEnd } from "./far-end.ts";
import { decide, judge } from "./outbound.ts";
import type { Question } from "./outbound.ts";
import type { Policy } from "./route/policy.ts";

/** Rejects with the reason code when the collector may not be reached or cannot be. */
export async function connectForTelemetry(
  { host, port }: { host: string; port: number },
  plane: Dataplane,
): Promise<Duplex> {
  const ip = parseIp(host) ?? parseIp((await lookup(host)).address);
  if (ip === null) throw new Error("destination_unknown");
  const { rules } = plane;
  const destination = { ip, port };
  const decided = await decide(destination, plane);
  if (decided.kind === "look-up") throw new Error("destination_unknown");
  if (decided.kind === "refuse") throw new Error(decided.reason);
  // What is sent is known to be HTTP in clear here: TLS, where there is any, lies above this connection.
  if (decided.kind === "clear-if-tls") throw new Error("egress_not_allowed");
  const far = await dialFarEnd(decided, newRecord("outbound", "", plane), plane);
  if (far.kind === "failed") throw new Error(far.reason);
  const question = { destination, spoken: { is: "no" } as const, plane };
  const verdict = await plane.judgeAnew(rules, (now) => judge(far, question, now));
  if (verdict !== null) {
    far.duplex.destroy();
    throw new Error(verdict.reason);
  }
  judgeWhileOpen(far, question);
  return far.duplex;
}

/** Spans still leave while the proxy drains: only other rules end the connection. */
function judgeWhileOpen(far: FarEnd, question: Question): void {
  const { duplex } = far;
  const { plane } = question;
  const open = {
    judge: (rules: Policy): void =>
      plane.guard(
        duplex,
        judge(far, question, rules).then((verdict) => {
          if (verdict !== null) duplex.destroy();
        }),
      ),
    destroy: (): void => {},
  };
  plane.open.add(open);
  duplex.once("close", () => plane.open.delete(open));
}
