/**
 * `npm run bench -- NAME [options]` runs bench/NAME.ts. Without a name it is the data path beside HAProxy and nginx, as in
 * `npm run bench` and `npm run bench -- --against REV`.
 */
import { globSync } from "node:fs";
import { join } from "node:path";

const benches = globSync("*.ts", { cwd: import.meta.dirname }).filter((file) => file !== "main.ts");
const [first = "--"] = process.argv.slice(2);
const name = first.startsWith("--") ? "data-path" : first;
const file = join(import.meta.dirname, `${name}.ts`);
if (!benches.includes(`${name}.ts`)) {
  console.error("usage: npm run bench -- [NAME] [options]; NAME is data-path where none is given, or one of");
  for (const bench of benches.toSorted()) console.error(`  ${bench.replace(/\.ts$/, "")}`);
  process.exitCode = 64;
} else {
  process.argv.splice(1, name === first ? 2 : 1, file);
  await import(file);
}
