/** A program that runs until it is stopped and logs to a file. The kernel ends it when this process ends. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";

export class Daemon {
  readonly name: string;
  readonly exited: Promise<void>;
  readonly #process: ChildProcess;
  readonly #log: string;

  constructor(name: string, argv: readonly string[], place: { readonly folder: string; readonly path: string }) {
    this.name = name;
    this.#log = `${place.folder}/${name}.log`;
    const log = openSync(this.#log, "a", 0o600);
    this.#process = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...argv], {
      cwd: place.folder,
      env: { PATH: place.path, HOME: place.folder },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.exited = new Promise((resolve) => {
      this.#process.on("error", () => resolve());
      this.#process.on("exit", () => resolve());
    });
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  get hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null || this.#process.pid === undefined;
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.hasEnded) this.#process.kill(signal);
  }

  /** Nothing here has state worth a graceful end. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.exited;
  }

  tail(): string {
    return `${this.name}:\n${readFileSync(this.#log, "utf8").trimEnd().split("\n").slice(-15).join("\n")}`;
  }
}
