/**
 * Counters, gauges and histograms whose children are bound once and then cost one addition.
 *
 * The number of series is bounded whatever the label values are: each label names in its definition how many distinct
 * values it may take, and what comes after that is counted under the value `overflow`, the other labels keeping their
 * meaning, so that sums over them stay exact. A family as a whole is bounded too. A label value is cut and stripped of
 * control characters, so nobody can forge a line. Pure: who serves the text decides when `render` runs.
 */
import { formats, renderFamily } from "./exposition.ts";
import type { Format } from "./exposition.ts";
import type {
  CounterDefinition,
  GaugeDefinition,
  HistogramDefinition,
  LabelBounds,
  MetricDefinition,
  Series,
} from "./definition.ts";

export type Counter = { add(amount?: number): void };
export type Gauge = { add(amount?: number): void; set(value: number): void };
export type Histogram = { observe(value: number): void };

/** `labels` looks a child up or makes it; hold on to the child where the path is hot. */
export type Family<L extends string, Child> = { labels(values: Readonly<Record<L, string>>): Child };

export type GaugeFamily<L extends string> = Family<L, Gauge> & {
  /** Forgets all children, for what is read anew at each rendering: whoever is gone is shown no more. */
  clear(): void;
};

export const overflow = "overflow";
const longestLabel = 128;
const defaultSeriesBound = 1_000;
const metricName = /^[a-z][a-z0-9_]*$/;
const labelName = /^[a-z][a-z0-9_]*$/;
// oxlint-disable-next-line no-control-regex -- control characters are exactly what is meant
const controlCharacters = /[\u0000-\u001f\u007f-\u009f]/g;

class Scalar implements Counter, Gauge {
  value = 0;
  add(amount = 1): void {
    this.value += amount;
  }
  set(value: number): void {
    this.value = value;
  }
}

class Distribution implements Histogram {
  readonly #bounds: readonly number[];
  /** Not cumulative; the last one is `+Inf`. */
  readonly counts: Float64Array;
  sum = 0;
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }
  observe(value: number): void {
    let at = 0;
    while (at < this.#bounds.length && value > this.#bounds[at]!) at++;
    this.counts[at]!++;
    this.sum += value;
  }
}

const cleanLabel = (text: string): string =>
  text.slice(0, longestLabel).replace(controlCharacters, "\ufffd").toWellFormed();

/** The children of one metric by their label values. */
class Children<Child> {
  readonly names: readonly string[];
  readonly all = new Map<string, { values: readonly string[]; child: Child }>();
  readonly #bounds: readonly number[];
  readonly #seen: readonly Set<string>[];
  readonly #make: () => Child;
  readonly #seriesBound: number;

  constructor(labels: LabelBounds<string>, make: () => Child, seriesBound: number) {
    this.names = Object.keys(labels);
    this.#bounds = Object.values(labels);
    this.#seen = this.names.map(() => new Set<string>());
    this.#make = make;
    this.#seriesBound = seriesBound;
    if (this.names.length === 0) this.labels({});
  }

  clear(): void {
    this.all.clear();
    for (const seen of this.#seen) seen.clear();
  }

  labels(given: Readonly<Record<string, string>>): Child {
    const raw = this.names.map((name) => given[name] ?? "");
    // What would be cleaned is never found: keys hold clean values, and as many of them.
    return this.#find(raw) ?? this.#admitted(raw.map(cleanLabel));
  }

  #admitted(clean: readonly string[]): Child {
    const values = clean.map((value, index) => this.#admit(index, value));
    return this.#find(values) ?? this.#create(values);
  }

  /** The value itself while its label has room, else `overflow`. */
  #admit(index: number, value: string): string {
    const seen = this.#seen[index]!;
    if (seen.has(value)) return value;
    if (seen.size >= this.#bounds[index]!) return overflow;
    seen.add(value);
    return value;
  }

  /** Values hold no control character, so the separator makes the key unambiguous. */
  #find(values: readonly string[]): Child | undefined {
    return this.all.get(values.join("\n"))?.child;
  }

  #create(values: readonly string[]): Child {
    const kept = this.all.size < this.#seriesBound ? values : values.map(() => overflow);
    const known = this.#find(kept);
    if (known !== undefined) return known;
    const child = this.#make();
    this.all.set(kept.join("\n"), { values: kept, child });
    return child;
  }
}

type Registered = {
  readonly definition: MetricDefinition;
  readonly series: () => Iterable<Series>;
  readonly names: readonly string[];
};

export class Registry {
  readonly #families = new Map<string, Registered>();
  readonly #collectors: (() => void)[] = [];
  readonly #seriesBound: number;

  constructor(options: { seriesBound?: number } = {}) {
    this.#seriesBound = options.seriesBound ?? defaultSeriesBound;
  }

  counter<L extends string>(definition: CounterDefinition<L>): Family<L, Counter> {
    return this.#scalars(definition);
  }

  gauge<L extends string>(definition: GaugeDefinition<L>): GaugeFamily<L> {
    return this.#scalars(definition);
  }

  histogram<L extends string>(definition: HistogramDefinition<L>): Family<L, Histogram> {
    const children = new Children(definition.labels, () => new Distribution(definition.buckets), this.#seriesBound);
    this.#register(definition, children, (entry) => ({ kind: "distribution", ...entry }));
    return children;
  }

  /** `collect` runs before each rendering: for values that are cheaper to read than to follow. */
  onRender(collect: () => void): void {
    this.#collectors.push(collect);
  }

  /** Names of all metrics, for the comparison with the docs. */
  names(): readonly string[] {
    return [...this.#families.keys()];
  }

  /** Series of all metrics together. */
  seriesCount(): number {
    let count = 0;
    for (const family of this.#families.values()) for (const _ of family.series()) count++;
    return count;
  }

  render(format: Format): string {
    for (const collect of this.#collectors) collect();
    const text: string[] = [];
    for (const { definition, names, series } of this.#families.values())
      renderFamily(text, format, { definition, names, series: series() });
    text.push(formats[format].end);
    return text.join("");
  }

  #scalars(definition: MetricDefinition): Children<Scalar> {
    const children = new Children(definition.labels, () => new Scalar(), this.#seriesBound);
    this.#register(definition, children, (entry) => ({ kind: "scalar", ...entry }));
    return children;
  }

  #register<Child>(
    definition: MetricDefinition,
    children: Children<Child>,
    toSeries: (entry: { values: readonly string[]; child: Child }) => Series,
  ): void {
    const { name } = definition;
    if (!metricName.test(name) || (definition.type === "counter") !== name.endsWith("_total"))
      throw new Error(`metric name ${name} is not of the form`);
    if (this.#families.has(name)) throw new Error(`metric ${name} is registered twice`);
    const wrong = children.names.find((label) => !labelName.test(label) || label === "le");
    if (wrong !== undefined) throw new Error(`label ${wrong} of metric ${name} is not of the form`);
    this.#families.set(name, { definition, names: children.names, series: () => children.all.values().map(toSeries) });
  }
}
