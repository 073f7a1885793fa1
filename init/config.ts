/**
 * The settings of init, read from environment variables: everything the rules depend on, fixed when the pod is made.
 * Every problem is reported at once. What would write a ruleset with a hole is refused here: a proxy that is root, a
 * container under the proxy's UID, two meanings for one port or one UID. Pure.
 */
import { Settings } from "../lib/config/settings.ts";
import type { Environment } from "../lib/config/settings.ts";
import { parsePort } from "../lib/net/address.ts";
import { defaultPorts, ofEachPort, portSetting } from "../lib/net/ports.ts";
import type { Ports } from "../lib/net/ports.ts";

/** A container that runs under a UID of its own, and the outbound port that is its alone. */
export type Capture = { readonly uid: number; readonly port: number };

export type Config = {
  readonly proxyUid: number;
  readonly udp: "allow" | "dns-only";
  /** In ascending order of UID, so that the same settings always give the same rules. */
  readonly captures: readonly Capture[];
  readonly ports: Ports;
  readonly backend: "auto" | "nft" | "legacy";
};

/** The UIDs that a file's or process's owner can be: 2^32-1 means "none" to the kernel. */
const highestUid = 4_294_967_294;
const uidText = /^(?:0|[1-9][0-9]{0,9})$/;

function parseUid(text: string): number | null {
  return uidText.test(text) && Number(text) <= highestUid ? Number(text) : null;
}

/** `uid:port,uid:port`; null for anything else. */
function parseCaptures(text: string): readonly Capture[] | null {
  const captures = text.split(",").map((entry) => {
    const [uidPart, portPart, ...rest] = entry.trim().split(":");
    const uid = parseUid(uidPart ?? "");
    const port = parsePort(portPart ?? "");
    return uid === null || port === null || rest.length > 0 ? null : { uid, port };
  });
  return captures.every((capture) => capture !== null) ? captures.toSorted((a, b) => a.uid - b.uid) : null;
}

/** Rules name ports, so 0 (any free port) has no meaning here. */
const readPorts = (settings: Settings): { readonly [name in keyof Ports]: number | undefined } =>
  ofEachPort((name) => settings.read(portSetting(name), defaultPorts[name], "a port from 1 to 65535", parsePort));

/** Throws a `SettingsError` with every problem; `unread` names variables of ours that nothing reads, for a warning. */
export function readConfig(env: Environment): { readonly config: Config; readonly unread: readonly string[] } {
  const settings = new Settings(env);
  const proxyUid = settings.integer("TENCRYPT_PROXY_UID", { min: 1, max: highestUid });
  const udp = settings.choice("TENCRYPT_UDP", ["allow", "dns-only"], "allow");
  const captures = settings.read<readonly Capture[]>("TENCRYPT_CAPTURE", [], "uid:port,uid:port", parseCaptures);
  const ports = readPorts(settings);
  const backend = settings.choice("TENCRYPT_IPTABLES_BACKEND", ["auto", "nft", "legacy"], "auto");
  for (const problem of contradictions(proxyUid, captures ?? [], ports)) settings.problem(problem);
  const { unread, ...config } = settings.finish({ proxyUid, udp, captures, ports: settings.whole(ports), backend });
  return { config, unread };
}

/** Of what could be read: the rest is reported already. */
function contradictions(
  proxyUid: number | undefined,
  captures: readonly Capture[],
  ports: Readonly<Record<string, number | undefined>>,
): readonly string[] {
  const owners = [
    ...Object.entries(ports).flatMap(([name, value]) =>
      value === undefined ? [] : [{ name: `the ${name} port`, value }],
    ),
    ...captures.map(({ uid, port }) => ({ name: `TENCRYPT_CAPTURE of uid ${uid}`, value: port })),
  ];
  const uids = captures.map(({ uid }) => ({ name: "TENCRYPT_CAPTURE", value: uid }));
  const asProxy = captures.some(({ uid }) => uid === proxyUid)
    ? [`TENCRYPT_CAPTURE names uid ${proxyUid}, which is TENCRYPT_PROXY_UID: a container with it would not be captured`]
    : [];
  return [...asProxy, ...repeated("port", owners), ...repeated("uid", uids)];
}

function repeated(what: string, owners: readonly { name: string; value: number }[]): readonly string[] {
  return [...Map.groupBy(owners, ({ value }) => value)]
    .filter(([, same]) => same.length > 1)
    .map(([value, same]) => `${what} ${value} is given more than once: ${same.map(({ name }) => name).join(", ")}`);
}

/** Every port that belongs to the proxy, in ascending order: nobody else may answer from them. */
export function proxyPorts({ ports, captures }: Config): readonly number[] {
  return [...Object.values(ports), ...captures.map(({ port }) => port)].toSorted((a, b) => a - b);
}
