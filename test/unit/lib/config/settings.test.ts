/** Every problem at once, each once: what compares settings is silent about what could not be read. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readConfig as readController } from "../../../../controller/config.ts";
import { readConfig as readInit } from "../../../../init/config.ts";
import { Settings, SettingsError } from "../../../../lib/config/settings.ts";
import type { Environment } from "../../../../lib/config/settings.ts";
import { readConfig as readProxy } from "../../../../proxy/config.ts";

function problemsOf(read: (env: Environment) => unknown, env: Environment): readonly string[] {
  try {
    read(env);
    return [];
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error));
    return error.problems;
  }
}

const proxy = {
  TENCRYPT_TRUST_DOMAIN: "cluster.local",
  TENCRYPT_NAMESPACE: "shop",
  TENCRYPT_SERVICE_ACCOUNT: "cart",
  TENCRYPT_POD_NAME: "cart-1",
  TENCRYPT_POD_UID: "9f3e",
  TENCRYPT_POD_IPS: "10.0.0.2",
  TENCRYPT_CA_ADDRESS: "ca:15012",
  TENCRYPT_CA_ROOT_FILE: "/root.pem",
  TENCRYPT_TOKEN_FILE: "/token",
  TENCRYPT_DIRECTORY_FILE: "/directory.json",
};

describe("settings of the proxy", () => {
  test("are good", () => assert.deepEqual(problemsOf(readProxy, proxy), []));

  test("two ports that cannot be read are not the same port", () => {
    const env = { ...proxy, TENCRYPT_OUTBOUND_PORT: "x", TENCRYPT_INBOUND_PORT: "99999" };
    assert.deepEqual(problemsOf(readProxy, env), [
      'TENCRYPT_OUTBOUND_PORT is "x": expected a port from 0 to 65535',
      'TENCRYPT_INBOUND_PORT is "99999": expected a port from 0 to 65535',
    ]);
    assert.deepEqual(problemsOf(readProxy, { ...env, TENCRYPT_ADMIN_PORT: "15020" }).slice(2), [
      "two of the TENCRYPT_..._PORT settings name the same port",
    ]);
  });

  test("a directory's address that cannot be read asks for no file in its place", () => {
    const { TENCRYPT_DIRECTORY_FILE: _, ...others } = proxy;
    assert.deepEqual(problemsOf(readProxy, { ...others, TENCRYPT_DIRECTORY_ADDRESS: "controller" }), [
      'TENCRYPT_DIRECTORY_ADDRESS is "controller": expected host:port',
    ]);
  });

  test("a queue that cannot be read is not compared with a batch", () => {
    const env = { ...proxy, OTEL_BSP_MAX_QUEUE_SIZE: "many", OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "4096" };
    assert.equal(problemsOf(readProxy, env).length, 1);
  });
});

test("init does not compare what could not be read", () => {
  const env = {
    TENCRYPT_PROXY_UID: "root",
    TENCRYPT_CAPTURE: "nobody",
    TENCRYPT_ADMIN_PORT: "x",
    TENCRYPT_HEALTH_PORT: "0",
  };
  assert.equal(problemsOf(readInit, env).length, 4);
});

test("the ca's address is checked by the controller as by the proxy", () => {
  for (const read of [readProxy, readController]) {
    const found = problemsOf(read, { TENCRYPT_CA_ADDRESS: "ca.local" });
    assert.ok(found.includes('TENCRYPT_CA_ADDRESS is "ca.local": expected host:port'), found.join("; "));
  }
});

describe("what is to dial and what is to listen on", () => {
  test("port 0 can be listened on, and not dialled", () => {
    const settings = new Settings({ TENCRYPT_A: "a:0", TENCRYPT_B: "[::]:0" });
    assert.equal(settings.address("TENCRYPT_A"), undefined);
    assert.deepEqual(settings.listen("TENCRYPT_B", 1), { host: "::", port: 0 });
    assert.throws(() => settings.finish({}), /TENCRYPT_A is "a:0": expected host:port$/);
  });

  test("a whole is usable if all its parts are", () => {
    const settings = new Settings({ TENCRYPT_A: "x" });
    assert.equal(settings.whole({ a: settings.port("TENCRYPT_A"), b: 1 }), undefined);
    assert.deepEqual(settings.whole({ a: settings.port("TENCRYPT_B", 2), b: null }), { a: 2, b: null });
  });
});
