/** Reading rules back: the same meaning in another spelling is equal, everything else is a difference. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "../../../init/config.ts";
import { formatRuleset, ruleset } from "../../../init/ruleset.ts";
import { differences, meaning, parseSaved } from "../../../init/saved.ts";

const wanted = ruleset(readConfig({ TENCRYPT_PROXY_UID: "1337" }).config, "v4");
/** As iptables-save would print it. */
const asSaved = formatRuleset(wanted).replaceAll(/-I (\w+) 1 /g, "-A $1 ");

const same: readonly (readonly [string, string])[] = [
  ["-A X -p tcp -m tcp --dport 53 -j RETURN", "-A X -p tcp --dport 53 -j RETURN"],
  ["-A X -m owner ! --uid-owner 7 -p tcp -j DROP", "-A X -p tcp -m owner ! --uid-owner 7 -j DROP"],
  [
    "-A X -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
    "-A X -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
  ],
];
const different: readonly (readonly [string, string])[] = [
  ["-A X -m owner ! --uid-owner 7 -j DROP", "-A X -m owner --uid-owner 7 -j DROP"],
  ["-A X -p tcp -j RETURN", "-A X -p udp -j RETURN"],
  ["-A X -j RETURN", "-A X -p tcp -j RETURN"],
  ["-A X -g RETURN", "-A X -j RETURN"],
  ["-A X -j REJECT --reject-with tcp-reset", "-A X -j REJECT"],
  ["-A X -p tcp --tcp-flags SYN,ACK SYN,ACK -j DROP", "-A X -p tcp --tcp-flags SYN,ACK SYN -j DROP"],
  [`-A X --comment "-p tcp" -j DROP`, "-A X -p tcp -j DROP"],
];

for (const [one, other] of same) test(`means the same: ${one}`, () => assert.equal(meaning(one), meaning(other)));
for (const [one, other] of different)
  test(`does not: ${one} | ${other}`, () => assert.notEqual(meaning(one), meaning(other)));

test("what was meant is not different, with counters, comments and rules of others behind it", () => {
  assert.deepEqual(differences(parseSaved(asSaved), wanted), []);
  const noisy = asSaved
    .replaceAll(/^-A/gm, "[12:345] -A")
    .replace("*nat", "# Completed\n*raw\n:OTHERS - [0:0]\n-A OTHERS -j DROP\nCOMMIT\n*nat")
    .replace("COMMIT\n", "-A INPUT -p udp -j ACCEPT\nCOMMIT\n");
  assert.deepEqual(differences(parseSaved(noisy), wanted), []);
});

const changes: readonly (readonly [string, (text: string) => string, RegExp])[] = [
  [
    "a rule is missing",
    (text) => text.replace(/-A TENCRYPT_IN .*INVALID.*\n/, ""),
    /TENCRYPT_IN is not as it was meant/,
  ],
  [
    "two rules changed places",
    (text) => text.replace(/(-A TENCRYPT_NAT_OUT .*\n)(-A TENCRYPT_NAT_OUT .*\n)/, "$2$1"),
    /TENCRYPT_NAT_OUT is not/,
  ],
  ["another UID", (text) => text.replace("--uid-owner 1337", "--uid-owner 1338"), /TENCRYPT_OUT is not/],
  [
    "a rule more",
    (text) => text.replace("-A TENCRYPT_OUT", "-A TENCRYPT_OUT -j RETURN\n-A TENCRYPT_OUT"),
    /TENCRYPT_OUT is not/,
  ],
  [
    "a chain more",
    (text) => text.replace(":TENCRYPT_ICMP", ":TENCRYPT_OLD - [0:0]\n:TENCRYPT_ICMP"),
    /TENCRYPT_OLD was not meant/,
  ],
  ["no jump", (text) => text.replace(/-A PREROUTING .*\n/, ""), /PREROUTING does not begin with TENCRYPT_NAT_IN/],
  ["a jump twice", (text) => text.replace(/(-A PREROUTING .*\n)/, "$1$1"), /PREROUTING does not begin with/],
  [
    "a rule of others before the jump",
    (text) => text.replace("-A INPUT", "-A INPUT -j ACCEPT\n-A INPUT"),
    /INPUT does not begin with TENCRYPT_IN/,
  ],
  [
    "a jump with a condition",
    (text) => text.replace("-A OUTPUT -m", "-A OUTPUT -p udp -m"),
    /was not meant: -A OUTPUT -p udp/,
  ],
  ["no nat at all", (text) => text.slice(0, text.indexOf("*nat")), /TENCRYPT_NAT_IN is not as it was meant/],
];

for (const [name, change, expected] of changes) {
  test(`a difference: ${name}`, () => {
    assert.notEqual(change(asSaved), asSaved);
    assert.match(differences(parseSaved(change(asSaved)), wanted).join("\n"), expected);
  });
}
