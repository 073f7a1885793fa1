/**
 * Pods of a project that run without a proxy, on a real API server and with no other rights than the chart gives the controller:
 * those that are older than the label are told at the pod and counted, those that were skipped are told why.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { systemClock } from "../../../lib/clock/clock.ts";
import type { Clock } from "../../../lib/clock/clock.ts";
import { kubeconfigOfAccount } from "../../chart/rights.ts";
import { whyNoApiServer } from "../../cluster/api-server.ts";
import { eventually } from "../../cluster/eventually.ts";
import { Rig } from "./rig.ts";
import type { Controller } from "./rig.ts";

const why = whyNoApiServer();

/** Looks every fraction of a second instead of every half minute. */
const hurried: Clock = {
  ...systemClock,
  after: (delayMs, callback) => systemClock.after(delayMs === 30_000 ? 300 : delayMs, callback),
};

type Event = {
  readonly type: string;
  readonly reason: string;
  readonly note: string;
  readonly reportingController: string;
  readonly regarding: { readonly name: string };
};

let rig: Rig;
let controller: Controller;

before(async () => {
  if (why !== null) return;
  rig = await Rig.start();
  await rig.api.objects.namespace("older");
  await rig.api.objects.serviceAccount("older", "cart");
  await rig.pod("older", "web", { spec: {} });
  await rig.pod("older", "net", { spec: { hostNetwork: true } });
  await rig.pod("older", "safe");
  await rig.api.admin.patch("/api/v1/namespaces/older", { metadata: { labels: { "tencrypt.io/project": "enabled" } } });
  process.env["KUBECONFIG"] = await kubeconfigOfAccount(rig.api, "tencrypt-controller", "tencrypt-system");
  controller = await rig.controller({}, hurried);
});
after(() => rig?.stop());

const eventsOf = async (pod: string): Promise<readonly string[]> => {
  const list = await rig.api.admin.get("/apis/events.k8s.io/v1/namespaces/older/events");
  return (list["items"] as readonly Event[])
    .filter(({ regarding }) => regarding.name === pod)
    .map(({ type, reason, note, reportingController }) => `${type} ${reason} of ${reportingController}: ${note}`);
};

const metrics = async (): Promise<string> =>
  await (await fetch(`http://127.0.0.1:${controller.metrics.port}/metrics`)).text();

describe("a pod of a project without a proxy", why === null ? {} : { skip: why }, () => {
  test("that is older than the label has an Event, and is counted until it is gone", async () => {
    await eventually(async () => {
      const [event, ...more] = await eventsOf("web");
      assert.match(
        event ?? "",
        /^Warning Unprotected of tencrypt\.io\/controller: This pod of project older has no proxy: /,
      );
      assert.deepEqual(more, []);
    });
    assert.match(await metrics(), /^tencrypt_unprotected_pods\{project="older"\} 1$/m);
    await rig.api.admin.delete("/api/v1/namespaces/older/pods/web?gracePeriodSeconds=0");
    await eventually(async () => assert.match(await metrics(), /^tencrypt_unprotected_pods\{project="older"\} 0$/m));
  });

  test("that was skipped has an Event with the reason, and is not counted", async () => {
    await eventually(async () => {
      const [event, ...more] = await eventsOf("net");
      assert.match(
        event ?? "",
        /^Normal Skipped of tencrypt\.io\/controller: .* not meant to have one: host_network: .* Next: /,
      );
      assert.deepEqual(more, []);
    });
  });

  test("and one that has its proxy has none", async () => {
    assert.deepEqual(await eventsOf("safe"), []);
  });
});
