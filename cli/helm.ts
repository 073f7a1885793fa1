/** Runs Helm: its words are shown as they come, and decide what is to be done next where it fails. */
import { spawn } from "node:child_process";
import { exitCodes } from "../lib/lifecycle/exit-codes.ts";
import { Failure } from "./failure.ts";

/** Where Helm's own output goes: stdout is for what was asked for as data; `read` returns it. */
type Output = "data" | "progress" | "read";

/** Helm's messages are all that tells one failure from another; what is none of these is for `tencrypt check`. */
const known: readonly (readonly [says: RegExp, next: string, code: number])[] = [
  [/cluster unreachable/i, "kubectl cluster-info", exitCodes.failed],
  [/asked for the client to provide credentials|: Unauthorized/i, "kubectl auth whoami", exitCodes.failed],
  [
    /User ".*" cannot \w+ resource/,
    "tencrypt check --pre: it names the rights that an installation needs",
    exitCodes.failed,
  ],
  // Before the values: a folder without a Chart.yaml is told as a file that is not there.
  [
    /path "[^"]*" not found|non-absolute URLs should be|repo \S+ not found|detect chart at|Chart\.yaml file is missing|not appear to be a gzip/i,
    "give --chart a folder that holds a Chart.yaml, or a packaged chart",
    exitCodes.badConfiguration,
  ],
  [
    /meet the specifications of the schema|execution error at|failed pars|error parsing|no such file or directory/i,
    "mend the values: docs/operations.md, Values",
    exitCodes.badConfiguration,
  ],
  [
    /release: not found|has no deployed releases/i,
    "kubectl config current-context: is it the right cluster? to install there: tencrypt install",
    exitCodes.failed,
  ],
  [
    /another operation .* is in progress/i,
    "if no other Helm runs: helm -n tencrypt-system rollback tencrypt; if the installation itself was interrupted: tencrypt uninstall; tencrypt install",
    exitCodes.failed,
  ],
  [/cannot re-?use a name that is still in use/i, "tencrypt upgrade", exitCodes.failed],
];

export function helm(args: readonly string[], output: Output, input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("helm", args, {
      stdio: ["pipe", output === "read" ? "pipe" : output === "data" ? 1 : 2, "pipe"],
    });
    let [text, words] = ["", ""];
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    // A program that gets credentials for Helm may ask the user for something here.
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      words += chunk;
      process.stderr.write(chunk);
    });
    child.on("error", () =>
      reject(new Failure("helm is not to be found", "install Helm 3.17 or later", exitCodes.notHere)),
    );
    child.on("close", (status) => (status === 0 ? resolve(text) : reject(failureOf(args, status, words))));
    // It may end before it has read all of it; its exit status then says so.
    child.stdin?.on("error", () => {}).end(input);
  });
}

function failureOf([verb = ""]: readonly string[], status: number | null, words: string): Failure {
  const [, next, code] = known.find(([says]) => says.test(words)) ?? [/$/, "tencrypt check", exitCodes.failed];
  return new Failure(`helm ${verb} ended with status ${status}`, next, code);
}
