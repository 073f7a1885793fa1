/**
 * Finds and runs the test files, each in a process of its own through node:test's `run()`. Counted are the tests, not
 * the describe blocks around them, unless a block is skipped as a whole or its hook fails; a file that holds no test, ends
 * with another exit code than 0 or does not end at all is a failure of its own.
 */
import { globSync } from "node:fs";
import { run } from "node:test";
import { resolve } from "node:path";
import { inspect, stripVTControlCharacters } from "node:util";
import { printFile } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import { shares, startSharedCluster } from "./shared-cluster.ts";

/** Files that say how long something may take, but wait for most of it: these run beside one another, and beside nothing else. */
const calm: readonly string[] = [
  "test/e2e/brought-root",
  "test/e2e/control-plane-down",
  "test/netns/frozen-peer",
  "test/netns/hindered",
  "test/netns/reauthentication",
  "test/netns/session-ends",
];
/** Files that say how long something may take, or put load on the machine: nothing runs beside them. */
const alone: readonly string[] = [
  "test/e2e/rollout",
  "test/integration/ca/bundle",
  "test/integration/controller/directory",
  "test/integration/proxy/probe",
  "test/netns/descriptors",
  "test/netns/directory",
  "test/netns/http2-floods",
  "test/netns/killed-proxy",
  "test/netns/late-pod",
  "test/netns/many-connections",
  "test/netns/poor-network",
  "test/netns/resets",
  "test/netns/slow-",
];

/** A file that has not ended by then is ended; what its tests did so far is shown. */
const fileDeadlineMs = Number(process.env["TEST_FILE_SECONDS"] ?? "240") * 1000;
/** Each of these brings up a cluster of its own and waits for what kubelets do in their time. */
const slow: readonly string[] = ["test/cluster/", "test/e2e/"];
const slowFactor = 3;

const deadlineOf = (path: string): number => fileDeadlineMs * (startsWithOneOf(path, slow) ? slowFactor : 1);
/** How often a file that is slow says that it still runs. */
const stillRunningMs = 60_000;

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
  readonly details: {
    readonly type?: string;
    readonly duration_ms: number;
    readonly passed?: boolean;
    readonly error?: Error & { readonly failureType?: string };
  };
};

/** Of blocks count only those that were skipped, and those whose hook failed: their tests do not say why they did not run. */
const counts = ({ skip, details: { type, error } }: TestEvent): boolean =>
  type !== "suite" || skip !== undefined || error?.failureType === "hookFailed";

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

/** Everything that the process of one file has told. */
type Record = { readonly outcomes: Outcome[]; readonly output: string[]; endedBadly: boolean };

async function listen(path: string, signal: AbortSignal, more: Environment): Promise<Record> {
  const record: Record = { outcomes: [], output: [], endedBadly: false };
  const events: AsyncIterable<{ readonly type: string; readonly data: unknown }> = run({
    files: [resolve(path)],
    isolation: "process",
    env: { ...process.env, ...more },
    signal,
  });
  for await (const { type, data } of events) {
    if (type === "test:stdout" || type === "test:stderr") record.output.push((data as { message: string }).message);
    if (type !== "test:pass" && type !== "test:fail" && type !== "test:complete") continue;
    const event = data as TestEvent;
    if (event.entryFile === undefined && resolve(event.name) === resolve(path)) {
      // The event of the file itself carries no entry file; its completion alone tells of a bad exit code.
      record.endedBadly ||= event.details.passed === false;
    } else if (type !== "test:complete" && counts(event)) {
      record.outcomes.push(outcomeOf(path, event, type === "test:pass"));
    }
  }
  return record;
}

/** What is wrong with the file as a whole, though none of its tests failed. */
function fileFault({ outcomes, endedBadly }: Record, lateMs: number | null): string | null {
  if (lateMs !== null) return `did not end within ${lateMs / 1000} s`;
  if (outcomes.length === 0) return "no test ran";
  if (endedBadly && outcomes.every((outcome) => outcome.kind !== "failed")) {
    return "every test passed, but the process ended with an error";
  }
  return null;
}

