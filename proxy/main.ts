/** The proxy as a program. Nothing else of it reads the environment. */
import { runProgram } from "../lib/lifecycle/program.ts";
import { readConfig } from "./config.ts";
import { Proxy } from "./proxy.ts";

await runProgram({ env: process.env, readConfig, start: (config, deps) => Proxy.start(config, deps), unfit: [] });
