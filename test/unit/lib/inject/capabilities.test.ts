/** In strict no container may add what undoes the rules or reads what is the proxy's, in either spelling; the refusal names all of it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { injectReasons } from "../../../../lib/inject/reasons.ts";
import { report } from "../../../../lib/inject/report.ts";
import { injection } from "../../../cluster/protected-pod.ts";

const reportOf = (capability: string, mode: string): string => {
  const labels = { "tencrypt.io/project": "enabled" };
  const namespace = { metadata: { labels, annotations: { "tencrypt.io/mode": mode } } };
  const securityContext = { capabilities: { add: [capability] } };
  const found = report(
    { metadata: {}, spec: { containers: [{ name: "app", securityContext }] } },
    namespace,
    injection,
  );
  return found.kind === "refuse" ? found.reason : found.kind;
};

const named: readonly string[] = injectReasons.privileged_container.what.match(/\b[A-Z]{3,}(?:_[A-Z]+)*\b/g) ?? [];

describe("a capability in strict", () => {
  for (const refused of ["NET_ADMIN", "SYS_ADMIN", "SYS_MODULE", "BPF", "PERFMON", "DAC_READ_SEARCH", "ALL"])
    test(`${refused} is named`, () => assert.ok(named.includes(refused)));
  for (const name of named)
    for (const spelling of [name, `CAP_${name}`, name.toLowerCase()])
      test(`${spelling} is refused there, and taken in project`, () => {
        assert.equal(reportOf(spelling, "strict"), "privileged_container");
        assert.equal(reportOf(spelling, "project"), "injectable");
      });
  for (const name of ["NET_BIND_SERVICE", "CHOWN", "SETUID", "SYS_NICE"])
    test(`${name} is taken`, () => assert.equal(reportOf(name, "strict"), "injectable"));
});
