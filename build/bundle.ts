/**
 * Bundles each program into a folder of its own that needs nothing but Node: `<out>/<program>/main.js`, its lazily
 * loaded chunks beside it, and the `.node` files that its sources load from beside themselves.
 *
 * One call of the bundler per program: with several entries in one call, shared chunks land outside of the folders.
 */
import { copyFileSync, globSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { build } from "esbuild";
import type { Metafile } from "esbuild";

const root = resolve(import.meta.dirname, "..");

/** Each has a main.ts. */
export const programs = ["proxy", "ca", "init", "controller", "hook", "cli"] as const;
type Program = (typeof programs)[number];

/** CommonJS packages inside of an ES module ask for `require`. */
const banner =
  'import { createRequire as bundledRequire } from "node:module"; const require = bundledRequire(import.meta.url);';

/** Builds one program; the result says which source went into which file. */
export async function bundleProgram(name: Program, out: string): Promise<Metafile> {
  const folder = join(out, name);
  rmSync(folder, { recursive: true, force: true });
  const { metafile } = await build({
    metafile: true,
    absWorkingDir: root,
    entryPoints: [`${name}/main.ts`],
    outdir: folder,
    bundle: true,
    splitting: true,
    platform: "node",
    target: "node26",
    format: "esm",
    chunkNames: "[name]-[hash]",
    banner: { js: banner },
    // Only services that nobody starts here (channelz, ORCA) would load it, and with it a second protobuf library.
    external: ["@grpc/proto-loader"],
    // V8 keeps the text for as long as the program runs: 0.3 MB less. Lines stay short enough for an error to show one.
    minifyWhitespace: true,
    lineLimit: 160,
    logLevel: "warning",
  });
  for (const addon of globSync(`${name}/**/*.node`, { cwd: root })) {
    copyFileSync(join(root, addon), join(folder, basename(addon)));
  }
  return metafile;
}

/** Builds every program below `out`. */
export async function bundleAll(out: string): Promise<void> {
  mkdirSync(out, { recursive: true });
  // Without it, Node would look for the kind of module in the folders above.
  writeFileSync(join(out, "package.json"), '{ "type": "module" }\n');
  for (const name of programs) await bundleProgram(name, out);
}
