/**
 * The ca itself, but for one check: `TENCRYPT_LEAF_TTL` may be shorter than what it allows an operator, so that a test
 * sees a hundred renewals in minutes.
 */
import { readConfig } from "../../../ca/config.ts";
import { start } from "../../../ca/start.ts";
import { parseDuration } from "../../../lib/config/settings.ts";
import { runProgram } from "../../../lib/lifecycle/program.ts";

await runProgram({
  env: process.env,
  readConfig: ({ TENCRYPT_LEAF_TTL: text = "", ...env }) => {
    const leafTtl = parseDuration(text);
    if (leafTtl === null) throw new Error(`no duration: ${text}`);
    return { ...readConfig(env), leafTtl };
  },
  start: async (config, { clock, log, logIsFull }) => {
    const ca = await start(config, clock, log, logIsFull);
    return { ready: () => Promise.resolve({}), stop: () => ca.stop() };
  },
  unfit: [],
});
