/** What the API server refuses is told with a next step that fits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { explained } from "../../../cli/cluster.ts";
import { KubeError, noCredentials } from "../../../lib/kube/client.ts";

for (const [code, reason, says, next, status] of [
  [0, "", /does not answer/, "kubectl cluster-info", 1],
  [0, noCredentials, /credentials cannot be used/, "kubectl auth whoami", 64],
  [401, "Unauthorized", /does not accept your credentials/, "kubectl auth whoami", 1],
  [403, "Forbidden", /you may not do this/, "kubectl auth can-i --list", 1],
  [429, "TooManyRequests", /cannot serve this now/, "kubectl get --raw '/readyz?verbose', and the same again", 1],
  [503, "ServiceUnavailable", /cannot serve this now/, "kubectl get --raw '/readyz?verbose', and the same again", 1],
  [410, "Expired", /refused/, "tencrypt check", 1],
] as const)
  test(`${code} ${reason}`, () => {
    const failure = explained(new KubeError("GET /x", code, reason, "words"), "api:6443");
    assert.match(failure.message, says);
    assert.deepEqual([failure.next, failure.code], [next, status]);
  });
