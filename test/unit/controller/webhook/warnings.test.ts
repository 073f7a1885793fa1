/** Whoever makes a pod is told at once what of its labels and annotations does nothing; what becomes of it is the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { injectAnswer } from "../../../../controller/webhook/admission.ts";
import { injection } from "../../../cluster/protected-pod.ts";

const shop = {
  metadata: { name: "shop", uid: "1", resourceVersion: "1", labels: { "tencrypt.io/project": "enabled" } },
};

const answered = (annotations: Record<string, string>, labels: Record<string, string> = {}) => {
  const object = { metadata: { name: "a", annotations, labels }, spec: { containers: [{ name: "app" }] } };
  return injectAnswer({ uid: "1", object } as unknown as Parameters<typeof injectAnswer>[0], shop, injection);
};

test("a pod whose marks all mean something is injected without a word", () => {
  const { outcome, warnings } = answered({ "tencrypt.io/inject": "enabled", "tencrypt.io/mode": "strict", other: "x" });
  assert.deepEqual([outcome, warnings], ["injected", []]);
});

test("misspelt names and values are told, and the pod is injected", () => {
  const { outcome, warnings } = answered(
    { "tencrypt.io/inject": "false", "tencrypt.io/alow-from": "shop/web" },
    { "tencrypt.io/mode": "strict" },
  );
  assert.equal(outcome, "injected");
  assert.deepEqual(warnings, [
    'tencrypt.io/inject: "false" is none of enabled, disabled',
    "label tencrypt.io/mode means nothing on a pod",
    "annotation tencrypt.io/alow-from means nothing on a pod",
  ]);
});

test("what is looser than the project is told, and the pod is injected", () => {
  const { outcome, warnings } = answered({
    "tencrypt.io/mode": "permissive",
    "tencrypt.io/allow-egress": "10.0.0.0/8",
  });
  assert.equal(outcome, "injected");
  assert.deepEqual(warnings, [
    `tencrypt.io/mode: permissive is looser than the project's ${injection.defaultMode}, which holds`,
    "tencrypt.io/allow-egress: 10.0.0.0/8 is not named by the project, whose list has to name it too",
  ]);
});

test("no more warnings than the API server passes on", () => {
  const many = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`tencrypt.io/x${index}`, ""]));
  assert.equal(answered(many).warnings.length, 8);
});
