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

/** The controller of Deployments has looked at what was last told. */
const isSeen = ({ metadata, status = {} }: Deployment): boolean =>
  (status.observedGeneration ?? 0) >= (metadata?.generation ?? 0);

function isRolledOut(deployment: Deployment, wanted: number): boolean {
  const { status = {} } = deployment;
  const updated = status.updatedReplicas ?? 0;
  return isSeen(deployment) && updated >= wanted && (status.replicas ?? updated) <= updated;
}

/**
 * In milliseconds since the epoch; null before there was any: what is written before the change was looked at, or says that
 * a rollout is done, is of the last one, however long ago.
 */
function lastProgress(deployment: Deployment): number | null {
  const { reason, lastUpdateTime } = deployment.status?.conditions?.find(({ type }) => type === "Progressing") ?? {};
  if (!isSeen(deployment) || reason === "NewReplicaSetAvailable" || lastUpdateTime === undefined) return null;
  return Date.parse(lastUpdateTime);
}
