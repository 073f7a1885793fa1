/** Packets that a pod does not take or send for a while, as on a network that loses them. */
import type { Pod } from "./pod.ts";

/** Packets of that kind vanish while `work` runs: whoever dials hears nothing. */
export async function swallowed(pod: Pod, rule: readonly string[], work: () => Promise<void>): Promise<void> {
  await pod.must("iptables", ["-I", ...rule, "-j", "DROP"], { uid: 0 });
  try {
    await work();
  } finally {
    await pod.must("iptables", ["-D", ...rule, "-j", "DROP"], { uid: 0 });
  }
}
