/**
 * The ruleset: configuration to rules, for one address family. Pure.
 *
 * What the rules guarantee together, for IPv4 and IPv6 alike:
 * - TCP that enters or leaves the pod goes to the proxy, and what nat did not capture is refused by filter. Flushing
 *   nat alone therefore gives refusals and not one clear byte. What the pod forwards (of virtual machines and containers
 *   inside of it) is no exception.
 * - What nat redirects to the proxy does not leave the pod, whatever interface its socket is bound to.
 * - Nobody but the proxy's UID completes a handshake on a proxy port, inside the pod or from outside.
 * - Loopback and the pod's own addresses are not touched: whoever listens there is in the same pod.
 * - ICMP errors and IPv6 neighbour discovery always pass; other UDP and ICMP as `udp` says.
 *
 * All of it lies in chains of our own, which end in RETURN: rules of others still apply behind them.
 */
import { proxyPorts } from "./config.ts";
import type { Config } from "./config.ts";

export type Family = "v4" | "v6";
export type TableName = "filter" | "mangle" | "nat";

/** `match` and `target` in the order and spelling in which iptables-save gives them back. */
export type Rule = {
  readonly chain: string;
  readonly match: string;
  readonly target: string;
  readonly comment: string;
};
/** From a chain of the kernel's to one of ours; always its first rule. */
export type Jump = { readonly from: string; readonly to: string; readonly comment: string };
export type Table = {
  readonly name: TableName;
  readonly chains: readonly string[];
  readonly jumps: readonly Jump[];
  readonly rules: readonly Rule[];
};
/** In the order of their commits: filter refuses before nat captures, so a failure in between is closed. */
export type Ruleset = readonly Table[];

export const ownPrefix = "TENCRYPT_";
export const natIn = "TENCRYPT_NAT_IN";
export const natOut = "TENCRYPT_NAT_OUT";
export const filterIn = "TENCRYPT_IN";
export const filterOut = "TENCRYPT_OUT";
export const filterForward = "TENCRYPT_FORWARD";
export const mangleOut = "TENCRYPT_MANGLE_OUT";
export const icmpChain = "TENCRYPT_ICMP";
/** Not in a ruleset: stand in front of it while it is changed. */
export const guardIn = "TENCRYPT_GUARD_IN";
export const guardOut = "TENCRYPT_GUARD_OUT";
/**
 * An empty chain in each table that did not exist before: `--remove` then takes away the table as well. It is all the
 * memory there is, since init runs once and the pod's network namespace outlives it.
 */
export const newTable = "TENCRYPT_NEW_TABLE";

type Line = readonly [match: string, target: string, comment: string];

const inChain = (chain: string, lines: readonly Line[]): readonly Rule[] =>
  lines.map(([match, target, comment]) => ({ chain, match, target, comment }));

const icmpProtocol = (family: Family): string => (family === "v4" ? "icmp" : "ipv6-icmp");
const reset = "REJECT --reject-with tcp-reset";
const unreachable = (family: Family): string =>
  `REJECT --reject-with ${family === "v4" ? "icmp-port-unreachable" : "icmp6-port-unreachable"}`;
const prohibited = (family: Family): string =>
  `REJECT --reject-with ${family === "v4" ? "icmp-admin-prohibited" : "icmp6-adm-prohibited"}`;

/** multiport takes at most 15 ports a rule. */
function multiport(option: "--dports" | "--sports", ports: readonly number[]): readonly string[] {
  const rules: string[] = [];
  for (let at = 0; at < ports.length; at += 15) {
    rules.push(`-m multiport ${option} ${ports.slice(at, at + 15).join(",")}`);
  }
  return rules;
}

function nat(config: Config): Table {
  const { ports } = config;
  const open = multiport("--dports", [ports.tunnel, ports.metrics, ports.health]);
  return {
    name: "nat",
    chains: [natIn, natOut],
    jumps: [
      { from: "PREROUTING", to: natIn, comment: "what comes from outside" },
      { from: "OUTPUT", to: natOut, comment: "what the pod sends" },
    ],
    rules: [
      ...inChain(natIn, [
        ...open.map((match): Line => [`-p tcp ${match}`, "RETURN", "the proxy serves these ports itself"]),
        ["-p tcp", `REDIRECT --to-ports ${ports.inbound}`, "all other TCP from outside to the proxy"],
      ]),
      ...inChain(natOut, [
        [`-m owner --uid-owner ${config.proxyUid}`, "RETURN", "traffic of the proxy itself is not captured"],
        ["-o lo", "RETURN", "loopback and addresses of the pod are not captured"],
        ...config.captures.map(({ uid, port }): Line => [
          `-p tcp -m owner --uid-owner ${uid}`,
          `REDIRECT --to-ports ${port}`,
          `TCP of the container with uid ${uid} to its own port of the proxy`,
        ]),
        ["-p tcp", `REDIRECT --to-ports ${ports.outbound}`, "all other TCP of the pod to the proxy"],
      ]),
    ],
  };
}

