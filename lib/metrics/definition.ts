/**
 * What a metric is called, means and may be labelled with; and a series as it is rendered. Pure.
 */

/** The labels and how many distinct values each may take before `overflow`. */
export type LabelBounds<L extends string> = Readonly<Record<L, number>>;

type Described<L extends string> = { readonly name: string; readonly help: string; readonly labels: LabelBounds<L> };
/** The name ends with `_total`. */
export type CounterDefinition<L extends string> = Described<L> & { readonly type: "counter" };
export type GaugeDefinition<L extends string> = Described<L> & { readonly type: "gauge" };
/** `buckets` are upper bounds in rising order; `+Inf` is added. */
export type HistogramDefinition<L extends string> = Described<L> & {
  readonly type: "histogram";
  readonly buckets: readonly number[];
};
export type MetricDefinition<L extends string = string> =
  | CounterDefinition<L>
  | GaugeDefinition<L>
  | HistogramDefinition<L>;

export type ScalarSeries = {
  readonly kind: "scalar";
  readonly values: readonly string[];
  readonly child: { readonly value: number };
};
export type DistributionSeries = {
  readonly kind: "distribution";
  readonly values: readonly string[];
  /** `counts` are not cumulative; the last one is `+Inf`. */
  readonly child: { readonly counts: Float64Array; readonly sum: number };
};
export type Series = ScalarSeries | DistributionSeries;
