/** The text of metrics in both formats, and its bounds: label values make no series without end and forge no line. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { negotiate } from "../../../../lib/metrics/exposition.ts";
import { Registry } from "../../../../lib/metrics/registry.ts";

const requests = {
  type: "counter",
  name: "app_requests_total",
  help: "Requests.",
  labels: { project: 3, reason: 2 },
} as const;
const seconds = {
  type: "histogram",
  name: "app_seconds",
  help: 'Time "taken".',
  labels: { way: 2 },
  buckets: [0.5, 1],
} as const;
const version = { type: "gauge", name: "app_version", help: "Version.", labels: {} } as const;

test("a bound child counts and the text is Prometheus 0.0.4", () => {
  const registry = new Registry();
  const child = registry.counter(requests).labels({ project: "shop", reason: "a" });
  child.add();
  child.add(2);
  const histogram = registry.histogram(seconds).labels({ way: "in" });
  for (const value of [0.5, 0.7, 1, 9]) histogram.observe(value);
  registry.gauge(version).labels({}).set(17);
  assert.equal(
    registry.render("prometheus"),
    [
      "# HELP app_requests_total Requests.",
      "# TYPE app_requests_total counter",
      'app_requests_total{project="shop",reason="a"} 3',
      '# HELP app_seconds Time "taken".',
      "# TYPE app_seconds histogram",
      'app_seconds_bucket{way="in",le="0.5"} 1',
      'app_seconds_bucket{way="in",le="1"} 3',
      'app_seconds_bucket{way="in",le="+Inf"} 4',
      'app_seconds_sum{way="in"} 11.2',
      'app_seconds_count{way="in"} 4',
      "# HELP app_version Version.",
      "# TYPE app_version gauge",
      "app_version 17",
      "",
    ].join("\n"),
  );
});

test("OpenMetrics names the counter's family without its suffix, writes bounds as floats and ends with EOF", () => {
  const registry = new Registry();
  registry.counter(requests).labels({ project: "shop", reason: "a" }).add();
  registry.histogram(seconds).labels({ way: "in" }).observe(2);
  assert.equal(
    registry.render("openmetrics"),
    [
      "# HELP app_requests Requests.",
      "# TYPE app_requests counter",
      'app_requests_total{project="shop",reason="a"} 1',
      '# HELP app_seconds Time \\"taken\\".',
      "# TYPE app_seconds histogram",
      'app_seconds_bucket{way="in",le="0.5"} 0',
      'app_seconds_bucket{way="in",le="1.0"} 0',
      'app_seconds_bucket{way="in",le="+Inf"} 1',
      'app_seconds_sum{way="in"} 2',
      'app_seconds_count{way="in"} 1',
      "# EOF",
      "",
    ].join("\n"),
  );
});

test("10 000 distinct values of a label make a constant number of series, and the other labels keep their meaning", () => {
  const registry = new Registry();
  const family = registry.counter(requests);
  for (let at = 0; at < 10_000; at++) family.labels({ project: `p${at}`, reason: "a" }).add();
  assert.equal(registry.seriesCount(), 4);
  assert.match(registry.render("prometheus"), /\{project="overflow",reason="a"\} 9997\n/);
});

test("a family is bounded as a whole", () => {
  const registry = new Registry({ seriesBound: 10 });
  const family = registry.counter({ ...requests, labels: { project: 50, reason: 50 } });
  for (let at = 0; at < 50; at++)
    for (let other = 0; other < 50; other++) family.labels({ project: `p${at}`, reason: `r${other}` }).add();
  assert.equal(registry.seriesCount(), 11);
  assert.match(registry.render("prometheus"), /\{project="overflow",reason="overflow"\} 2490\n/);
});

test("a label value cannot forge a line", () => {
  const registry = new Registry();
  registry
    .counter(requests)
    .labels({ project: 'a"} 1\napp_forged 1\r\u001b\\', reason: "\ud800".repeat(100_000) })
    .add();
  const lines = registry.render("prometheus").trimEnd().split("\n");
  assert.equal(lines.length, 3);
  assert.equal(
    lines[2],
    `app_requests_total{project="a\\"} 1\ufffdapp_forged 1\ufffd\ufffd\\\\",reason="${"\ufffd".repeat(128)}"} 1`,
  );
});

test("values that are equal after cleaning share a child", () => {
  const registry = new Registry();
  const family = registry.counter(requests);
  assert.equal(family.labels({ project: "a\n", reason: "" }), family.labels({ project: "a\r", reason: "" }));
  assert.notEqual(family.labels({ project: "a", reason: "bc" }), family.labels({ project: "ab", reason: "c" }));
});

test("collectors run before each rendering", () => {
  const registry = new Registry();
  const gauge = registry.gauge(version).labels({});
  let now = 0;
  registry.onRender(() => gauge.set(++now));
  assert.match(registry.render("prometheus"), /^app_version 1$/m);
  assert.match(registry.render("prometheus"), /^app_version 2$/m);
});

test("a wrong or doubled name is a programming error", () => {
  const registry = new Registry();
  registry.gauge(version);
  assert.throws(() => registry.gauge(version), { message: "metric app_version is registered twice" });
  assert.throws(() => registry.counter({ ...requests, name: "app_requests" }), {
    message: "metric name app_requests is not of the form",
  });
  assert.throws(() => registry.gauge({ ...version, name: "app_x_total" }), {
    message: "metric name app_x_total is not of the form",
  });
  assert.throws(() => registry.gauge({ ...version, name: "app_y", labels: { le: 1 } }), {
    message: "label le of metric app_y is not of the form",
  });
});

test("special numbers are spelled as the formats want them", () => {
  const registry = new Registry();
  const gauge = registry.gauge(version).labels({});
  for (const [value, text] of [
    [Number.NaN, "NaN"],
    [Infinity, "+Inf"],
    [-Infinity, "-Inf"],
    [1e21, "1e+21"],
  ] as const) {
    gauge.set(value);
    assert.match(registry.render("prometheus"), new RegExp(`^app_version ${text.replace("+", "\\+")}$`, "m"));
  }
});

test("the Accept header chooses the format", () => {
  const cases: readonly [string | undefined, string][] = [
    [undefined, "prometheus"],
    ["*/*", "prometheus"],
    ["text/plain", "prometheus"],
    ["application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", "openmetrics"],
    ["Application/OpenMetrics-Text; version=1.0.0", "openmetrics"],
    ["application/openmetrics-text;q=0.2, text/plain;q=0.8", "prometheus"],
    ["application/openmetrics-text;q=0", "prometheus"],
    ["application/openmetrics-text;q=nonsense", "prometheus"],
    [`${"a".repeat(2_000)},application/openmetrics-text`, "prometheus"],
  ];
  for (const [accept, format] of cases) assert.equal(negotiate(accept), format, String(accept));
});
