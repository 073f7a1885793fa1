/**
 * The smallest network that init can be tested in: a pod, somebody outside, and one cable. No bridge, no route beyond
 * the subnet, so every packet that leaves the pod is seen at the other end of the cable. Where a test asks for it,
 * somebody behind the pod, whom it forwards for.
 */
import { join } from "node:path";
import { cableTap, startCapture } from "./capture.ts";
import type { Capture } from "./capture.ts";
import { Child, basicEnvironment, run } from "./child.ts";
import type { Outcome } from "./child.ts";
import { enter, locateCode, scriptOf, uids } from "./enter.ts";
import type { Code } from "./enter.ts";
import { clusterFolder, mountPoint, removeFolder, removeStaleFolders } from "./folders.ts";
import { createNamespace, deleteNamespaces, ip, namespaceName, removeStaleNamespaces } from "./namespaces.ts";

export type Where = "pod" | "outside" | "behind";
export const addresses = {
  pod: { v4: "10.77.0.2", v6: "fd77::2" },
  outside: { v4: "10.77.0.3", v6: "fd77::3" },
  behind: { v4: "10.78.0.2", v6: "fd78::2" },
  /** Nobody's; the cable carries packets to it without asking for a neighbour. */
  nobody: "10.77.0.254",
} as const;

export type Settings = Readonly<Record<string, string>>;
export type InitOptions = { readonly settings?: Settings; readonly args?: readonly string[]; readonly path?: string };

/** Names of the clusters of one process count from 1; these are far above. */
let pairs = 9000;

export class Pair {
  readonly folder: string;
  readonly #names: Readonly<Record<Where, string>>;
  readonly #code: Code;
  readonly #children: Child[] = [];
  #files = 0;

  private constructor(folder: string) {
    const number = pairs++;
    this.folder = folder;
    const name = (where: Where): string => namespaceName(number, where);
    this.#names = { pod: name("pod"), outside: name("outside"), behind: name("behind") };
    this.#code = locateCode(join(folder, mountPoint), false);
  }

  /** `v6: false`: the pod has no address of IPv6 but loopback and link-local. */
  static async create(options: { v6?: boolean; forwards?: boolean } = {}): Promise<Pair> {
    await removeStaleNamespaces();
    removeStaleFolders();
    const pair = new Pair(clusterFolder());
    try {
      await pair.#connect(options.v6 ?? true);
      if (options.forwards === true) await pair.#connectBehind();
      return pair;
    } catch (error) {
      await pair.close();
      throw error;
    }
  }

  async #connect(v6: boolean): Promise<void> {
    const { pod, outside } = this.#names;
    await createNamespace(pod);
    await createNamespace(outside);
    await ip(outside, `link add eth0 type veth peer name eth0 netns ${pod}`);
    for (const where of ["pod", "outside"] as const) {
      const own = addresses[where];
      const v6Lines = v6 || where === "outside" ? [`addr add ${own.v6}/64 dev eth0 nodad`] : [];
      await ip(this.#names[where], "link set eth0 up", `addr add ${own.v4}/24 dev eth0`, ...v6Lines);
    }
    await ip(outside, `neigh add ${addresses.nobody} lladdr 02:00:00:00:00:99 dev eth0 nud permanent`);
  }

  async #connectBehind(): Promise<void> {
    const { pod, outside, behind } = this.#names;
    await createNamespace(behind);
    await ip(behind, `link add eth0 type veth peer name behind netns ${pod}`);
    for (const [netns, device, v4, v6] of [
      [pod, "behind", "10.78.0.1", "fd78::1"],
      [behind, "eth0", addresses.behind.v4, addresses.behind.v6],
    ] as const)
      await ip(
        netns,
        `link set ${device} up`,
        `addr add ${v4}/24 dev ${device}`,
        `addr add ${v6}/64 dev ${device} nodad`,
      );
    await this.must("pod", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
    await ip(behind, "route add default via 10.78.0.1", "route add ::/0 via fd78::1");
    const { v4, v6 } = addresses.pod;
    await ip(outside, `route add 10.78.0.0/24 via ${v4}`, `route add fd78::/64 via ${v6}`);
  }

  /** Runs a command as root to its end. */
  run(where: Where, argv: readonly string[], stdin?: string): Promise<Outcome> {
    const command = enter(this.#names[where], uids.root, this.#code, argv);
    return run(command, stdin === undefined ? {} : { stdin });
  }

  async must(where: Where, ...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(where, argv);
    if (code !== 0) throw new Error(`${argv.join(" ")}: exit ${code}: ${stderr}`);
    return stdout;
  }

  /** `path` goes before the system's: stand-ins for iptables that fail. */
  async init({ settings = {}, args = [], path }: InitOptions = {}): Promise<Outcome> {
    const env = {
      ...basicEnvironment,
      TENCRYPT_PROXY_UID: String(uids.proxy),
      ...settings,
      PATH: path === undefined ? basicEnvironment["PATH"]! : `${path}:${basicEnvironment["PATH"]}`,
    };
    const { node, root } = this.#code;
    return run(enter(this.#names.pod, uids.root, this.#code, [node, join(root, scriptOf("init")), ...args]), { env });
  }

  /** Starts a program of `apps/`; one with a port is waited for. */
  async app(
    where: Where,
    name: string,
    options: { uid?: number; port?: number; address?: string } = {},
  ): Promise<Child> {
    const { node, root } = this.#code;
    const args = [
      ...(options.port === undefined ? [] : ["--port", String(options.port)]),
      ...(options.address === undefined ? [] : ["--address", options.address]),
    ];
    const command = [node, join(root, "test/topology/apps", `${name}.ts`), ...args];
    const argv = enter(this.#names[where], options.uid ?? uids.application, this.#code, command);
    const child = new Child(`${where} ${name}`, argv, basicEnvironment);
    this.#children.push(child);
    await child.event(options.port === undefined ? "ready" : "listening");
    return child;
  }

  /** Everything on the cable. */
  capture(): Promise<Capture> {
    const tap = cableTap(this.#names.outside, addresses.nobody);
    return startCapture(tap, join(this.folder, `cable-${this.#files++}.pcap`), (child) => this.#children.push(child));
  }

  /** The state of all rules, of both families, without counters and dates. */
  async rules(backend: "nft" | "legacy" = "nft"): Promise<string> {
    const texts = [];
    for (const stem of ["iptables", "ip6tables"]) {
      texts.push(`# ${stem}\n`, await this.must("pod", `${stem}-${backend}-save`));
    }
    return texts
      .join("")
      .replaceAll(/^# (?:Generated|Completed|Warning).*\n/gm, "")
      .replaceAll(/ \[\d+:\d+\]$/gm, "");
  }

  async stop(...children: readonly Child[]): Promise<void> {
    for (const child of children) await child.stop("SIGKILL");
  }

  async close(): Promise<void> {
    await this.stop(...this.#children);
    deleteNamespaces(Object.values(this.#names));
    removeFolder(this.folder);
  }
}
