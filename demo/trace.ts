/** One request as its spans tell it: one trace over both proxies, as the collector in the cluster received it. */
import type { Child } from "../test/topology/cluster.ts";
import type { DecodedSpan } from "../test/collector/collector.ts";
import type { Wire } from "./encrypted.ts";
import { expect } from "./report.ts";
import type { Report } from "./report.ts";
import { duration } from "./screen.ts";
import type { Screen } from "./screen.ts";
import { vips } from "./stage.ts";
import type { Stage } from "./stage.ts";

type Span = Omit<DecodedSpan, "start" | "end"> & { readonly start: string; readonly end: string };

async function ask(collector: Child, command: Readonly<Record<string, unknown>>): Promise<readonly Span[]> {
  return ((await collector.request({ do: "spans", ...command })) as unknown as { spans: Span[] }).spans;
}

/** The two spans of a request that is made here. */
async function traceOfOneRequest(stage: Stage, wire: Wire): Promise<readonly Span[]> {
  const where = { "tencrypt.direction": "outbound", "tencrypt.service": "shop/server" };
  const since = Date.now();
  const url = `http://${vips.v4}:${vips.port}/cart`;
  await stage.apps.http.request({ do: "get", url, connection: "new", headers: { "x-canary": wire.canary } });
  const [own] = await ask(stage.spans, { where, since });
  return ask(stage.spans, { traceId: own!.traceId, count: 2 });
}

const took = ({ start, end }: Pick<Span, "start" | "end">): string =>
  duration(Number(BigInt(end) - BigInt(start)) / 1e6);
const short = (identity: unknown): string => String(identity).replace(/^spiffe:\/\/[^/]+\//, "");

export async function showTrace(report: Report, stage: Stage, wire: Wire): Promise<void> {
  const { screen } = report;
  screen.heading("one request as a trace");
  const spans: Span[] = [];
  const complete = await report.check("spans of both proxies in one trace", async () => {
    spans.push(...(await traceOfOneRequest(stage, wire)));
    const [client, server] = ["client", "server"].map((kind) => spans.find((span) => span.kind === kind));
    expect(
      spans.length === 2 && client !== undefined && server?.parentSpanId === client.spanId,
      "the server's span under the client's",
      spans.map(({ kind, spanId, parentSpanId }) => ({ kind, spanId, parentSpanId })),
    );
    expect(
      client!.attributes["tls.established"] === true && server!.attributes["tls.established"] === true,
      "both to tell of TLS",
      spans.map(({ attributes }) => attributes["tls.established"]),
    );
    return { left: `trace ${client!.traceId}`, right: "in the collector, itself reached through the tunnel" };
  });
  if (!complete) return;
  const tree = spans.toSorted((one, other) => Number(BigInt(one.start) - BigInt(other.start)));
  for (const span of tree) describe(screen, span);
}

/** The client's span, and below it the one of the server that it caused. */
function describe(screen: Screen, { attributes: has, resource, kind, name, ...span }: Span): void {
  const isClient = kind === "client";
  const way = `${String(has["client.address"])} -> ${String(has["server.address"])}:${String(has["server.port"])}`;
  const tls = `TLS ${String(has["tls.protocol.version"])} ${String(has["tls.curve"])}`;
  const peer = `peer ${short(has["tencrypt.peer.identity"])}`;
  const facts = [
    `${String(resource["k8s.pod.name"])} ${took(span)}`,
    name,
    isClient ? way : `:${String(has["server.port"])}`,
    tls,
    peer,
  ];
  screen.text(isClient ? 6 : 8, `${isClient ? "" : "└ "}${facts.join("   ")}`);
}
