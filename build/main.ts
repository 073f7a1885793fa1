/** `npm run build`: every program that exists, into `dist/`, or into the folder that is named as the argument. */
import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { bundleAll, programs } from "./bundle.ts";

const out = resolve(process.argv[2] ?? join(import.meta.dirname, "../dist"));
await bundleAll(out);
for (const name of programs) {
  const folder = join(out, name);
  const bytes = readdirSync(folder).reduce((sum, file) => sum + statSync(join(folder, file)).size, 0);
  console.log(`${join(folder, "main.js")}  ${Math.ceil(bytes / 1024)} KiB in all`);
}