/**
 * Where nat has done its work, INPUT sees the port after REDIRECT. Errors come before INVALID (an ICMP error for a
 * connection that the kernel has forgotten is INVALID), and INVALID before everything that passes: such a packet is
 * not translated, so it would reach the application, or leave, as it is.
 */
function inputRules(config: Config, family: Family): readonly Rule[] {
  const { ports } = config;
  const served = multiport("--dports", [ports.inbound, ports.tunnel, ports.metrics, ports.health]);
  const refused: readonly Line[] = [["", unreachable(family), "dns-only: nothing but TCP comes in"]];
  return inChain(filterIn, [
    ["-i lo", "RETURN", "inside the pod"],
    ...toIcmp(family),
    ["-m conntrack --ctstate INVALID", "DROP", "not translated by nat"],
    ["-m conntrack --ctstate RELATED,ESTABLISHED", "RETURN", "of a connection that was let through"],
    ...served.map((match): Line => [`-p tcp ${match}`, "RETURN", "to the proxy"]),
    ["-p tcp", reset, "TCP that nat did not bring to the proxy"],
    ...(config.udp === "dns-only" ? refused : []),
  ]);
}

/**
 * The first rule names SYN-ACKs only: owner takes a packet without a socket for a foreign one, and the RST by which
 * the kernel refuses for a proxy that is not (or no longer) there must pass. `-o lo` would not do for "inside the pod":
 * filter still sees the interface from before REDIRECT. Packets that the kernel makes without a socket (RST of a
 * REJECT, the last ones of a closed connection) belong to no UID, hence RELATED,ESTABLISHED before the owner is asked.
 */
function outputRules(config: Config, family: Family): readonly Rule[] {
  const notProxy = `-m owner ! --uid-owner ${config.proxyUid}`;
  const answers = multiport("--sports", proxyPorts(config));
  const dnsOnly: readonly Line[] = [
    ["-p udp -m udp --dport 53", "RETURN", "dns-only: queries"],
    ["", unreachable(family), "dns-only: nothing else that is not TCP leaves"],
  ];
  return inChain(filterOut, [
    ...answers.map((match): Line => [
      `-p tcp -m tcp --tcp-flags SYN,ACK SYN,ACK ${match} ${notProxy}`,
      "DROP",
      "nobody else answers on a port of the proxy",
    ]),
    ["-m addrtype --dst-type LOCAL", "RETURN", "inside the pod, or redirected to the proxy"],
    ...toIcmp(family),
    ["-m conntrack --ctstate INVALID", "DROP", "not translated by nat"],
    ["-m conntrack --ctstate RELATED,ESTABLISHED", "RETURN", "of a connection that was let through"],
    [`-p tcp -m owner --uid-owner ${config.proxyUid}`, "RETURN", "the proxy"],
    ["-p tcp", reset, "TCP that nat did not bring to the proxy"],
    ...(config.udp === "dns-only" ? dnsOnly : []),
  ]);
}

/**
 * nat brings TCP that would be forwarded to the proxy as well, which refuses what is not for its pod; but for the ports
 * that it serves itself. So no connection is to be forwarded, and there is nothing to know about it.
 */
function forwardRules(config: Config, family: Family): readonly Rule[] {
  const refused: readonly Line[] = [["", unreachable(family), "dns-only: nothing but ICMP errors is forwarded"]];
  return inChain(filterForward, [
    ...toIcmp(family),
    ["-p tcp", reset, "TCP that nat did not bring to the proxy"],
    ...(config.udp === "dns-only" ? refused : []),
  ]);
}

/** A goto: what the ICMP chain lets through does not come back to the rules behind it. */
const toIcmp = (family: Family): readonly Line[] => [
  [`-p ${icmpProtocol(family)}`, `-g ${icmpChain}`, "ICMP is decided in one place"],
];

/**
 * REDIRECT sends the packets of a socket that is bound to an interface (SO_BINDTODEVICE, an IPv6 link-local address) to
 * loopback too, and yet the kernel routes them to that interface, behind OUTPUT. They must not leave the pod: with TCP
 * Fast Open the first one carries data.
 */
function mangle(family: Family): Table {
  const loopback = family === "v4" ? "127.0.0.0/8" : "::1/128";
  return {
    name: "mangle",
    chains: [mangleOut],
    jumps: [{ from: "POSTROUTING", to: mangleOut, comment: "what is about to leave the pod" }],
    rules: inChain(mangleOut, [[`-d ${loopback} ! -o lo`, "DROP", "for the proxy, but routed past it"]]),
  };
}

/** Destination unreachable, time exceeded, parameter problem; for IPv6 packet too big as well. */
const errorTypes: Readonly<Record<Family, readonly number[]>> = { v4: [3, 11, 12], v6: [1, 2, 3, 4] };
/** Router and neighbour solicitation and advertisement, and the multicast listener reports that carry them. */
const neighbourTypes: readonly number[] = [130, 131, 132, 133, 134, 135, 136, 143];

