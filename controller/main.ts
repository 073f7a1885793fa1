/** The controller as a program: settings from the environment, one JSON line an event on stdout, a drain on SIGTERM. */
import { systemClock } from "../lib/clock/clock.ts";
import { SettingsError } from "../lib/config/settings.ts";
import { AccessError } from "../lib/kube/access.ts";
import { exitCodes } from "../lib/lifecycle/exit-codes.ts";
import { createLog } from "../lib/log/log.ts";
import type { Log } from "../lib/log/log.ts";
import { readConfig } from "./config.ts";
import type { ControllerConfig } from "./config.ts";
import { start } from "./start.ts";

// Pipes and files are written synchronously: the last line before an exit is not lost.
const write = (line: string): void => void process.stdout.write(line);

function fail(log: Log, error: unknown): never {
  if (error instanceof SettingsError) {
    log("error", "bad_configuration", { problems: error.problems });
    process.exit(exitCodes.badConfiguration);
  }
  if (error instanceof AccessError) {
    log("error", "cannot_start", { problem: error.message });
    process.exit(exitCodes.badConfiguration);
  }
  log("error", "internal_error", { detail: error instanceof Error ? error.stack : String(error) });
  process.exit(exitCodes.internal);
}

function configure(log: Log): ControllerConfig {
  try {
    return readConfig(process.env);
  } catch (error) {
    return fail(log, error);
  }
}

async function main(): Promise<void> {
  const config = configure(createLog({ level: "info", now: systemClock.now, write }));
  const log = createLog({ level: config.logLevel, now: systemClock.now, write });
  process.on("uncaughtException", (error) => fail(log, error));
  process.on("unhandledRejection", (error) => fail(log, error));
  log("info", "starting", { settings: config });
  if (config.unread.length > 0) log("warn", "settings_unread", { names: config.unread });

  const controller = await start(config, systemClock, log);
  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) return;
    stopping = true;
    log("info", "draining", { signal });
    void controller.stop().then(() => {
      log("info", "stopped");
      process.exit(0);
    });
  };
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
  await controller.ready();
  log("info", "ready");
}

await main();
