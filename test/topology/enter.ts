/**
 * How a process gets into a pod: its network namespace, and a user without any privilege.
 *
 * Uid 0 keeps root's capabilities (the init program and the tests' own tools need NET_ADMIN); every other uid is left
 * with no capability, no supplementary group, and no way to gain either. All die with the process that started them.
 * The code is read from the checkout, or from a bind mount of it where the checkout lies below a folder that other
 * users may not enter; the mount lives in a mount namespace of the one process. Pure but for looking at file modes.
 */
import { statSync } from "node:fs";
import { dirname, join, relative } from "node:path";

export const repository: string = join(import.meta.dirname, "..", "..");

/** Uids as in a cluster: the application's image and the injected proxy never share one. */
export const uids = { root: 0, application: 1000, proxy: 1337, ca: 1338 } as const;

/** Where the code is for a user of a pod. `mount` is null where the checkout itself can be read. */
export type Code = { readonly root: string; readonly node: string; readonly mount: string | null };

/** True when every folder above may be entered by any user. */
function reachableByAll(path: string): boolean {
  for (let folder = path; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/** `mountPoint` is an empty folder that every user can reach; `force` mounts even where there is no need to. */
export function locateCode(mountPoint: string, force: boolean): Code {
  const mount = force || !reachableByAll(dirname(repository)) ? mountPoint : null;
  const root = mount ?? repository;
  const inside = relative(repository, process.execPath);
  const node = inside.startsWith("..") ? process.execPath : join(root, inside);
  return { root, node, mount };
}

/**
 * A program's script, as a path below the repository: the bundle that `npm test` has made, which is what users run and starts in
 * half of the time; the source where a test file runs alone.
 */
export function scriptOf(program: "ca" | "init" | "proxy"): string {
  const bundles = process.env["TENCRYPT_TEST_BUNDLES"];
  return bundles === undefined ? `${program}/main.ts` : `${bundles}/${program}/main.js`;
}

const withoutPrivileges = (uid: number): readonly string[] => [
  "--reuid",
  `${uid}`,
  "--regid",
  `${uid}`,
  "--clear-groups",
  "--bounding-set=-all",
  "--inh-caps=-all",
  "--ambient-caps=-all",
  "--no-new-privs",
];

/** The command line that runs `command` inside of a namespace. */
export function enter(netns: string, uid: number, code: Code, command: readonly string[]): readonly string[] {
  const mounted =
    code.mount === null
      ? []
      : [
          "unshare",
          "--mount",
          "sh",
          "-c",
          'mount --bind "$1" "$2" && shift 2 && exec "$@"',
          "sh",
          repository,
          code.mount,
        ];
  const user = uid === uids.root ? [] : withoutPrivileges(uid);
  return ["nsenter", `--net=/run/netns/${netns}`, ...mounted, "setpriv", "--pdeathsig", "KILL", ...user, ...command];
}
