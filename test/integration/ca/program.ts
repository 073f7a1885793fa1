/** The ca as a program of its own, and the lines that it writes. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { newTokenKey, tokenFolder } from "../../tokens/tokens.ts";
import type { TokenKeyPair } from "../../tokens/tokens.ts";
import { cleanUp, environment, newStore } from "./running-ca.ts";
import type { LogLine } from "./running-ca.ts";

const main = new URL("../../../ca/main.ts", import.meta.url).pathname;

export type Program = {
  readonly child: ChildProcess;
  readonly lines: LogLine[];
  line(event: string, name?: string): Promise<LogLine>;
  readonly exited: Promise<number | null>;
};

export function runProgram(t: TestContext, env: Record<string, string>): Program {
  const child = spawn(process.execPath, [main], { env, stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
  cleanUp(t, () => {
    child.kill("SIGKILL");
    return exited;
  });
  const lines: LogLine[] = [];
  let wake = (): void => {};
  let closed = false;
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (text) => {
    lines.push(JSON.parse(text) as LogLine);
    wake();
  });
  reader.on("close", () => {
    closed = true;
    wake();
  });
  const line = async (event: string, name?: string): Promise<LogLine> => {
    for (;;) {
      const found = lines.find((each) => each.event === event && (name === undefined || each["name"] === name));
      if (found !== undefined) return found;
      if (closed) throw new Error(`ended without ${event}: ${JSON.stringify(lines)}`);
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  return { child, lines, line, exited };
}

export type ProgramSettings = {
  readonly env: Record<string, string>;
  readonly store: string;
  readonly key: TokenKeyPair;
};

export function settingsOf(t: TestContext): ProgramSettings {
  const key = newTokenKey();
  const folder = tokenFolder(key);
  cleanUp(t, () => folder.remove());
  const store = newStore(t);
  return { env: environment(store, folder.jwksFile), store, key };
}
