/** How to look inside of a demo that is left running: commands to copy. */
import { join } from "node:path";
import type { Pod } from "../test/topology/cluster.ts";
import type { Screen } from "./screen.ts";
import { vips } from "./stage.ts";
import type { Stage } from "./stage.ts";

const inPod = (pod: Pod, command: string): string => `ip netns exec ${pod.facts.netns} ${command}`;
/** As the application: root's connections are captured too, but so it is what the pod would do. */
const asApplication = (pod: Pod, command: string): string =>
  inPod(pod, `setpriv --reuid 1000 --regid 1000 --clear-groups ${command}`);

export async function showInside(screen: Screen, stage: Stage): Promise<void> {
  const { cluster, pods, ca, proxies } = stage;
  const logs = cluster.makeFolder("log", 0);
  ca.child.copyTo(join(logs, "ca.jsonl"));
  for (const [name, proxy] of proxies) proxy.copyTo(join(logs, `${name}.jsonl`));
  const commands: readonly (readonly [string, string])[] = [
    [
      "a request as the application makes it",
      asApplication(pods.client, `curl -sS http://${vips.v4}:${vips.port}/cart`),
    ],
    ["what crosses the bridge", `ip netns exec ${cluster.bridge} tcpdump -ni br0 -X port 15008`],
    ["an attacker's attempt", asApplication(pods.attacker, `curl -sS --max-time 3 http://${pods.server1.ip}:8080/`)],
    ["the rules of a pod", inPod(pods.client, "iptables-save")],
    ["the state of a proxy", inPod(pods.client, "curl -sS http://127.0.0.1:15000/status")],
    ["the metrics of a proxy", inPod(pods.client, "curl -sS http://127.0.0.1:15020/metrics")],
    ["the logs of proxies and CA", `tail -f ${logs}/*.jsonl`],
    ["the directory (edit it, and it takes effect)", cluster.directoryFile],
    ["the CA's store", ca.store],
    ["everything captured so far", `tcpdump -nr ${join(cluster.folder, "capture", "1.pcap")}`],
  ];
  screen.heading("look inside (with curl)");
  for (const [what, command] of commands) {
    screen.line(`    ${screen.paint("dim", what)}`);
    screen.line(`      ${command}`);
  }
}
