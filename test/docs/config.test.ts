/**
 * docs/config.md names exactly the settings that each program reads, with the defaults that they really have, and the
 * ports that proxy and init agree on.
 */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { readConfig as readCa } from "../../ca/config.ts";
import { readConfig as readHook } from "../../hook/config.ts";
import { readConfig as readController } from "../../controller/config.ts";
import { readConfig as readInit } from "../../init/config.ts";
import { SettingsError } from "../../lib/config/settings.ts";
import type { Environment } from "../../lib/config/settings.ts";
import { exitCodes } from "../../lib/lifecycle/exit-codes.ts";
import { readConfig as readProxy } from "../../proxy/config.ts";

const page = readFileSync(join(import.meta.dirname, "../../docs/config.md"), "utf8");

/** The rows of all tables below a heading, cell by cell. */
function rowsOf(heading: string): readonly (readonly string[])[] {
  const section =
    page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? assert.fail(`no section ${heading}`);
  const lines = section.split("\n").filter((line) => /^\| *[`0-9]/.test(line));
  return lines.map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const unquote = (cell: string): string => /^`(.*)`$/.exec(cell)?.[1] ?? assert.fail(`${cell} is not in backquotes`);

type Complete = Record<string, string>;
type Program = { readonly read: (env: Environment) => unknown; readonly complete: readonly Complete[] };

const pod: Complete = {
  TENCRYPT_TRUST_DOMAIN: "mesh.local",
  TENCRYPT_NAMESPACE: "shop",
  TENCRYPT_SERVICE_ACCOUNT: "cart",
  TENCRYPT_POD_NAME: "cart-1",
  TENCRYPT_POD_UID: "9f3e",
  TENCRYPT_POD_IPS: "10.0.0.2,fd00::2",
  TENCRYPT_CA_ADDRESS: "ca.local:15012",
  TENCRYPT_CA_ROOT_FILE: "/run/root.pem",
  TENCRYPT_TOKEN_FILE: "/run/token",
};

/** Each program with settings that are complete: what is required and nothing else, once for each way to run it. */
const programs: Readonly<Record<string, Program>> = {
  proxy: {
    read: readProxy,
    complete: [
      { ...pod, TENCRYPT_DIRECTORY_FILE: "/run/directory.json" },
      { ...pod, TENCRYPT_DIRECTORY_ADDRESS: "controller.local:15013" },
    ],
  },
  ca: {
    read: readCa,
    complete: [
      {
        TENCRYPT_CA_LISTEN: "[::]:15012",
        TENCRYPT_TRUST_DOMAIN: "mesh.local",
        TENCRYPT_AUTHENTICATOR: "jwks",
        TENCRYPT_JWKS_FILE: "/run/jwks.json",
        TENCRYPT_TOKEN_ISSUER: "https://issuer.local",
        TENCRYPT_CA_STORE: "/run/store",
      },
      {
        TENCRYPT_CA_LISTEN: "[::]:15012",
        TENCRYPT_TRUST_DOMAIN: "mesh.local",
        TENCRYPT_AUTHENTICATOR: "kubernetes",
        TENCRYPT_INIT_IMAGES: "local/init:1",
        TENCRYPT_PROXY_IMAGES: "local/proxy:1",
        TENCRYPT_CA_STORE: "kubernetes",
      },
    ],
  },
  hook: { read: readHook, complete: [{}] },
  controller: {
    read: readController,
    complete: [
      {
        TENCRYPT_TRUST_DOMAIN: "mesh.local",
        TENCRYPT_NAMESPACE: "tencrypt-system",
        TENCRYPT_POD_NAME: "controller-1",
        TENCRYPT_POD_UID: "77aa",
        TENCRYPT_CA_ADDRESS: "ca.local:15012",
        TENCRYPT_TOKEN_FILE: "/run/token",
        TENCRYPT_WEBHOOK_LISTEN: "[::]:15017",
        TENCRYPT_DIRECTORY_LISTEN: "[::]:15013",
        TENCRYPT_INIT_IMAGE: "local/init:1",
        TENCRYPT_PROXY_IMAGE: "local/proxy:1",
      },
    ],
  },
  init: { read: readInit, complete: [{ TENCRYPT_PROXY_UID: "1337" }] },
};

/** The names that a reader asks for; it may refuse what it finds. */
function namesRead(read: Program["read"], env: Record<string, string>): readonly string[] {
  const names = new Set<string>();
  const recording = new Proxy(env, {
    get(target, name: string) {
      names.add(name);
      return target[name];
    },
  });
  try {
    read(recording);
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error));
  }
  return [...names];
}

/** What an endpoint turns on is part of the values compared. */
const tracing = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector.local:4318" };

for (const [name, { read, complete }] of Object.entries(programs)) {
  describe(`docs/config.md, ${name}`, () => {
    const rows = rowsOf(name).map(([setting, fallback]) => ({ setting: unquote(setting!), fallback: fallback! }));
    const documented = rows.map((row) => row.setting);

    test("names each setting once, and exactly those that are read", () => {
      const actual = new Set([{}, ...complete].flatMap((env) => namesRead(read, env)));
      assert.deepEqual(documented.toSorted(), [...actual].toSorted());
    });

    for (const { setting, fallback } of rows) {
      test(`${setting}: ${fallback}`, () => {
        const way = complete.find((env) => namesRead(read, env).includes(setting)) ?? assert.fail("nothing reads it");
        const without: Record<string, string> = { ...tracing, ...way };
        if (fallback === "required") {
          delete without[setting];
          const isMissing = (error: unknown): boolean =>
            error instanceof SettingsError &&
            error.problems.length === 1 &&
            error.problems[0]!.startsWith(`${setting} is missing`);
          assert.throws(() => read(without), isMissing);
          return;
        }
        assert.ok(!(setting in way));
        if (fallback === "none") return void read(without);
        const comparable = (env: Environment): unknown => JSON.parse(JSON.stringify(read(env)));
        assert.deepEqual(comparable({ ...without, [setting]: unquote(fallback) }), comparable(without));
        // A value that the reader does not take for the default shows that the comparison can fail.
        assert.throws(() =>
          assert.deepEqual(comparable({ ...without, [setting]: other(setting) }), comparable(without)),
        );
      });
    }
  });
}

/** A value that is not the default: another valid one where the reader refuses nothing, else one that it refuses. */
function other(setting: string): string {
  const valid: Readonly<Record<string, string>> = { TENCRYPT_MODE: "permissive", TENCRYPT_TOKEN_AUDIENCE: "another" };
  return valid[setting] ?? "not a value";
}

describe("docs/config.md", () => {
  test("lists the ports that proxy and init share, with their defaults", () => {
    const rows = rowsOf("Ports").map(([setting, fallback]) => `${setting} ${fallback}`);
    for (const name of ["proxy", "init"]) {
      const ports = rowsOf(name).filter(([setting]) => setting!.endsWith("_PORT`"));
      assert.deepEqual(
        ports.map(([setting, fallback]) => `${setting} ${fallback}`),
        rows,
        name,
      );
    }
  });

  test("lists the exit codes of the programs", () => {
    const codes = rowsOf("Exit codes").map(([code]) => Number(code));
    assert.deepEqual(
      codes,
      Object.values(exitCodes).toSorted((one, next) => one - next),
    );
  });

  test("names events of the log that the code writes", () => {
    const root = join(import.meta.dirname, "../..");
    const files = globSync("{ca,controller,hook,init,lib,proxy}/**/*.ts", { cwd: root });
    const code = files.map((path) => readFileSync(join(root, path), "utf8")).join("\n");
    // The ca puts these together from what was asked for.
    const composed = ["certificate_refused", "bundle_refused", "request_refused"];
    const section = page.split(/^## /m).find((part) => part.startsWith("Log\n")) ?? "";
    const heads = section.split("\n").flatMap((line) => /^\| (`.*?) \|/.exec(line)?.[1] ?? []);
    const events = heads.flatMap((head) => head.split(", ").map(unquote));
    assert.ok(events.length > 30);
    assert.deepEqual(
      events.filter((event) => !composed.includes(event) && !code.includes(`"${event}"`)),
      [],
    );
  });
});