type Environment = Readonly<Partial<{ [name: string]: string }>>;

async function runFile(path: string, stop: AbortSignal, more: Environment = {}): Promise<readonly Outcome[]> {
  const deadline = AbortSignal.timeout(deadlineOf(path));
  const started = performance.now();
  const patience = setInterval(() => console.log(`  … ${path} still runs`), stillRunningMs);
  const record = await listen(path, AbortSignal.any([stop, deadline]), more).finally(() => clearInterval(patience));
  const ms = performance.now() - started;
  const fault = stop.aborted ? null : fileFault(record, deadline.aborted ? deadlineOf(path) : null);
  const outcomes: readonly Outcome[] =
    fault === null ? record.outcomes : [...record.outcomes, { kind: "failed", name: path, ms, detail: fault }];
  printFile(path, outcomes, ms);
  if (outcomes.some((outcome) => outcome.kind === "failed")) {
    console.log(record.output.join("").slice(-20_000).trimEnd().replaceAll(/^/gm, "      | "));
  }
  return outcomes;
}

const startsWithOneOf = (path: string, beginnings: readonly string[]): boolean =>
  beginnings.some((beginning) => path.startsWith(beginning));

/** Files that run one after the other, in one place of the queue. */
type Job = readonly string[];

async function runInOneCluster(job: Job, stop: AbortSignal): Promise<readonly Outcome[]> {
  const started = performance.now();
  const outcomes: Outcome[] = [];
  let cluster: Awaited<ReturnType<typeof startSharedCluster>> = null;
  try {
    cluster = await startSharedCluster();
    for (const path of job) if (!stop.aborted) outcomes.push(...(await runFile(path, stop, cluster?.env)));
    await cluster?.stop();
  } catch (error) {
    const name = `the cluster of ${job.join(", ")}`;
    outcomes.push({ kind: "failed", name, ms: performance.now() - started, detail: inspect(error) });
    printFile(name, outcomes.slice(-1), performance.now() - started);
  }
  return outcomes;
}

const runJob = (job: Job, stop: AbortSignal): Promise<readonly Outcome[]> =>
  job.length === 1 ? runFile(job[0]!, stop) : runInOneCluster(job, stop);

/** Clusters, which mostly wait, stand first, and what uses the processor last. */
function queueOf(files: readonly string[]): Job[] {
  const [clusters, others] = partition(files, (path) => startsWithOneOf(path, slow));
  const [inOne, inTheirOwn] = partition(clusters, shares);
  return [...(inOne.length === 0 ? [] : [inOne]), ...jobs(inTheirOwn), ...jobs(others.toReversed())];
}

/**
 * Runs what may share the machine three files at a time: two from the beginning of the queue, which mostly wait, and one from its end.
 * Then what is calm, likewise, and the rest one by one.
 */
export async function runTestFiles(paths: readonly string[], stop: AbortSignal): Promise<readonly Outcome[]> {
  const [onTheirOwn, others] = partition(paths, (path) => startsWithOneOf(path, alone));
  const [waiting, together] = partition(others, (path) => startsWithOneOf(path, calm)).map(queueOf) as [Job[], Job[]];
  const outcomes: Outcome[] = [];
  const work = async (next: () => Job | undefined): Promise<void> => {
    for (let job = next(); job !== undefined && !stop.aborted; job = next())
      outcomes.push(...(await runJob(job, stop)));
  };
  for (const queue of [together, waiting]) {
    const [first, last] = [() => queue.shift(), () => queue.pop()];
    await Promise.all([work(first), work(first), work(last)]);
  }
  const rest = jobs(onTheirOwn);
  await work(() => rest.shift());
  return outcomes;
}

const jobs = (paths: readonly string[]): Job[] => paths.map((path) => [path]);

function partition(paths: readonly string[], holds: (path: string) => boolean): readonly [string[], string[]] {
  return [paths.filter((path) => holds(path)), paths.filter((path) => !holds(path))];
}
