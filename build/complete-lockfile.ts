/**
 * Second half of `npm run lock`: adds to the lockfile every optional package that it names and does not hold.
 *
 * npm leaves out platform packages that the registry in use does not have, and `npm ci` then refuses the lockfile, on
 * every machine. Such a package is for another platform than ours and is never installed, so its entry needs no more
 * than its version and its platform; one that would be installed here is an error.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

type Entry = {
  readonly version?: string;
  readonly dev?: boolean;
  readonly license?: string;
  readonly optional?: boolean;
  readonly os?: string | readonly string[];
  readonly cpu?: string | readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
};
export type Lockfile = { packages: Record<string, Entry> };

const systems = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"];
const processors = new Map([
  ["aarch64", "arm64"],
  ["arm", "arm"],
  ["arm64", "arm64"],
  ["armv7", "arm"],
  ["ia32", "ia32"],
  ["ppc64", "ppc64"],
  ["riscv64", "riscv64"],
  ["s390x", "s390x"],
  ["x64", "x64"],
]);

/** Platform packages carry their platform in the name: `binding-linux-arm64-musl`, `darwin-x64`. */
function platformOf(name: string): { readonly os: string; readonly cpu: string; readonly libc: string | null } {
  const words = name.split("/").at(-1)!.split("-");
  const os = words.find((word) => systems.includes(word));
  const cpu = processors.get(words.find((word) => processors.has(word)) ?? "");
  if (os === undefined || cpu === undefined) throw new Error(`${name}: its name tells no platform`);
  const libc = words.some((word) => word.startsWith("musl"))
    ? "musl"
    : words.some((word) => word.startsWith("gnu"))
      ? "glibc"
      : null;
  if (os === "linux" && cpu === "x64" && libc !== "musl")
    throw new Error(`${name}: needed here, and the registry lacks it`);
  return { os, cpu, libc };
}

/** What the lockfile names as optional and does not hold. */
export function missingOptional(
  lockfile: Lockfile,
): readonly { readonly name: string; readonly version: string; readonly of: Entry }[] {
  return Object.values(lockfile.packages).flatMap((of) =>
    Object.entries(of.optionalDependencies ?? {})
      .filter(([name]) => lockfile.packages[`node_modules/${name}`] === undefined)
      .map(([name, version]) => ({ name, version, of })),
  );
}

function complete(lockfile: Lockfile): Lockfile {
  const packages = { ...lockfile.packages };
  for (const { name, version, of } of missingOptional(lockfile)) {
    if (!/^[0-9]+\.[0-9]+\.[0-9]+$/.test(version)) throw new Error(`${name}: ${version} is no exact version`);
    const { os, cpu, libc } = platformOf(name);
    packages[`node_modules/${name}`] = {
      version,
      cpu: [cpu],
      ...(of.dev === true ? { dev: true } : {}),
      ...(libc === null ? {} : { libc: [libc] }),
      ...(of.license === undefined ? {} : { license: of.license }),
      optional: true,
      os: [os],
    };
  }
  const inOrder = Object.entries(packages).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return { ...lockfile, packages: Object.fromEntries(inOrder) };
}

if (import.meta.main) {
  const path = join(import.meta.dirname, "../package-lock.json");
  const lockfile = JSON.parse(readFileSync(path, "utf8")) as Lockfile;
  writeFileSync(path, `${JSON.stringify(complete(lockfile), null, 2)}\n`);
}
