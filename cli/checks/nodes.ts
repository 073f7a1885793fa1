/** In which backend of iptables the rules of protected pods stand, by what tencrypt-init said of one pod of each node. */
import type { KubeClient } from "../../lib/kube/client.ts";
import { containers } from "../../lib/kube/names.ts";
import { isTerminal, readSidecar } from "../../lib/kube/sidecar.ts";
import { checkCodes } from "./codes.ts";
import type { InitLog, InitLogs, PodFact } from "./facts.ts";
import { finding, notKnown } from "./finding.ts";
import type { Judged } from "./finding.ts";
import { backendNames, backendProblems, eventsIn, rulesSaid } from "./init-events.ts";
import { readable } from "./readable.ts";

/** More are not looked at: each is a call that the API server hands on to a kubelet. */
export const mostNodes = 50;
const callsAtOnce = 10;

export async function initLogs(client: KubeClient, pods: readonly PodFact[]): Promise<InitLogs> {
  const chosen = onePerNode(pods);
  const looked = chosen.slice(0, mostNodes);
  const logs: InitLog[] = [];
  for (let at = 0; at < looked.length; at += callsAtOnce)
    logs.push(...(await Promise.all(looked.slice(at, at + callsAtOnce).map((pod) => logOf(client, pod)))));
  return { nodes: chosen.length, logs };
}

async function logOf(client: KubeClient, { metadata, spec }: PodFact): Promise<InitLog> {
  const { name, namespace = "" } = metadata;
  const query = `container=${containers.init}&tailLines=100&limitBytes=65536`;
  const path = `/api/v1/namespaces/${namespace}/pods/${name}/log?${query}`;
  const log = await readable(`log of ${namespace}/${name}`, client.text(path));
  return { node: spec.nodeName ?? "", namespace, pod: name, log };
}

/** The one that failed, where there is one, else the newest: a kubelet may have thrown away what old ones said. */
function onePerNode(pods: readonly PodFact[]): readonly PodFact[] {
  const told = pods.filter(
    (pod) => pod.spec.nodeName !== undefined && !isTerminal(pod) && hasRun(pod) && readSidecar(pod).kind === "sidecar",
  );
  return [...Map.groupBy(told, ({ spec }) => spec.nodeName)]
    .toSorted(([one = ""], [other = ""]) => one.localeCompare(other))
    .map(([, all]) => all.reduce((best, next) => (isBetter(next, best) ? next : best)));
}

const stateOf = ({ status }: PodFact): NonNullable<PodFact["status"]>["initContainerStatuses"] =>
  status?.initContainerStatuses?.filter(({ name }) => name === containers.init);

const hasFailed = (pod: PodFact): boolean =>
  stateOf(pod)?.some(
    ({ state }) => state?.waiting?.reason === "CrashLoopBackOff" || (state?.terminated?.exitCode ?? 0) !== 0,
  ) === true;

const hasRun = (pod: PodFact): boolean =>
  hasFailed(pod) || stateOf(pod)?.some(({ state }) => state?.terminated !== undefined) === true;

function isBetter(one: PodFact, other: PodFact): boolean {
  if (hasFailed(one) !== hasFailed(other)) return hasFailed(one);
  return (one.metadata.creationTimestamp ?? "") > (other.metadata.creationTimestamp ?? "");
}

/** Nothing is said where no pod is protected. */
export function judgeNodes({ logs, nodes }: InitLogs): readonly Judged[] {
  if (logs.length === 0) return [];
  const said = logs.map(({ node, namespace, pod, log }) => ({
    log,
    rules: log.kind === "read" ? rulesSaid(eventsIn(log.value)) : ({ kind: "unsaid" } as const),
    at: { namespace, pod },
    where: `${node} (${namespace}/${pod})`,
  }));
  const ill = said.flatMap(({ rules, where, at }) => {
    const problems = rules.kind === "failed" ? [rules.why] : backendProblems(rules);
    return problems.map((problem) => ({ at, rules, text: `${where}: ${problem}` }));
  });
  const [first] = ill;
  if (first !== undefined) {
    const hasFailure = ill.some(({ rules }) => rules.kind === "failed");
    const text = `tencrypt-init had to do without nf_tables, or failed, on ${new Set(ill.map(({ at }) => at)).size} of ${nodes} nodes`;
    const details = ill.map((each) => each.text);
    const { namespace, pod } = first.at;
    const next = checkCodes["TC-NODE-01"].hint.replaceAll("NAMESPACE", namespace).replaceAll("POD", pod);
    return [{ ...finding("TC-NODE-01", hasFailure ? "failed" : "warning", text, details), next }];
  }
  const unsaid = said.filter(({ rules }) => rules.kind === "unsaid");
  if (unsaid.length > 0) {
    const details = unsaid.map(({ log, where }) => `${where}: ${log.kind === "read" ? "its log names none" : log.why}`);
    return [notKnown("TC-NODE-01", "TC-K8S-05", `the backend of ${unsaid.length} nodes is not known`, details)];
  }
  const names = backendNames(said.map(({ rules }) => rules));
  const which = nodes > logs.length ? `${logs.length} of ${nodes} nodes` : `${nodes} nodes`;
  return [finding("TC-NODE-01", "good", `rules stand in ${names} on ${which} with protected pods`)];
}
