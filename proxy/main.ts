/** Starts the proxy: settings, log, signals, exit codes. Nothing else reads the environment. */
import { systemClock } from "../lib/clock/clock.ts";
import { SettingsError } from "../lib/config/settings.ts";
import { exitCodes } from "../lib/lifecycle/exit-codes.ts";
import { createLineWriter } from "../lib/log/line-writer.ts";
import { createLog } from "../lib/log/log.ts";
import type { Log } from "../lib/log/log.ts";
import { readConfig } from "./config.ts";
import type { ProxyConfig } from "./config.ts";
import { Proxy } from "./proxy.ts";

const lines = createLineWriter(process.stdout, systemClock);
const write = (line: string): void => lines.write(line);

function stop(log: Log, code: number, event: string, fields: object): never {
  log("error", event, { ...fields });
  lines.flushNow();
  process.exit(code);
}

function readOrStop(): ProxyConfig {
  try {
    return readConfig(process.env);
  } catch (error) {
    const problems = error instanceof SettingsError ? error.problems : [String(error)];
    stop(createLog({ level: "error", now: systemClock.now, write }), exitCodes.badConfiguration, "bad_configuration", {
      problems,
    });
  }
}

const config = readOrStop();
const log = createLog({ level: config.logLevel, now: systemClock.now, write });
process.on("uncaughtException", (error) => stop(log, exitCodes.internal, "internal_error", { error: error.stack }));
process.on("unhandledRejection", (error) =>
  stop(log, exitCodes.internal, "internal_error", { error: error instanceof Error ? error.stack : String(error) }),
);

log("info", "starting", { settings: config });
if (config.unread.length > 0) log("warn", "settings_unread", { names: config.unread });
const proxy = await Proxy.start(config, { clock: systemClock, log, droppedLogLines: () => lines.dropped() });

async function drain(): Promise<void> {
  await proxy.drain();
  lines.flushNow();
  process.exit(0);
}
process.on("SIGTERM", () => void drain());
process.on("SIGINT", () => void drain());
