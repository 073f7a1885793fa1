/**
 * The span collector as a process of a pod.
 *
 * `spans` {where: {attribute: value, ...}, count?}: answers as soon as there are `count` spans (default 1) whose
 *         attributes hold all of that; {traceId}: those of that trace; {since}: those that began at or after that time
 *         (milliseconds since the epoch). -> {spans}, times as decimal texts.
 */
import { parseArgs } from "node:util";
import { startCollector } from "../../collector/collector.ts";
import type { DecodedSpan } from "../../collector/collector.ts";
import { onCommand, say } from "./commands.ts";
import type { Fields } from "./commands.ts";

const { values } = parseArgs({ options: { host: { type: "string" }, port: { type: "string" } } });
const collector = await startCollector({ host: values.host ?? "::", port: Number(values.port ?? 0) });

function matcher(command: Fields): (span: DecodedSpan) => boolean {
  const where = Object.entries((command["where"] ?? {}) as Fields);
  const traceId = command["traceId"];
  const since = BigInt(Number(command["since"] ?? 0)) * 1_000_000n;
  return (span) =>
    (traceId === undefined || span.traceId === traceId) &&
    span.start >= since &&
    where.every(([name, value]) => span.attributes[name] === value);
}

onCommand(async (command) => {
  const found = await collector.waitFor(Number(command["count"] ?? 1), matcher(command));
  return { spans: found.map((span) => ({ ...span, start: String(span.start), end: String(span.end) })) };
});
say("listening", { port: collector.port });
