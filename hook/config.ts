/** The settings of the hooks, from environment variables; every problem is reported at once. Pure. */
import { Settings } from "../lib/config/settings.ts";
import type { Environment } from "../lib/config/settings.ts";

export type Config = {
  /** How long `trust` waits for the root and for the API server, in milliseconds. */
  readonly deadline: number;
  /** `TENCRYPT_` variables that nothing read. */
  readonly unread: readonly string[];
};

export function readConfig(env: Environment): Config {
  const settings = new Settings(env);
  return settings.finish({ deadline: settings.duration("TENCRYPT_HOOK_DEADLINE", 240_000) });
}
