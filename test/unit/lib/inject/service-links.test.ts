/**
 * What the kubelet tells every container of the Services of its namespace, whatever they are called, changes nothing for
 * init and the proxy, and is worth no warning: what is in the pod's spec goes before it.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { readConfig as readInit } from "../../../../init/config.ts";
import { findPod } from "../../../../lib/inject/manifest.ts";
import type { Container, Pod } from "../../../../lib/kube/objects.ts";
import { portSettings } from "../../../../lib/kube/sidecar-form.ts";
import { readConfig as readProxy } from "../../../../proxy/config.ts";

type Environment = Readonly<Record<string, string>>;

/** All that the kubelet makes of a Service, with a named port too. */
function linksOf(service: string): Environment {
  const stem = service.toUpperCase().replaceAll("-", "_");
  const port = `${stem}_PORT_443_TCP`;
  return {
    [`${stem}_SERVICE_HOST`]: "10.96.0.7",
    [`${stem}_SERVICE_PORT`]: "443",
    [`${stem}_SERVICE_PORT_HTTPS_MAIN`]: "443",
    [`${stem}_PORT`]: "tcp://10.96.0.7:443",
    [port]: "tcp://10.96.0.7:443",
    [`${port}_PROTO`]: "tcp",
    [`${port}_PORT`]: "443",
    [`${port}_ADDR`]: "10.96.0.7",
  };
}

const folder = join(import.meta.dirname, "../../../golden/inject");
const found = findPod(parse(readFileSync(join(folder, "plain.injected.yaml"), "utf8")));
assert.ok(found.kind === "found");
const [init, proxy] = (found.pod as Pod).spec.initContainers as readonly [Container, Container];

/** As the kubelet fills it in. */
const environmentOf = ({ env = [] }: Container): Environment =>
  Object.fromEntries(env.map(({ name, value = "10.0.0.2" }) => [name, value]));

const services = ["metrics", "health", "tunnel", "inbound", "outbound", "admin", "ca", "proxy", "controller"];

for (const [program, read, container] of [
  ["init", readInit, init],
  ["proxy", readProxy, proxy],
] as const)
  test(`${program} reads the same beside Services called tencrypt-...`, () => {
    const told = environmentOf(container);
    const links = Object.assign({}, ...services.map((name) => linksOf(`tencrypt-${name}`))) as Environment;
    const alone = read(told);
    assert.equal(JSON.stringify(read({ ...links, ...told })), JSON.stringify(alone));
    assert.deepEqual(alone.unread, []);
    assert.deepEqual(read({ ...links, ...told, TENCRYPT_TUNEL_PORT: "15008" }).unread, ["TENCRYPT_TUNEL_PORT"]);
  });

test("what they are told of ports is what they would take anyway", () => {
  const { TENCRYPT_PROXY_UID } = environmentOf(init);
  const rules = readInit({ TENCRYPT_PROXY_UID }).config.ports;
  const { ports } = readProxy(
    Object.fromEntries(Object.entries(environmentOf(proxy)).filter(([name]) => !Object.hasOwn(portSettings, name))),
  );
  const injected = Object.fromEntries(
    Object.entries(portSettings).map(([name, port]) => [/^TENCRYPT_(.*)_PORT$/.exec(name)?.[1]?.toLowerCase(), port]),
  );
  assert.deepEqual([injected, { ...ports }], [rules, rules]);
});
