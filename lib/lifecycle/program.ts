/**
 * The life of a program that stays: settings, log, start, ready, drain, exit code.
 *
 *   settings -> starting -> ready -> SIGTERM or SIGINT -> draining -> stopped
 *
 * Nothing that was logged is lost at the end: the process exits when stdout has taken it, the fatal line too, and after
 * a deadline whatever a reader that hangs has not taken. Only the first signal counts: another one must not cut short
 * what is draining.
 */
import { systemClock } from "../clock/clock.ts";
import type { Clock } from "../clock/clock.ts";
import { SettingsError } from "../config/settings.ts";
import type { Environment } from "../config/settings.ts";
import { createLineWriter } from "../log/line-writer.ts";
import type { LineWriter } from "../log/line-writer.ts";
import { createLog, formatLine } from "../log/log.ts";
import type { Fields, Level, Log } from "../log/log.ts";
import { exitCodes } from "./exit-codes.ts";

export type Surroundings = {
  readonly clock: Clock;
  readonly log: Log;
  /** Lines that the log's writer lost so far. */
  readonly droppedLogLines: () => number;
  /** The log's reader does not take lines: the next one may be lost. */
  readonly logIsFull: () => boolean;
};

export type Running = {
  /** Resolves with what the line `ready` says. */
  ready(): Promise<Fields>;
  /** What the line `draining` says beside the signal. */
  draining?(): Fields;
  /** Takes nothing new, lets what is open end. */
  stop(): Promise<void>;
};

type ErrorClass = new (...args: never[]) => Error;

type Config = {
  readonly logLevel: Level;
  /** `TENCRYPT_` variables that nothing read. */
  readonly unread: readonly string[];
};

export type Program<C extends Config> = {
  readonly env: Environment;
  readonly readConfig: (env: Environment) => C;
  readonly start: (config: C, surroundings: Surroundings) => Promise<Running>;
  /** Errors at the start that an operator has to mend: their message is one line, and the exit code 64. */
  readonly unfit: readonly ErrorClass[];
};

/** How long the last lines may take. */
const lastLinesMs = 1_000;

type Failure = { readonly event: string; readonly fields: Fields; readonly code: number };

const unforeseen = (error: unknown): Failure => ({
  event: "internal_error",
  fields: { error: error instanceof Error ? (error.stack ?? error.message) : String(error) },
  code: exitCodes.internal,
});

/** What an error that keeps a program from doing its work means. */
export function failureOf(error: unknown, unfit: readonly ErrorClass[]): Failure {
  if (error instanceof SettingsError)
    return { event: "bad_configuration", fields: { problems: error.problems }, code: exitCodes.badConfiguration };
  if (error instanceof Error && unfit.some((each) => error instanceof each))
    return { event: "cannot_start", fields: { problem: error.message }, code: exitCodes.badConfiguration };
  return unforeseen(error);
}

/** A warning only: another release's setting is no reason not to start. */
export function warnOfUnread(log: Log, names: readonly string[]): void {
  if (names.length > 0) log("warn", "settings_unread", { names });
}

export function runProgram<C extends Config>(program: Program<C>): Promise<void> {
  const life = new Life();
  process.on("uncaughtException", (error) => life.fail(unforeseen(error)));
  process.on("SIGTERM", (signal) => void life.drain(signal));
  process.on("SIGINT", (signal) => void life.drain(signal));
  return life.begin(program);
}

class Life {
  readonly #lines: LineWriter;
  #log: Log;
  #running: Running | null = null;
  #isDraining = false;
  #isEnding = false;

  constructor() {
    const gap = (count: number): string => formatLine(systemClock.now(), "warn", "log_lines_dropped", { count });
    this.#lines = createLineWriter(process.stdout, systemClock, gap);
    this.#log = this.#createLog("info");
  }

  async begin<C extends Config>({ env, readConfig, start, unfit }: Program<C>): Promise<void> {
    try {
      const config = readConfig(env);
      const log = this.#createLog(config.logLevel);
      this.#log = log;
      log("info", "starting", { settings: config });
      warnOfUnread(log, config.unread);
      const droppedLogLines = (): number => this.#lines.dropped();
      const logIsFull = (): boolean => this.#lines.isFull();
      this.#running = await start(config, { clock: systemClock, log, droppedLogLines, logIsFull });
      const facts = await this.#running.ready();
      if (!this.#isDraining) log("info", "ready", facts);
    } catch (error) {
      this.fail(failureOf(error, unfit));
    }
  }

  fail({ event, fields, code }: Failure): void {
    this.#log("error", event, fields);
    this.#end(code);
  }

  /** A signal that comes before there is anything to drain ends the program at once. */
  async drain(signal: string): Promise<void> {
    if (this.#isDraining || this.#isEnding) return;
    this.#isDraining = true;
    this.#log("info", "draining", { signal, ...this.#running?.draining?.() });
    await this.#running?.stop();
    this.#log("info", "stopped");
    this.#end(exitCodes.done);
  }

  #createLog(level: Level): Log {
    return createLog({ level, now: systemClock.now, write: (line) => this.#lines.write(line) });
  }

  /** The first end counts: what fails while the last lines are written is a consequence. */
  #end(code: number): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    process.exitCode = code;
    void this.#lines.flush(lastLinesMs).then(() => process.exit(code));
  }
}
