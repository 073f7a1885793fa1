/** The OTEL_ settings: defaults, and every problem at once without a credential in it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Settings, SettingsError } from "../../../../lib/config/settings.ts";
import { readTracingSettings } from "../../../../proxy/observe/tracing-settings.ts";
import type { TracingSettings } from "../../../../proxy/observe/tracing-settings.ts";

const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";

function read(env: Record<string, string>): TracingSettings | null {
  const settings = new Settings(env);
  return settings.finish({ tracing: readTracingSettings(settings) }).tracing;
}

function problems(env: Record<string, string>): readonly string[] {
  try {
    read(env);
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
}

test("without an endpoint, or switched off, there is no tracing", () => {
  assert.equal(read({}), null);
  assert.equal(read({ [endpoint]: "http://c:4318", OTEL_SDK_DISABLED: "true" }), null);
  assert.equal(read({ [endpoint]: "http://c:4318", OTEL_TRACES_EXPORTER: "none" }), null);
});

test("the defaults are those of the specification, with a short timeout", () => {
  const tracing = read({ [endpoint]: "http://collector.obs:4318" });
  assert.ok(tracing !== null);
  const { headers, ...rest } = tracing;
  assert.deepEqual(headers(), {});
  assert.deepEqual(rest, {
    url: "http://collector.obs:4318/v1/traces",
    certificateFile: null,
    compression: "none",
    sampling: { ratio: 1, followParent: true },
    serviceName: null,
    resourceAttributes: {},
    queueSize: 2_048,
    batchSize: 512,
    delayMs: 5_000,
    timeoutMs: 4_000,
  });
});

test("the endpoint for traces is used as it is and wins", () => {
  assert.equal(read({ [endpoint]: "http://a:1/base/" })?.url, "http://a:1/base/v1/traces");
  assert.equal(
    read({ [endpoint]: "http://a:1", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://b/x" })?.url,
    "https://b/x",
  );
  assert.equal(
    read({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://[fd00::9]:4318/v1/traces" })?.url,
    "http://[fd00::9]:4318/v1/traces",
  );
});

test("the samplers of the specification", () => {
  const sampling = (name: string, argument?: string): unknown =>
    read({
      [endpoint]: "http://a",
      OTEL_TRACES_SAMPLER: name,
      ...(argument === undefined ? {} : { OTEL_TRACES_SAMPLER_ARG: argument }),
    })?.sampling;
  assert.deepEqual(sampling("always_on"), { ratio: 1, followParent: false });
  assert.deepEqual(sampling("always_off"), { ratio: 0, followParent: false });
  assert.deepEqual(sampling("traceidratio", "0.25"), { ratio: 0.25, followParent: false });
  assert.deepEqual(sampling("parentbased_always_off"), { ratio: 0, followParent: true });
  assert.deepEqual(sampling("parentbased_traceidratio", "0.01"), { ratio: 0.01, followParent: true });
});

test("headers and attributes are percent-decoded, and headers are in no printed configuration", () => {
  const tracing = read({
    [endpoint]: "http://a",
    OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20s3cret, x-a=1",
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: "x-a=2",
    OTEL_RESOURCE_ATTRIBUTES: "team=payments,service.name=x%2Cy",
  });
  assert.deepEqual(tracing?.headers(), { authorization: "Bearer s3cret", "x-a": "2" });
  assert.deepEqual(tracing?.resourceAttributes, { team: "payments", "service.name": "x,y" });
  assert.ok(!JSON.stringify(tracing).includes("s3cret"));
});

test("all problems are told at once, and none of them repeats a credential", () => {
  const told = problems({
    [endpoint]: "http://user:s3cret@collector:4318",
    OTEL_EXPORTER_OTLP_HEADERS: "s3cret",
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: "authorization=s3cret%0d%0ax",
    OTEL_TRACES_SAMPLER: "sometimes",
    OTEL_TRACES_SAMPLER_ARG: "2",
    OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
    OTEL_BSP_MAX_QUEUE_SIZE: "10",
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "11",
  });
  assert.deepEqual(
    told.map((problem) => problem.slice(0, problem.indexOf(" "))).toSorted((one, other) => one.localeCompare(other)),
    [
      "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
      "OTEL_EXPORTER_OTLP_ENDPOINT",
      "OTEL_EXPORTER_OTLP_HEADERS",
      "OTEL_EXPORTER_OTLP_PROTOCOL",
      "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
      "OTEL_TRACES_SAMPLER",
      "OTEL_TRACES_SAMPLER_ARG",
    ],
  );
  assert.ok(!told.join().includes("s3cret"));
});

test("an unusable endpoint is a problem, not tracing switched off", () => {
  for (const text of ["collector:4318", "ftp://a", "//a", "http://"])
    assert.equal(problems({ [endpoint]: text }).length, 1, text);
});

test("an endpoint with a query is refused: it is logged, and a query may hold a key", () => {
  assert.deepEqual(problems({ [endpoint]: "https://c:4318/?api-key=s3cret" }), [
    `${endpoint} is no usable address: expected http:// or https:// without user, password and query`,
  ]);
});
