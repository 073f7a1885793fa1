/** Whether what injection put into pods does its work: the rules are set, the proxy is up and has a certificate. Pure. */
import { containers } from "../../lib/kube/names.ts";
import { readSidecar } from "../../lib/kube/sidecar.ts";
import { checkCodes } from "./codes.ts";
import type { CheckCode } from "./codes.ts";
import type { ContainerStatus, PodFact } from "./facts.ts";
import { finding } from "./finding.ts";
import type { Judged } from "./finding.ts";

type Part = {
  readonly code: CheckCode;
  readonly container: string;
  readonly well: string;
  readonly ill: string;
  /** Null where nothing is wrong, or not yet. */
  readonly faultOf: (status: ContainerStatus, now: number) => string | null;
};

const parts: readonly Part[] = [
  {
    code: "TC-PRJ-03",
    container: containers.init,
    well: "rules set and proven",
    ill: "pods have no rules",
    faultOf: ({ state }) => stateFault(state),
  },
  {
    code: "TC-PRJ-08",
    container: containers.proxy,
    well: "proxies are up",
    ill: "pods have a proxy that is not up",
    faultOf: proxyFault,
  },
];

/** `now` by the API server's clock, which wrote the times of its objects. */
export function judgeRunning(project: string, pods: readonly PodFact[], now: number): readonly Judged[] {
  const injected = pods.filter((pod) => readSidecar(pod).kind === "sidecar");
  return parts.map(({ code, container, well, ill, faultOf }) => {
    const faults = injected.flatMap(({ metadata, status }) => {
      const found = status?.initContainerStatuses?.find(({ name }) => name === container);
      const fault = found === undefined ? null : faultOf(found, now);
      return fault === null ? [] : [{ pod: metadata.name, fault }];
    });
    const [first] = faults;
    if (first === undefined) return finding(code, "good", well);
    const details = faults.map(({ pod, fault }) => `${pod}: ${fault}`);
    const next = checkCodes[code].hint.replaceAll("NAMESPACE", project).replaceAll("POD", first.pod);
    return { ...finding(code, "failed", `${faults.length} ${ill}`, details), next };
  });
}

/** What a container waits for whose turn has not come. */
const beginning: readonly (string | undefined)[] = [undefined, "PodInitializing", "ContainerCreating"];

function stateFault({ waiting, terminated }: NonNullable<ContainerStatus["state"]> = {}): string | null {
  if (waiting !== undefined && !beginning.includes(waiting.reason)) return waiting.reason ?? null;
  const code = terminated?.exitCode ?? 0;
  return code === 0 ? null : `ended with status ${code}`;
}

/** From its start to its first certificate and directory a proxy needs a second or two. */
const patienceMs = 60_000;

function proxyFault({ state, started, ready }: ContainerStatus, now: number): string | null {
  const startedAt = state?.running?.startedAt;
  if (startedAt === undefined) return stateFault(state);
  if (started === true) return ready === false ? "not ready any more" : null;
  const age = now - Date.parse(startedAt);
  return age > patienceMs ? `not ready ${Math.floor(age / 1000)} s after its start` : null;
}
