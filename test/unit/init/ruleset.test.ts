/** The rules as golden files (rewritten with GOLDEN=update), and what must hold for every configuration. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { readConfig } from "../../../init/config.ts";
import type { Config } from "../../../init/config.ts";
import { formatRuleset, guard, refusingRuleset, ruleset } from "../../../init/ruleset.ts";
import type { Ruleset } from "../../../init/ruleset.ts";
import { draw } from "../../property/seed.ts";

const folder = join(import.meta.dirname, "../../golden/init");
const families = ["v4", "v6"] as const;

const isolated = Array.from({ length: 12 }, (_, index) => `${2001 + index}:${15_101 + index}`);
const cases: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  default: {},
  "dns-only": { TENCRYPT_UDP: "dns-only" },
  "another-uid": { TENCRYPT_PROXY_UID: "1000680001" },
  "highest-uid": { TENCRYPT_PROXY_UID: "4294967294" },
  "one-container": { TENCRYPT_CAPTURE: "2001:15101" },
  "root-container": { TENCRYPT_CAPTURE: "0:15101" },
  "three-containers-in-any-order": { TENCRYPT_CAPTURE: "2003:15103,2001:15101,2002:15102" },
  "more-ports-than-one-rule-holds": { TENCRYPT_CAPTURE: isolated.join(",") },
  "containers-dns-only": { TENCRYPT_CAPTURE: "2001:15101,2002:15102", TENCRYPT_UDP: "dns-only" },
  "other-capture-ports": { TENCRYPT_OUTBOUND_PORT: "25001", TENCRYPT_INBOUND_PORT: "25006" },
  "other-open-ports": { TENCRYPT_TUNNEL_PORT: "25008", TENCRYPT_METRICS_PORT: "25020", TENCRYPT_HEALTH_PORT: "25021" },
  "low-ports": { TENCRYPT_ADMIN_PORT: "1", TENCRYPT_OUTBOUND_PORT: "2", TENCRYPT_INBOUND_PORT: "65535" },
  "backend-changes-no-rule": { TENCRYPT_IPTABLES_BACKEND: "legacy" },
};

function compare(name: string, text: string): void {
  const file = join(folder, name);
  if (process.env["GOLDEN"] === "update") writeFileSync(file, text);
  assert.equal(text, readFileSync(file, "utf8"));
}

for (const [name, env] of Object.entries(cases)) {
  for (const family of families) {
    test(`rules of ${family}: ${name}`, () => {
      const { config } = readConfig({ TENCRYPT_PROXY_UID: "1337", ...env });
      compare(`${name}.${family}`, formatRuleset(ruleset(config, family)));
    });
  }
}

for (const family of families) {
  test(`rules of ${family}: guard, and a family that cannot be redirected`, () => {
    compare(`guard.${family}`, formatRuleset([guard(family)]));
    compare(`refusing.${family}`, formatRuleset(refusingRuleset(family)));
  });
}

test("every golden file belongs to a case", () => {
  const names = [...Object.keys(cases), "guard", "refusing"].flatMap((name) =>
    families.map((family) => `${name}.${family}`),
  );
  assert.deepEqual(readdirSync(folder).toSorted(), names.toSorted());
});

const port = fc.integer({ min: 1, max: 65_535 });
const configs: fc.Arbitrary<Config> = fc
  .record({
    udp: fc.constantFrom("allow", "dns-only"),
    uids: fc.uniqueArray(fc.integer({ min: 0, max: 4_294_967_294 }), { minLength: 1, maxLength: 20 }),
    ports: fc.uniqueArray(port, { minLength: 26, maxLength: 26 }),
  })
  .map(({ udp, uids, ports }) => {
    const [outbound, inbound, tunnel, admin, metrics, health, ...more] = ports as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const [proxyUid, ...others] = uids as [number];
    const captures = others.map((uid: number, index) => ({ uid, port: more[index]! }));
    return { proxyUid, udp, captures, backend: "auto", ports: { outbound, inbound, tunnel, admin, metrics, health } };
  });

const chain = (tables: Ruleset, name: string): readonly string[] =>
  tables.flatMap(({ rules }) =>
    rules.filter((rule) => rule.chain === name).map(({ match, target }) => `${match} ${target}`),
  );

test("for every configuration: the order that the guarantees rest on, in both families", () => {
  fc.assert(
    fc.property(configs, fc.constantFrom(...families), (config, family) => {
      const tables = ruleset(config, family);
      const captured = chain(tables, "TENCRYPT_NAT_OUT");
      assert.equal(captured[0], `-m owner --uid-owner ${config.proxyUid} RETURN`);
      assert.equal(captured[1], "-o lo RETURN");
      assert.equal(captured.at(-1), `-p tcp REDIRECT --to-ports ${config.ports.outbound}`);
      assert.equal(captured.length, 3 + config.captures.length);
      assert.equal(chain(tables, "TENCRYPT_NAT_IN").at(-1), `-p tcp REDIRECT --to-ports ${config.ports.inbound}`);
      for (const name of ["TENCRYPT_IN", "TENCRYPT_OUT"]) {
        const rules = chain(tables, name);
        const invalid = rules.indexOf("-m conntrack --ctstate INVALID DROP");
        const known = rules.indexOf("-m conntrack --ctstate RELATED,ESTABLISHED RETURN");
        const rest = rules.indexOf("-p tcp REJECT --reject-with tcp-reset");
        assert.ok(invalid > 0 && invalid < known && known < rest, rules.join("\n"));
      }
      assert.doesNotMatch(formatRuleset(tables), /ACCEPT/);
    }),
    draw(300),
  );
});

test("every rule and jump carries a comment that iptables-save gives back unchanged", () => {
  fc.assert(
    fc.property(configs, fc.constantFrom(...families), (config, family) => {
      for (const table of [...ruleset(config, family), ...refusingRuleset(family), guard(family)]) {
        for (const { comment } of [...table.rules, ...table.jumps]) assert.match(comment, /^[a-zA-Z0-9 ,:-]{4,200}$/);
      }
      for (const line of formatRuleset(ruleset(config, family))
        .split("\n")
        .filter((each) => /^-[AI]/.test(each))) {
        assert.match(line, /-m comment --comment "tencrypt: /);
      }
    }),
    draw(100),
  );
});