function icmpRules(udp: Config["udp"], family: Family): readonly Rule[] {
  const ofType = family === "v4" ? "-p icmp -m icmp --icmp-type" : "-p ipv6-icmp -m icmp6 --icmpv6-type";
  const neighbours = family === "v6" ? neighbourTypes : [];
  return inChain(icmpChain, [
    ...errorTypes[family].map((type): Line => [`${ofType} ${type}`, "RETURN", "errors always pass"]),
    ...neighbours.map((type): Line => [`${ofType} ${type}`, "RETURN", "neighbour discovery always passes"]),
    udp === "allow" ? ["", "RETURN", "other ICMP is allowed"] : ["", prohibited(family), "dns-only: no other ICMP"],
  ]);
}

const filterJumps: readonly Jump[] = [
  { from: "INPUT", to: filterIn, comment: "what comes from outside" },
  { from: "OUTPUT", to: filterOut, comment: "what the pod sends" },
  { from: "FORWARD", to: filterForward, comment: "what the pod forwards" },
];

const filter = (rules: readonly Rule[]): Table => ({
  name: "filter",
  chains: [filterIn, filterOut, filterForward, icmpChain],
  jumps: filterJumps,
  rules,
});

export function ruleset(config: Config, family: Family): Ruleset {
  const rules = [inputRules, outputRules, forwardRules].flatMap((of) => of(config, family));
  return [filter([...rules, ...icmpRules(config.udp, family)]), mangle(family), nat(config)];
}

/**
 * For a family whose connections cannot be redirected (no nat in this kernel): everything but loopback is refused, not
 * dropped, so that an application with addresses of both families goes on to the other one without a stall.
 */
export function refusingRuleset(family: Family): Ruleset {
  const rest: readonly Line[] = [
    ...toIcmp(family),
    ["-m conntrack --ctstate RELATED", "RETURN", "the refusals themselves"],
    ["-p tcp", reset, "this family cannot be redirected"],
    ["", prohibited(family), "this family cannot be redirected"],
  ];
  const rules = [
    ...inChain(filterIn, [["-i lo", "RETURN", "inside the pod"], ...rest]),
    ...inChain(filterOut, [["-m addrtype --dst-type LOCAL", "RETURN", "inside the pod"], ...rest]),
    ...inChain(filterForward, rest),
    ...icmpRules("dns-only", family),
  ];
  return [filter(rules)];
}

/**
 * Cuts the pod off while rules change: only what stays inside the pod passes, and ICMP. It accepts instead of
 * returning, so the proof can answer on the proxy's port although it does not run under the proxy's UID.
 */
export function guard(family: Family): Table {
  const icmp: Line = [`-p ${icmpProtocol(family)}`, "RETURN", "guard: ICMP and neighbour discovery"];
  const drop: Line = ["", "DROP", "guard: nothing else while the rules change"];
  return {
    name: "filter",
    chains: [guardIn, guardOut],
    jumps: [
      { from: "INPUT", to: guardIn, comment: "guard" },
      { from: "OUTPUT", to: guardOut, comment: "guard" },
      { from: "FORWARD", to: guardIn, comment: "guard" },
    ],
    rules: [
      ...inChain(guardIn, [["-i lo", "ACCEPT", "guard: inside the pod"], icmp, drop]),
      ...inChain(guardOut, [["-m addrtype --dst-type LOCAL", "ACCEPT", "guard: inside the pod"], icmp, drop]),
    ],
  };
}

const commented = (comment: string): string => `-m comment --comment "tencrypt: ${comment}"`;

/** `-g chain` is a target of its own; everything else follows `-j`. */
export function ruleText({ chain, match, target, comment }: Rule): string {
  const action = target.startsWith("-g ") ? target : `-j ${target}`;
  return ["-A", chain, ...(match === "" ? [] : [match]), commented(comment), action].join(" ");
}

/** What follows the chain's name. Unconditional: a jump with a match would let the rest pass by. */
export const jumpAction = ({ to, comment }: Jump): string => `${commented(comment)} -j ${to}`;

/** `at` counts from 1, as iptables does. */
export const insertJump = (jump: Jump, at: number): string => `-I ${jump.from} ${at} ${jumpAction(jump)}`;

/** As `--print` shows it: what iptables-restore --noflush would get in a pod without rules. */
export function formatRuleset(tables: Ruleset): string {
  return tables
    .map((table) =>
      [
        `*${table.name}`,
        ...table.chains.map((chain) => `:${chain} - [0:0]`),
        ...table.rules.map(ruleText),
        ...table.jumps.map((jump) => insertJump(jump, 1)),
        "COMMIT\n",
      ].join("\n"),
    )
    .join("");
}
