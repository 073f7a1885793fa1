/**
 * How the image starts the proxy, flags for Node and environment, read from the Dockerfile, and the memory that the chart gives it. What is tested and measured
 * without an image is started in the same way.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export type Launch = { readonly flags: readonly string[]; readonly env: Readonly<Record<string, string>> };

export function readLaunch(dockerfile: string): Launch {
  const stage = /^FROM \S+ AS proxy\n(?<lines>(?:(?!FROM )[^\n]*\n)*)/m.exec(dockerfile)?.groups?.["lines"] ?? "";
  const command = JSON.parse(/^CMD (.+)$/m.exec(stage)?.[1] ?? "[]") as readonly string[];
  const flags = command.filter((each) => each.startsWith("--"));
  if (flags.length === 0) throw new Error("the Dockerfile's stage proxy has no flags for Node");
  const settings = [...stage.matchAll(/^ENV (.+)$/gm)].flatMap(([, text = ""]) => text.split(" "));
  return { flags, env: Object.fromEntries(settings.map((each) => each.split("=") as [string, string])) };
}

export const proxyLaunch: Launch = readLaunch(readFileSync(join(import.meta.dirname, "../Dockerfile"), "utf8"));

/** Of `proxy.resources` in the chart's values. */
export function readMemoryMib(values: string): number {
  const found = /^proxy:\n(?:[ #][^\n]*\n)*? {4}limits: \{ memory: (?<mib>[0-9]+)Mi \}$/m.exec(values)?.groups?.["mib"];
  if (found === undefined) throw new Error("the chart gives the proxy no memory limit in Mi");
  return Number(found);
}

export const proxyMemoryMib = readMemoryMib(
  readFileSync(join(import.meta.dirname, "../charts/tencrypt/values.yaml"), "utf8"),
);
