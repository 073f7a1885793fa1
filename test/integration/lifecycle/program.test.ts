/** The life of a program as a process of its own: what reaches a reader of its stdout, and what its exit code says. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";

type Line = Readonly<Record<string, unknown>> & { readonly event: string };

const url = (path: string): string => JSON.stringify(new URL(`../../../lib/${path}`, import.meta.url).href);

/** `body` is that of a program's start; it knows `log`, `Unfit` and `running`, which it may return. */
const script = (body: string): string => `
  import { once } from "node:events";
  import { systemClock } from ${url("clock/clock.ts")};
  import { Settings } from ${url("config/settings.ts")};
  import { runProgram } from ${url("lifecycle/program.ts")};
  class Unfit extends Error {}
  const running = { ready: async () => ({ since: 1 }), draining: () => ({ open: 2 }), stop: async () => {} };
  setInterval(() => {}, 1_000_000);
  await runProgram({
    env: process.env,
    readConfig: (env) => {
      const settings = new Settings(env);
      const one = settings.integer("TENCRYPT_ONE", { min: 1, max: 1 }, 1);
      return settings.finish({ logLevel: "info", one, two: settings.integer("TENCRYPT_TWO", { min: 2, max: 2 }, 2) });
    },
    start: async (config, { log }) => { ${body} },
    unfit: [Unfit],
  });
`;

function start(t: TestContext, body: string, env: Readonly<Record<string, string>> = {}): ChildProcess {
  const child = spawn(process.execPath, ["--input-type=module", "-e", script(body)], {
    env,
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  return child;
}

class Reader {
  readonly lines: Line[] = [];
  readonly #child: ChildProcess;
  #wake = (): void => {};
  #isClosed = false;

  constructor(child: ChildProcess) {
    this.#child = child;
    createInterface({ input: child.stdout! }).on("line", (text) => {
      this.lines.push(JSON.parse(text) as Line);
      this.#wake();
    });
    child.once("close", () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  async line(event: string, nth = 1): Promise<Line> {
    for (;;) {
      const found = this.lines.filter((line) => line.event === event)[nth - 1];
      if (found !== undefined) return found;
      assert.ok(!this.#isClosed, `ended without ${event}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  get events(): readonly string[] {
    return this.lines.map(({ event }) => event);
  }

  async exitCode(): Promise<number | null> {
    const [code] = (await once(this.#child, "close")) as [number | null];
    return code;
  }
}

const flood = `for (let at = 0; at < 256; at++) log("info", "refused", { pad: "x".repeat(400) });`;

describe("nothing that was logged is lost", () => {
  for (const [how, body] of [
    [
      "an error that nobody catches",
      `setImmediate(() => { ${flood} throw new Error("unforeseen"); }); return running;`,
    ],
    [
      "a promise that nobody waits for",
      `setImmediate(() => { ${flood} void Promise.reject(new Error("unforeseen")); }); return running;`,
    ],
    ["an error of the start", `${flood} throw new Error("unforeseen");`],
  ] as const) {
    test(`when ${how} ends the program, the fatal line included`, async (t) => {
      const program = new Reader(start(t, body));
      assert.equal(await program.exitCode(), 70);
      assert.equal(program.events.filter((event) => event === "refused").length, 256);
      const last = program.lines.at(-1)!;
      assert.equal(last.event, "internal_error");
      assert.match(String(last["error"]), /^Error: unforeseen\n +at /);
    });
  }

  test("when a signal ends the program", async (t) => {
    const child = start(t, `return { ...running, stop: async () => { ${flood} } };`);
    const program = new Reader(child);
    await program.line("ready");
    child.kill("SIGTERM");
    assert.equal(await program.exitCode(), 0);
    assert.equal(program.events.filter((event) => event === "refused").length, 256);
    assert.equal(program.events.at(-1), "stopped");
  });

  test("but a reader that hangs does not keep the program from ending", async (t) => {
    const child = start(t, `for (let at = 0; at < 12; at++) { ${flood} } throw new Error("unforeseen");`);
    const [code] = (await once(child, "exit")) as [number | null];
    assert.equal(code, 70);
  });
});

describe("signals", () => {
  /** Stops when it is told so on stdin, and says after the program's own handlers that a signal was heard. */
  const patient = `
    for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => log("info", "heard", { signal }));
    return { ...running, stop: () => once(process.stdin, "data") };
  `;

  test("only the first one counts: others do not cut the drain short", async (t) => {
    const child = start(t, patient);
    const program = new Reader(child);
    assert.equal((await program.line("ready"))["since"], 1);
    for (const [at, signal] of (["SIGTERM", "SIGTERM", "SIGINT"] as const).entries()) {
      child.kill(signal);
      await program.line("heard", at + 1);
    }
    child.stdin!.write("now\n");
    assert.equal(await program.exitCode(), 0);
    const expected = ["starting", "ready", "draining", "heard", "heard", "heard", "stopped"];
    assert.deepEqual(program.events, expected);
    const { signal, open } = await program.line("draining");
    assert.deepEqual({ signal, open }, { signal: "SIGTERM", open: 2 });
  });

  test("one that comes before the program has started ends it at once", async (t) => {
    const child = start(t, `log("info", "waiting"); return new Promise(() => {});`);
    const program = new Reader(child);
    await program.line("waiting");
    child.kill("SIGINT");
    assert.equal(await program.exitCode(), 0);
    assert.deepEqual(program.events, ["starting", "waiting", "draining", "stopped"]);
  });
});

describe("a program that cannot start", () => {
  test("lists every problem of its settings, 64", async (t) => {
    const program = new Reader(start(t, "return running;", { TENCRYPT_ONE: "2", TENCRYPT_TWO: "1" }));
    assert.equal(await program.exitCode(), 64);
    assert.deepEqual(program.events, ["bad_configuration"]);
    assert.equal((program.lines[0]!["problems"] as unknown[]).length, 2);
  });

  test("says in one line what an operator has to mend, 64", async (t) => {
    const program = new Reader(start(t, `throw new Unfit("no root");`));
    assert.equal(await program.exitCode(), 64);
    assert.equal((await program.line("cannot_start"))["problem"], "no root");
  });
});

test("settings that nothing reads are named in a warning", async (t) => {
  const child = start(t, "return running;", { TENCRYPT_ONCE: "1", TENCRYPT_TWICE: "1" });
  const program = new Reader(child);
  assert.deepEqual((await program.line("settings_unread"))["names"], ["TENCRYPT_ONCE", "TENCRYPT_TWICE"]);
  child.kill("SIGTERM");
  assert.equal(await program.exitCode(), 0);
});
