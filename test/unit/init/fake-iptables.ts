/**
 * iptables in memory: as much of iptables-restore and iptables-save as init uses, with its strictness (deleting a rule
 * or a chain that is not there, or a chain that is in use, fails the whole table), and failures on demand.
 */
import type { Answer, Backend, Iptables } from "../../../init/iptables.ts";
import type { Family } from "../../../init/ruleset.ts";

type Chains = Map<string, string[]>;
type Tables = Map<string, Chains>;

const builtin: Readonly<Record<string, readonly string[]>> = {
  filter: ["INPUT", "FORWARD", "OUTPUT"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
};

export type Call = { readonly backend: Backend; readonly family: Family; readonly what: string; readonly text: string };

export class FakeIptables implements Iptables {
  readonly calls: Call[] = [];
  policy = "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n";
  /** What fails, and why: asked before every call. */
  fails: (call: Call) => boolean = () => false;
  /** So many tables of a text are set before what fails does, as in the kernel: each is one transaction. */
  tablesBefore = 0;
  readonly #backends: readonly Backend[];
  readonly #state = new Map<string, Tables>();

  constructor(backends: readonly Backend[] = ["nft"]) {
    this.#backends = backends;
  }

  backends(): readonly Backend[] {
    return this.#backends;
  }

  inUse(): boolean {
    return true;
  }

  #tables(backend: Backend, family: Family): Tables {
    const key = `${backend} ${family}`;
    const tables = this.#state.get(key) ?? new Map<string, Chains>();
    this.#state.set(key, tables);
    return tables;
  }

  /** What iptables-save prints. */
  text(backend: Backend = "nft", family: Family = "v4"): string {
    return [...this.#tables(backend, family)]
      .map(([name, chains]) => {
        const own = builtin[name] ?? [];
        const heads = [...chains.keys()].map((chain) => `:${chain} ${own.includes(chain) ? "ACCEPT" : "-"} [0:0]`);
        const rules = [...chains].flatMap(([chain, list]) => list.map((rule) => `-A ${chain} ${rule}`));
        return `*${name}\n${[...heads, ...rules].join("\n")}\nCOMMIT\n`;
      })
      .join("");
  }

  #answer(call: Call, run: (part?: number) => string): Answer {
    this.calls.push(call);
    const command = `${call.what} ${call.family}`;
    try {
      if (this.fails(call)) {
        if (this.tablesBefore > 0) run(this.tablesBefore);
        return { kind: "failed", command, why: "on purpose" };
      }
      return { kind: "ok", text: run() };
    } catch (error) {
      return { kind: "failed", command, why: String(error) };
    }
  }

  save(backend: Backend, family: Family): Answer {
    return this.#answer({ backend, family, what: "save", text: "" }, () => this.text(backend, family));
  }

  restore(backend: Backend, family: Family, text: string, how: "test" | "keep" | "replace"): Answer {
    return this.#answer({ backend, family, what: how, text }, (part) => {
      const tables = this.#tables(backend, family);
      const sections = text.split("COMMIT\n").filter((section) => section !== "");
      for (const section of sections.slice(0, part)) {
        const [head = "", ...lines] = section.trim().split("\n");
        const name = head.slice(1);
        const next = how === "replace" ? null : changed(name, tables.get(name), lines);
        if (how === "test") continue;
        if (next === null) tables.delete(name);
        else tables.set(name, next);
      }
      return "";
    });
  }

  routingPolicy(): Answer {
    return this.#answer({ backend: "plain", family: "v6", what: "policy", text: "" }, () => this.policy);
  }

  /** Line by line, as `ip -batch` does: what stands before a line that fails is done. */
  changeRoutingPolicy(lines: readonly string[]): Answer {
    return this.#answer({ backend: "plain", family: "v6", what: "change policy", text: lines.join("\n") }, () => {
      for (const line of lines) this.policy = withRule(this.policy, line);
      return "";
    });
  }
}

function withRule(policy: string, line: string): string {
  const [, verb, pref, what] = /^rule (add|del) pref (\d) (.+)$/.exec(line) ?? [];
  const rule = `${pref}:\tfrom all ${what}`;
  const rules = policy.trim().split("\n");
  if (rules.includes(rule) === (verb === "add"))
    throw new Error(`${line}: ${verb === "add" ? "File exists" : "No such file"}`);
  const next = verb === "add" ? [...rules, rule] : rules.filter((each) => each !== rule);
  return `${next.toSorted((one, other) => Number.parseInt(one) - Number.parseInt(other)).join("\n")}\n`;
}

function changed(name: string, before: Chains | undefined, lines: readonly string[]): Chains {
  const chains: Chains = new Map([...(before ?? [])].map(([chain, rules]) => [chain, [...rules]]));
  for (const chain of builtin[name] ?? []) if (!chains.has(chain)) chains.set(chain, []);
  for (const line of lines) apply(chains, line);
  return chains;
}

function apply(chains: Chains, line: string): void {
  const [verb = "", chain = "", ...rest] = line.split(" ");
  if (verb.startsWith(":")) {
    chains.set(verb.slice(1), []);
    return;
  }
  const rules = chains.get(chain);
  if (rules === undefined) throw new Error(`no chain: ${line}`);
  if (verb === "-A") rules.push(rest.join(" "));
  else if (verb === "-I") rules.splice(Number(rest[0]) - 1, 0, rest.slice(1).join(" "));
  else if (verb === "-D") deleteRule(rules, rest.join(" "), line);
  else if (verb === "-F") rules.length = 0;
  else if (verb === "-X") deleteChain(chains, chain, rules);
  else throw new Error(`unknown: ${line}`);
}

function deleteRule(rules: string[], rule: string, line: string): void {
  const at = rules.indexOf(rule);
  if (at < 0) throw new Error(`no rule: ${line}`);
  rules.splice(at, 1);
}

function deleteChain(chains: Chains, chain: string, rules: readonly string[]): void {
  const used = [...chains.values()].flat().some((rule) => rule.endsWith(` ${chain}`));
  if (rules.length > 0 || used) throw new Error(`chain in use: ${chain}`);
  chains.delete(chain);
}
