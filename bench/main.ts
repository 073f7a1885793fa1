/** `npm run bench -- NAME`: runs bench/NAME.ts; without a name it lists what there is. */
import { globSync } from "node:fs";
import { join } from "node:path";

const benches = globSync("*.ts", { cwd: import.meta.dirname }).filter((file) => file !== "main.ts");
const name = process.argv[2];
const file = join(import.meta.dirname, `${name}.ts`);
if (name === undefined || !benches.includes(`${name}.ts`)) {
  console.error("usage: npm run bench -- NAME");
  for (const bench of benches.toSorted()) console.error(`  ${bench.replace(/\.ts$/, "")}`);
  process.exitCode = name === undefined ? 0 : 2;
} else {
  process.argv.splice(1, 2, file);
  await import(file);
}
