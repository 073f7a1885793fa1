/** The controller as a program. Nothing else of it reads the environment. */
import { AccessError } from "../lib/kube/access.ts";
import { runProgram } from "../lib/lifecycle/program.ts";
import { readConfig } from "./config.ts";
import { start } from "./start.ts";

await runProgram({
  env: process.env,
  readConfig,
  start: (config, { clock, log }) => start(config, clock, log),
  unfit: [AccessError],
});
