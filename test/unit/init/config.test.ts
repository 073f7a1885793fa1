/** The settings of init: defaults, every problem at once, and what would write a ruleset with a hole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SettingsError } from "../../../lib/config/settings.ts";
import type { Environment } from "../../../lib/config/settings.ts";
import { proxyPorts, readConfig } from "../../../init/config.ts";

const problems = (env: Environment): readonly string[] => {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
};
const uid = { TENCRYPT_PROXY_UID: "1337" };

test("the proxy's UID alone is enough", () => {
  const { config, unread } = readConfig({ ...uid, PATH: "/bin" });
  assert.deepEqual(config, {
    proxyUid: 1337,
    udp: "allow",
    captures: [],
    ports: { outbound: 15_001, inbound: 15_006, tunnel: 15_008, admin: 15_000, metrics: 15_020, health: 15_021 },
    backend: "auto",
  });
  assert.deepEqual(unread, []);
});

test("everything can be set; captures are in the order of their UID", () => {
  const { config, unread } = readConfig({
    TENCRYPT_PROXY_UID: "4294967294",
    TENCRYPT_UDP: "dns-only",
    TENCRYPT_CAPTURE: "2002:15102, 0:15103,2001:15101",
    TENCRYPT_OUTBOUND_PORT: "1",
    TENCRYPT_IPTABLES_BACKEND: "legacy",
    TENCRYPT_OTHER: "x",
  });
  assert.deepEqual(
    config.captures.map(({ uid: owner }) => owner),
    [0, 2001, 2002],
  );
  assert.deepEqual(proxyPorts(config), [1, 15_000, 15_006, 15_008, 15_020, 15_021, 15_101, 15_102, 15_103]);
  assert.deepEqual(unread, ["TENCRYPT_OTHER"]);
});

test("every problem is named at once", () => {
  const found = problems({
    TENCRYPT_UDP: "no",
    TENCRYPT_CAPTURE: "2001",
    TENCRYPT_ADMIN_PORT: "0",
    TENCRYPT_HEALTH_PORT: "65536",
    TENCRYPT_IPTABLES_BACKEND: "nftables",
  });
  const names = ["PROXY_UID", "UDP", "CAPTURE", "ADMIN_PORT", "HEALTH_PORT", "IPTABLES_BACKEND"];
  assert.deepEqual(
    found.map((problem) => problem.split(" ")[0]),
    names.map((name) => `TENCRYPT_${name}`),
  );
});

for (const text of [
  "2001:15101,",
  "2001",
  "2001:0",
  "-1:15101",
  "01:15101",
  "2001:15101:1",
  "4294967295:15101",
  "a:1",
]) {
  test(`TENCRYPT_CAPTURE=${text} is refused`, () => {
    assert.deepEqual(problems({ ...uid, TENCRYPT_CAPTURE: text }), [
      `TENCRYPT_CAPTURE is ${JSON.stringify(text)}: expected uid:port,uid:port`,
    ]);
  });
}

test("the proxy is never root, nor a UID that nobody can have", () => {
  for (const value of ["0", "4294967295", "-1", "01", "root"]) {
    assert.match(
      problems({ TENCRYPT_PROXY_UID: value }).join(),
      /^TENCRYPT_PROXY_UID is .*expected a whole number from 1/,
    );
  }
});

test("no container has the proxy's UID, no UID two ports, no port two meanings", () => {
  assert.deepEqual(problems({ ...uid, TENCRYPT_CAPTURE: "1337:15101" }), [
    "TENCRYPT_CAPTURE names uid 1337, which is TENCRYPT_PROXY_UID: a container with it would not be captured",
  ]);
  assert.deepEqual(problems({ ...uid, TENCRYPT_CAPTURE: "2001:15101,2001:15102" }), [
    "uid 2001 is given more than once: TENCRYPT_CAPTURE, TENCRYPT_CAPTURE",
  ]);
  assert.deepEqual(problems({ ...uid, TENCRYPT_CAPTURE: "2001:15008", TENCRYPT_ADMIN_PORT: "15006" }), [
    "port 15006 is given more than once: the inbound port, the admin port",
    "port 15008 is given more than once: the tunnel port, TENCRYPT_CAPTURE of uid 2001",
  ]);
});
