/** The ca as a program. Nothing else of it reads the environment. */
import { runProgram } from "../lib/lifecycle/program.ts";
import { readConfig } from "./config.ts";
import { start, StartError } from "./start.ts";
import { StoreError } from "./store/files.ts";

await runProgram({
  env: process.env,
  readConfig,
  start: async (config, { clock, log, logIsFull }) => {
    const ca = await start(config, clock, log, logIsFull);
    return { ready: () => Promise.resolve({}), stop: () => ca.stop() };
  },
  unfit: [StartError, StoreError],
});
