/** Whether a Deployment of the control plane runs, and as it was last told to: a rollout that does not go on is a fault. Pure. */
import type { CheckCode } from "./codes.ts";
import type { Deployment } from "./facts.ts";
import { finding } from "./finding.ts";
import type { Judged } from "./finding.ts";

/** As long as `tencrypt upgrade` waits. */
const rolloutLimitMs = 180_000;

export function judgeRollout(code: CheckCode, name: string, deployment: Deployment | null, now: number): Judged {
  if (deployment === null) return { ...finding(code, "failed", `${name} is not installed`), next: "tencrypt install" };
  const { spec, status = {} } = deployment;
  const [ready, wanted] = [status.readyReplicas ?? 0, spec.replicas ?? 1];
  const text = `${ready}/${wanted} ${name} ready`;
  if (wanted === 0) return { ...finding(code, "failed", `${text}: it was scaled to nothing`), next: scaleUp(code) };
  if (ready < wanted) return finding(code, "failed", text);
  if (isRolledOut(deployment, wanted)) return finding(code, "good", text);
  const since = lastProgress(deployment);
  const isStuck = since !== null && now - since > rolloutLimitMs;
  const seconds = since === null ? "" : `, for ${Math.max(0, Math.floor((now - since) / 1000))} s without progress`;
  return finding(
    code,
    isStuck ? "failed" : "warning",
    isStuck ? `${name}: the rollout does not go on` : `${name} is being rolled out`,
    [`${status.updatedReplicas ?? 0} of ${wanted} replicas are as last told${seconds}`],
  );
}

const scaleUp = (code: CheckCode): string =>
  code === "TC-CP-01"
    ? "kubectl -n tencrypt-system scale deployment/tencrypt-controller --replicas=2"
    : "kubectl -n tencrypt-ca scale deployment/tencrypt-ca --replicas=2";

function isRolledOut({ metadata, status = {} }: Deployment, wanted: number): boolean {
  const seen = (status.observedGeneration ?? 0) >= (metadata?.generation ?? 0);
  const updated = status.updatedReplicas ?? 0;
  return seen && updated >= wanted && (status.replicas ?? updated) <= updated;
}

/** In milliseconds since the epoch; null before there was any. */
function lastProgress({ status = {} }: Deployment): number | null {
  const { lastUpdateTime } = status.conditions?.find(({ type }) => type === "Progressing") ?? {};
  return lastUpdateTime === undefined ? null : Date.parse(lastUpdateTime);
}
