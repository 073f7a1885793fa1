/** Asks init's proof, outside of init: whatever rules there are or are not. Says `proof` for each family, and ends. */
import { networkInterfaces } from "node:os";
import { prove, reachableAddresses } from "../../../init/prove.ts";
import { systemClock } from "../../../lib/clock/clock.ts";
import { say } from "./commands.ts";

for (const family of ["v4", "v6"] as const) {
  const own = reachableAddresses(networkInterfaces(), family);
  say("proof", { family, ...(await prove({ family, capturePort: 15_001, dialPort: 9, own }, systemClock)) });
}
