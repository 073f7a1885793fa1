/** The functions of a V8 CPU profile that took most time by themselves. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";

type Profile = {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
};

/** Waiting for events is not work. */
const waiting = new Set(["(idle)"]);

/** `count` lines `share  milliseconds  function  place`, and the time that was not idle. */
export function topFunctions(file: string, count: number): readonly string[] {
  const profile = JSON.parse(readFileSync(file, "utf8")) as Profile;
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const micros = new Map<string, number>();
  for (const [index, id] of profile.samples.entries()) {
    const { functionName, url, lineNumber } = frames.get(id)!;
    if (waiting.has(functionName)) continue;
    const place = url === "" ? "" : `${url.startsWith("node:") ? url : basename(url)}:${lineNumber + 1}`;
    const name = `${functionName || "(anonymous)"}  ${place}`;
    micros.set(name, (micros.get(name) ?? 0) + profile.timeDeltas[index]!);
  }
  const total = [...micros.values()].reduce((sum, each) => sum + each, 0);
  const top = [...micros].toSorted((one, other) => other[1] - one[1]).slice(0, count);
  const share = (time: number): string => `${((time / total) * 100).toFixed(1).padStart(5)} %`;
  return [
    `${(total / 1000).toFixed(0)} ms not idle`,
    ...top.map(([name, time]) => `${share(time)} ${(time / 1000).toFixed(0).padStart(7)} ms  ${name}`),
  ];
}
