/**
 * The two text forms of metrics: Prometheus 0.0.4 and OpenMetrics 1.0, chosen by the Accept header. Pure.
 */
import type { MetricDefinition, Series } from "./definition.ts";

export type Format = "prometheus" | "openmetrics";

export const formats: Readonly<Record<Format, { readonly contentType: string; readonly end: string }>> = {
  prometheus: { contentType: "text/plain; version=0.0.4; charset=utf-8", end: "" },
  openmetrics: { contentType: "application/openmetrics-text; version=1.0.0; charset=utf-8", end: "# EOF\n" },
};

const longestAccept = 1_024;

/** OpenMetrics where the caller prefers it at least as much as plain text; plain text for everybody else. */
export function negotiate(accept: string | undefined): Format {
  let open = 0;
  let plain = 0;
  for (const range of (accept ?? "").slice(0, longestAccept).toLowerCase().split(",")) {
    const [type, ...parameters] = range.split(";").map((part) => part.trim());
    const weight = quality(parameters);
    if (type === "application/openmetrics-text") open = Math.max(open, weight);
    if (type === "text/plain") plain = Math.max(plain, weight);
  }
  return open > 0 && open >= plain ? "openmetrics" : "prometheus";
}

function quality(parameters: readonly string[]): number {
  const text = parameters.find((parameter) => parameter.startsWith("q="));
  const value = text === undefined ? 1 : Number(text.slice(2));
  return value >= 0 && value <= 1 ? value : 0;
}

type Rendered = {
  readonly definition: MetricDefinition;
  readonly names: readonly string[];
  readonly series: Iterable<Series>;
};

/** Appends one metric with its header lines. */
export function renderFamily(text: string[], format: Format, { definition, names, series }: Rendered): void {
  // OpenMetrics names a counter without the suffix that its samples carry.
  const family =
    format === "openmetrics" && definition.type === "counter"
      ? definition.name.slice(0, -"_total".length)
      : definition.name;
  text.push(`# HELP ${family} ${escapeHelp(definition.help, format)}\n# TYPE ${family} ${definition.type}\n`);
  for (const entry of series) {
    const labels = entry.values.map((value, index) => `${names[index]}="${escapeLabel(value)}"`).join(",");
    if (entry.kind === "scalar")
      text.push(`${definition.name}${labels === "" ? "" : `{${labels}}`} ${formatNumber(entry.child.value)}\n`);
    else if (definition.type === "histogram")
      renderBuckets(text, format, { name: definition.name, bounds: definition.buckets, labels, child: entry.child });
  }
}

type Buckets = {
  readonly name: string;
  readonly bounds: readonly number[];
  readonly labels: string;
  readonly child: { readonly counts: Float64Array; readonly sum: number };
};

function renderBuckets(text: string[], format: Format, { name, bounds, labels, child }: Buckets): void {
  let total = 0;
  for (const [index, count] of child.counts.entries()) {
    total += count;
    const bound = bounds[index];
    const le = bound === undefined ? "+Inf" : formatBound(bound, format);
    text.push(`${name}_bucket{${labels === "" ? "" : `${labels},`}le="${le}"} ${total}\n`);
  }
  const set = labels === "" ? "" : `{${labels}}`;
  text.push(`${name}_sum${set} ${formatNumber(child.sum)}\n${name}_count${set} ${total}\n`);
}

/** OpenMetrics wants `le` as a canonical float. */
const formatBound = (bound: number, format: Format): string =>
  format === "openmetrics" && Number.isInteger(bound) ? `${bound}.0` : String(bound);

function formatNumber(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return "NaN";
  return value > 0 ? "+Inf" : "-Inf";
}

const escapeLabel = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

function escapeHelp(text: string, format: Format): string {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return format === "openmetrics" ? escaped.replaceAll('"', '\\"') : escaped;
}
