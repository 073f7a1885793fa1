/** The proxy as a program. Nothing else of it reads the environment. */
import { runProgram } from "../lib/lifecycle/program.ts";
import type { Surroundings } from "../lib/lifecycle/program.ts";
import { readConfig } from "./config.ts";
import type { ProxyConfig } from "./config.ts";
import { giveBackWhenIdle } from "./memory/give-back.ts";
import { ownMemory } from "./memory/own-memory.ts";
import { Proxy } from "./proxy.ts";

function start(config: ProxyConfig, surroundings: Surroundings): Promise<Proxy> {
  const memory = ownMemory();
  if (memory !== null) giveBackWhenIdle(surroundings.clock, memory);
  return Proxy.start(config, surroundings);
}

await runProgram({ env: process.env, readConfig, start, unfit: [] });
