/**
 * A long-lived process and what it says: every line of its output, parsed where it is JSON.
 *
 * Waiting is always for a line or for the end, never for time: the deadline of a wait only turns a hang into a failure,
 * which shows the last lines. A wait also sees lines that came before it, unless it is told from which line on.
 */
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import type { ChildProcessByStdio } from "node:child_process";
import type { Readable, Writable } from "node:stream";

export type Json = Readonly<Record<string, unknown>>;
export type Line = { readonly stream: "stdout" | "stderr"; readonly text: string; readonly json: Json | null };
export type End = { readonly code: number | null; readonly signal: NodeJS.Signals | null };
export type WaitOptions = { readonly from?: number; readonly timeoutMs?: number; readonly what?: string };

/** Generous: it ends a hang, it measures nothing. */
const defaultDeadlineMs = 30_000;
const tailLines = 15;

type Waiter = {
  readonly match: (line: Line) => boolean;
  readonly found: (line: Line) => void;
  readonly ended: () => void;
};

function parse(text: string): Json | null {
  if (!text.startsWith("{")) return null;
  try {
    const value: unknown = JSON.parse(text);
    return value as Json;
  } catch {
    return null;
  }
}

export class Child {
  readonly name: string;
  readonly lines: Line[] = [];
  readonly exited: Promise<End>;
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #waiters = new Set<Waiter>();
  #end: End | null = null;
  #nextRequest = 1;

  constructor(name: string, argv: readonly string[], env: Readonly<Record<string, string>>) {
    this.name = name;
    // A session of its own: Ctrl-C reaches only the process that has to clean up.
    this.#process = spawn(argv[0]!, argv.slice(1), {
      cwd: "/",
      detached: true,
      env: { ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#process.stdin.on("error", () => {}); // a process that has ended reads nothing; `exited` tells
    this.#read("stdout", this.#process.stdout);
    this.#read("stderr", this.#process.stderr);
    this.exited = new Promise((resolve) => {
      this.#process.on("error", (error) => this.#add({ stream: "stderr", text: String(error), json: null }));
      this.#process.on("close", (code, signal) => {
        this.#end = { code, signal };
        for (const waiter of this.#waiters) waiter.ended();
        resolve(this.#end);
      });
    });
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  get end(): End | null {
    return this.#end;
  }

  /** To be handed to a later wait as `from`. */
  get position(): number {
    return this.lines.length;
  }

  #read(stream: Line["stream"], source: Readable): void {
    let rest = "";
    source.setEncoding("utf8");
    source.on("data", (chunk: string) => {
      const texts = (rest + chunk).split("\n");
      rest = texts.pop() ?? "";
      for (const text of texts) this.#add({ stream, text, json: parse(text) });
    });
    source.on("end", () => rest !== "" && this.#add({ stream, text: rest, json: parse(rest) }));
  }

  #add(line: Line): void {
    this.lines.push(line);
    for (const waiter of this.#waiters) if (waiter.match(line)) waiter.found(line);
  }

  /** The first line from `from` on that matches. */
  waitForLine(match: (line: Line) => boolean, options: WaitOptions = {}): Promise<Line> {
    const past = this.lines.slice(options.from ?? 0).find(match);
    if (past !== undefined) return Promise.resolve(past);
    const what = options.what ?? "a line";
    const deadlineMs = options.timeoutMs ?? defaultDeadlineMs;
    return new Promise((resolve, reject) => {
      const settle = (how: () => void): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        how();
      };
      const fail = (why: string): void =>
        settle(() => reject(new Error(`${this.name}: ${what}: ${why}\n${this.tail()}`)));
      const timer = setTimeout(() => fail(`nothing within ${deadlineMs} ms`), deadlineMs);
      const waiter: Waiter = {
        match,
        found: (line) => settle(() => resolve(line)),
        ended: () => fail(`the process ended first (${JSON.stringify(this.#end)})`),
      };
      this.#waiters.add(waiter);
      if (this.#end !== null) waiter.ended();
    });
  }

  /** The first JSON line with that `event`, and with `where` if given. */
  async event(name: string, where: (fields: Json) => boolean = () => true, options: WaitOptions = {}): Promise<Json> {
    const match = (line: Line): boolean => line.json !== null && line.json["event"] === name && where(line.json);
    const line = await this.waitForLine(match, { what: `event ${name}`, ...options });
    return line.json!;
  }

  /** All JSON lines so far with that `event`. */
  events(name: string, from = 0): readonly Json[] {
    return this.lines.slice(from).flatMap(({ json }) => (json !== null && json["event"] === name ? [json] : []));
  }

  /** Writes one JSON line to the process. */
  send(command: Json): void {
    this.#process.stdin.write(`${JSON.stringify(command)}\n`);
  }

  /** Asks a program of `apps/` for something; its answer carries the same `id`. */
  async request(command: Json, options: WaitOptions = {}): Promise<Json> {
    const id = this.#nextRequest++;
    const from = this.position;
    this.send({ ...command, id });
    const what = `the answer to ${JSON.stringify(command)}`;
    const line = await this.waitForLine(({ json }) => json !== null && json["id"] === id, { from, what, ...options });
    return line.json!;
  }

  endInput(text = ""): void {
    this.#process.stdin.end(text);
  }

  /** Writes all lines, those to come too, to a file. */
  copyTo(path: string): void {
    const write = ({ text }: Line): void => appendFileSync(path, `${text}\n`);
    for (const line of this.lines) write(line);
    this.#waiters.add({ match: (line) => (write(line), false), found: () => {}, ended: () => {} });
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    if (this.#end === null) this.#process.kill(signal);
  }

  /** Sends the signal and waits for the end; kills what does not obey within the deadline. */
  async stop(signal: NodeJS.Signals = "SIGTERM", deadlineMs: number = defaultDeadlineMs): Promise<End> {
    this.kill(signal);
    const timer = setTimeout(() => this.kill("SIGKILL"), deadlineMs);
    const end = await this.exited;
    clearTimeout(timer);
    return end;
  }

  tail(): string {
    return this.lines
      .slice(-tailLines)
      .map(({ stream, text }) => `  ${stream === "stderr" ? "!" : "|"} ${text}`)
      .join("\n");
  }
}

export type Outcome = End & { readonly stdout: string; readonly stderr: string };

/** Runs a command to its end; kills it at the deadline. */
export async function run(
  argv: readonly string[],
  options: {
    env?: Readonly<Record<string, string>>;
    stdin?: string;
    timeoutMs?: number;
    started?: (child: Child) => void;
  } = {},
): Promise<Outcome> {
  const child = new Child(argv.join(" "), argv, options.env ?? basicEnvironment);
  options.started?.(child);
  child.endInput(options.stdin);
  const timer = setTimeout(() => child.kill(), options.timeoutMs ?? defaultDeadlineMs);
  const end = await child.exited;
  clearTimeout(timer);
  const text = (stream: Line["stream"]): string =>
    child.lines.flatMap((line) => (line.stream === stream ? [`${line.text}\n`] : [])).join("");
  return { ...end, stdout: text("stdout"), stderr: text("stderr") };
}

/** What every process gets; nothing of the caller's environment is handed on. */
export const basicEnvironment: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
};

/** Runs a command that has to succeed. */
export async function must(argv: readonly string[], stdin?: string): Promise<string> {
  const outcome = await run(argv, stdin === undefined ? {} : { stdin });
  if (outcome.code !== 0)
    throw new Error(`${argv.join(" ")}: exit ${outcome.code ?? outcome.signal}: ${outcome.stderr || outcome.stdout}`);
  return outcome.stdout;
}
