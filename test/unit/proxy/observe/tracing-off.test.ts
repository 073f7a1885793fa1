/** Without an endpoint tracing costs nothing, not even a package that is loaded. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

const url = (path: string): string => JSON.stringify(new URL(`../../../../${path}`, import.meta.url).href);

/** Observes one connection in a process of its own and tells which packages were loaded for it. */
const child = `
  import { registerHooks } from "node:module";
  const packages = new Set();
  registerHooks({
    resolve: (specifier, context, next) => {
      const resolved = next(specifier, context);
      const found = /node_modules\\/(@[^/]+\\/[^/]+|[^/]+)/.exec(resolved.url);
      if (found !== null) packages.add(found[1]);
      return resolved;
    },
  });
  const { startObserving } = await import(${url("proxy/observe/observe.ts")});
  const { readTracingSettings } = await import(${url("proxy/observe/tracing-settings.ts")});
  const { Settings } = await import(${url("lib/config/settings.ts")});
  const { Registry } = await import(${url("lib/metrics/registry.ts")});
  const { systemClock } = await import(${url("lib/clock/clock.ts")});
  const { events } = await import(${url("proxy/observe/events.ts")});
  const { record } = await import(${url("test/unit/proxy/observe/records.ts")});
  const registry = new Registry();
  const observing = await startObserving({
    settings: { tracing: readTracingSettings(new Settings(process.env)), connections: "all" },
    facts: { identity: "i", project: "p", podName: "n", podUid: "u", version: "0", startedAt: 0 },
    log: () => {}, clock: systemClock, registry, droppedLogLines: () => 0,
    connect: () => { throw new Error("no route"); },
  });
  events.connectionOpened.publish(record());
  events.connectionClosed.publish(record());
  await observing.stop();
  const counted = registry.render("prometheus").includes('flow="sent"} 120');
  process.stdout.write(JSON.stringify({ counted, packages: [...packages] }));
  process.exit(0);
`;

function observe(env: Record<string, string>): { counted: boolean; packages: string[] } {
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", child], {
    env,
    encoding: "utf8",
    timeout: 30_000,
  });
  return JSON.parse(output) as ReturnType<typeof observe>;
}

test("with tracing off no package at all is loaded, and connections are counted all the same", () => {
  assert.deepEqual(observe({}), { counted: true, packages: [] });
});

test("with an endpoint the SDK is loaded: the test above can fail", () => {
  const { packages } = observe({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector.invalid:4318" });
  assert.ok(packages.includes("@opentelemetry/sdk-trace"), packages.join());
});
