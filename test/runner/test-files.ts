/**
 * Finds and runs the test files, each in a process of its own through node:test's `run()`. Counted are the tests, not
 * the describe blocks around them; a file that holds no test, ends with another exit code than 0 or does not end at
 * all is a failure of its own.
 */
import { globSync } from "node:fs";
import { run } from "node:test";
import { relative, resolve } from "node:path";
import { inspect, stripVTControlCharacters } from "node:util";
import { printFile } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";

/** Files below these use the kernel's network state or measure time, so nothing runs beside them. */
const alone: readonly string[] = ["test/netns/", "test/integration/", "test/demo/"];

const fileDeadlineMs = 10 * 60_000;

export function findTestFiles(): readonly string[] {
  return globSync("test/**/*.test.ts")
    .filter((path) => !path.includes("/fixtures/"))
    .toSorted();
}

/** `unit` selects test/unit/..., `netns/init` every file whose path begins with test/netns/init. */
export const selects = (selector: string, path: string): boolean =>
  path.startsWith(`test/${selector.replace(/^(?:\.\/)?test\//, "")}`);

type TestEvent = {
  readonly name: string;
  readonly file?: string;
  readonly entryFile?: string;
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly details: { readonly type?: string; readonly duration_ms: number; readonly error?: Error };
};

function detailOf(error: Error | undefined): string {
  if (error === undefined) return "failed without an error";
  const cause = error.cause ?? error;
  return stripVTControlCharacters(typeof cause === "string" ? cause : inspect(cause, { depth: 4 }));
}

function outcomeOf(path: string, event: TestEvent, passed: boolean): Outcome {
  const name = `${path}: ${event.name}`;
  const ms = event.details.duration_ms;
  if (event.todo !== undefined) return { kind: "failed", name, ms, detail: "a test is written or not there: no todo" };
  if (!passed) return { kind: "failed", name, ms, detail: detailOf(event.details.error) };
  if (event.skip === undefined || event.skip === false) return { kind: "passed", name, ms };
  if (typeof event.skip === "string" && event.skip !== "") return { kind: "skipped", name, ms, reason: event.skip };
  return { kind: "failed", name, ms, detail: "skipped without a reason" };
}

async function runFile(path: string, stop: AbortSignal): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  const output: string[] = [];
  const deadline = AbortSignal.timeout(fileDeadlineMs);
  const started = performance.now();
  let fileFailed = false;
  const events = run({ files: [resolve(path)], isolation: "process", signal: AbortSignal.any([stop, deadline]) });
  for await (const { type, data } of events as AsyncIterable<{ type: string; data: unknown }>) {
    if (type === "test:stdout" || type === "test:stderr") output.push((data as { message: string }).message);
    const event = data as TestEvent;
    // The event of the file itself carries no entry file; its completion alone tells of a bad exit code.
    const ofFile = event.entryFile === undefined && event.name !== undefined && resolve(event.name) === resolve(path);
    if (ofFile && type === "test:complete")
      fileFailed ||= (data as { details: { passed?: boolean } }).details.passed === false;
    if (ofFile || (type !== "test:pass" && type !== "test:fail") || event.details.type === "suite") continue;
    outcomes.push(outcomeOf(path, event, type === "test:pass"));
  }
  const ms = performance.now() - started;
  const fail = (detail: string): void => void outcomes.push({ kind: "failed", name: path, ms, detail });
  if (deadline.aborted) fail(`did not end within ${fileDeadlineMs / 1000} s\n${output.join("")}`);
  else if (outcomes.length === 0) fail(`no test ran\n${output.join("")}`);
  else if (fileFailed && !outcomes.some((outcome) => outcome.kind === "failed")) {
    fail(`every test passed, but the process ended with an error\n${output.join("")}`);
  }
  const failed = outcomes.some((outcome) => outcome.kind === "failed");
  printFile(relative(".", path), outcomes, ms);
  if (failed && output.length > 0) console.log(output.join("").replaceAll(/^/gm, "      | ").slice(-20_000));
  return outcomes;
}

async function runPool(paths: readonly string[], workers: number, stop: AbortSignal): Promise<readonly Outcome[]> {
  const queue = [...paths];
  const outcomes: Outcome[] = [];
  const work = async (): Promise<void> => {
    for (let path = queue.shift(); path !== undefined && !stop.aborted; path = queue.shift()) {
      outcomes.push(...(await runFile(path, stop)));
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return outcomes;
}

/** Runs what may share the machine two files at a time, then the rest one by one. */
export async function runTestFiles(paths: readonly string[], stop: AbortSignal): Promise<readonly Outcome[]> {
  const isAlone = (path: string): boolean => alone.some((folder) => path.startsWith(folder));
  const shared = await runPool(
    paths.filter((path) => !isAlone(path)),
    2,
    stop,
  );
  return [...shared, ...(await runPool(paths.filter(isAlone), 1, stop))];
}
