/** A pod: a network namespace with an address of each family on the bridge, and the processes that run in it. */
import { Child, basicEnvironment, run } from "./child.ts";
import type { Json, Outcome } from "./child.ts";
import { enter, uids } from "./enter.ts";
import type { Code } from "./enter.ts";
import type { MemoryLimit } from "./memory-limits.ts";
import type { Mode } from "../../lib/project/mode.ts";
import type { WorkloadEntry } from "./directory.ts";

export type PodOptions = {
  readonly name: string;
  readonly project: string;
  readonly serviceAccount?: string;
  /** False: the directory names it without a tunnel port. */
  readonly protected?: boolean;
  /** False: the directory does not name it at all. */
  readonly listed?: boolean;
  readonly mode?: Mode | null;
  readonly allowFrom?: readonly string[];
};

export type PodFacts = Required<PodOptions> & {
  readonly uid: string;
  readonly accountUid: string;
  readonly ips: readonly [string, string];
  readonly netns: string;
};

export type RunOptions = {
  /** The application's uid without any privilege unless told; 0 is root with all capabilities. */
  readonly uid?: number;
  readonly env?: Readonly<Record<string, string>>;
};

export type SpawnOptions = RunOptions & { readonly memory?: MemoryLimit };

export type ExecOptions = RunOptions & { readonly stdin?: string; readonly timeoutMs?: number };

/** What the pod needs of its cluster. */
export type PodHost = { readonly code: Code; readonly started: (child: Child) => void };

const tunnelPort = 15_008;

export class Pod {
  readonly facts: PodFacts;
  readonly #host: PodHost;

  constructor(facts: PodFacts, host: PodHost) {
    this.facts = facts;
    this.#host = host;
  }

  get name(): string {
    return this.facts.name;
  }
  get ips(): readonly [string, string] {
    return this.facts.ips;
  }
  get ip(): string {
    return this.facts.ips[0];
  }
  get ip6(): string {
    return this.facts.ips[1];
  }

  #argv(uid: number | undefined, command: readonly string[]): readonly string[] {
    return enter(this.facts.netns, uid ?? uids.application, this.#host.code, command);
  }

  /** Runs a command to its end. */
  exec(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<Outcome> {
    const { uid, env, ...rest } = options;
    const started = this.#host.started;
    return run(this.#argv(uid, [command, ...args]), { env: { ...basicEnvironment, ...env }, started, ...rest });
  }

  /** Like `exec`; anything but exit code 0 is an error that shows the output. */
  async must(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<string> {
    const outcome = await this.exec(command, args, options);
    if (outcome.code === 0) return outcome.stdout;
    throw new Error(
      `${this.name}: ${command} ${args.join(" ")}: exit ${outcome.code ?? outcome.signal}: ${outcome.stderr || outcome.stdout}`,
    );
  }

  /** Starts a long-lived process. */
  spawn(name: string, command: readonly string[], options: SpawnOptions = {}): Child {
    const { uid, memory } = options;
    const limited = memory === undefined ? [] : ["sh", "-ec", 'echo $$ > "$0"; exec "$@"', memory.procs];
    const child = new Child(`${this.name}/${name}`, [...limited, ...this.#argv(uid, command)], {
      ...basicEnvironment,
      ...options.env,
    });
    this.#host.started(child);
    return child;
  }

  /** The command line of a script of the repository (`test/topology/apps/echo-server.ts`). */
  nodeCommand(script: string, args: readonly string[] = []): readonly string[] {
    return [this.#host.code.node, `${this.#host.code.root}/${script}`, ...args];
  }

  /** Starts a program of `apps/` by name and waits until it says `event`, if told. */
  async app(
    name: AppName,
    args: readonly string[] = [],
    options: RunOptions & { event?: string } = {},
  ): Promise<Child> {
    const child = this.spawn(name, this.nodeCommand(`test/topology/apps/${name}.ts`, args), options);
    await child.event(options.event ?? "ready");
    return child;
  }

  /** A server that listens on `port`; 0 for any, which is returned. */
  async serve(name: ServerName, port: number, args: readonly string[] = []): Promise<{ child: Child; port: number }> {
    const child = await this.app(name, ["--port", `${port}`, "--pod", this.name, ...args], { event: "listening" });
    return { child, port: Number((child.events("listening")[0] as Json)["port"]) };
  }

  workload(): WorkloadEntry {
    const { name, project, serviceAccount, uid, ips, mode, allowFrom } = this.facts;
    return {
      project,
      serviceAccount,
      pod: name,
      uid,
      ips,
      mode,
      allowFrom,
      ...(this.facts.protected ? { tunnelPort } : {}),
    };
  }
}

export type ServerName = "http-server" | "greeting-server" | "echo-server" | "bulk-server" | "sink-server";
export type AppName =
  | ServerName
  | "http-client"
  | "dialer"
  | "tunnel-client"
  | "flooder"
  | "collector"
  | "datagrams"
  | "meddler"
  | "hostile-ca"
  | "ca-client";
