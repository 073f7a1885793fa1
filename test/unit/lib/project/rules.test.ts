/** The spelling of rules: what is a rule, and what is refused rather than guessed at. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { namesAddress, namesCaller, parseAddressRule, parseCallerRule } from "../../../../lib/project/rules.ts";
import { ip } from "../../proxy/route/world.ts";

test("an address rule is a CIDR with or without a port", () => {
  const forms: Readonly<Record<string, readonly [string, number | null]>> = {
    "203.0.113.0/24": ["203.0.113.0/24", null],
    "203.0.113.0/24:443": ["203.0.113.0/24", 443],
    "0.0.0.0/0:1": ["0.0.0.0/0", 1],
    "fd00::/64": ["fd00::/64", null],
    "[fd00::/64]:443": ["fd00::/64", 443],
    "::/0": ["::/0", null],
  };
  for (const [text, [cidr, port]] of Object.entries(forms)) {
    const rule = parseAddressRule(text);
    assert.deepEqual([rule?.cidr.text, rule?.port], [cidr, port], text);
  }
});

test("what is no address rule is refused", () => {
  const texts = ["", "203.0.113.1", "203.0.113.1/24", "203.0.113.0/33", "203.0.113.0/24:0", "203.0.113.0/24:65536", "203.0.113.0/24:", "203.0.113.0/24:080", "203.0.113.0/24:443:1",
    "fd00::/64:443", "[fd00::/64]", "[fd00::/64]:", "[203.0.113.0/24]:443", "fd00::1/64", "[fd00::/64:443", "shop/web", "*", "0/0", "::ffff:10.0.0.0/104", " 10.0.0.0/8", "10.0.0.0/8 "]; // prettier-ignore
  for (const text of texts) assert.equal(parseAddressRule(text), null, text);
});

test("a caller rule is project/service account with or without a port", () => {
  assert.deepEqual(parseCallerRule("shop/web"), { project: "shop", serviceAccount: "web", port: null });
  assert.deepEqual(parseCallerRule("shop/web.x:8080"), { project: "shop", serviceAccount: "web.x", port: 8080 });
});

test("what is no caller rule is refused, a CIDR with a slip in it too", () => {
  for (const text of [
    "",
    "shop",
    "/web",
    "shop/",
    "shop/*",
    "*/web",
    "shop/web:",
    "shop/web:0",
    "shop/web:x",
    "Shop/web",
    "shop/web/x",
    "10.0.0.1/8",
    "10.0.0.1/8:80",
    "fd00::1/64",
    "shop:80/web",
    "shop/web:80:80",
  ]) {
    assert.equal(parseCallerRule(text), null, text);
  }
});

test("an address rule matches range, family and port", () => {
  const rules = [parseAddressRule("203.0.113.0/24:443")!, parseAddressRule("fd00::/64")!];
  assert.equal(namesAddress(rules, ip("203.0.113.255"), 443), true);
  assert.equal(namesAddress(rules, ip("203.0.113.255"), 80), false);
  assert.equal(namesAddress(rules, ip("203.0.114.0"), 443), false);
  assert.equal(namesAddress(rules, ip("fd00::1"), 1), true);
  assert.equal(namesAddress(rules, ip("fd00:0:0:1::1"), 1), false);
  assert.equal(namesAddress([parseAddressRule("::/0")!], ip("10.0.0.1"), 1), false);
  assert.equal(namesAddress([], ip("10.0.0.1"), 1), false);
});

test("names that contain one another are different callers", () => {
  const names = ["team-a/web", "team.a/web", "team-a-x/web", "team-a/web-x", "a/web"];
  for (const one of names) {
    for (const other of names) {
      const [project, serviceAccount] = other.split("/") as [string, string];
      assert.equal(
        namesCaller([parseCallerRule(one)!], { project, serviceAccount }, 80),
        one === other,
        `${one} and ${other}`,
      );
    }
  }
});
