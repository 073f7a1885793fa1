/** What the metrics say of more projects than they name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "../../../controller/metrics.ts";

test("projects beyond those that are named are counted together", () => {
  const metrics = createMetrics();
  const unprotected = new Map(Array.from({ length: 600 }, (_, index) => [`project-${index}`, index < 550 ? 2 : 0]));
  metrics.follow(() => ({ certificateEnd: null, unprotected, cutServices: 0 }));
  const overflow = (): string =>
    /^tencrypt_unprotected_pods\{project="overflow"\} (.*)$/m.exec(metrics.registry.render("prometheus"))?.[1] ?? "";
  assert.equal(overflow(), "100");
  assert.equal(overflow(), "100");
});
