/**
 * `tencrypt install | upgrade | uninstall`: drives Helm with the chart beside this program, or prints what it would apply.
 * What is there is compared first, and what ends something asks.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { control } from "../../lib/kube/names.ts";
import { exitCodes } from "../../lib/lifecycle/exit-codes.ts";
import type { Connection } from "../cluster.ts";
import { changes, told } from "../diff.ts";
import { Failure } from "../failure.ts";
import { printable } from "../printed.ts";
import type { Verb } from "../printed.ts";
import type { Terminal } from "../terminal.ts";

export type HelmOptions = Connection & {
  readonly chart?: string;
  readonly values?: readonly string[];
  readonly set?: readonly string[];
  readonly print?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly timeout: string;
};

const release = "tencrypt";
const { namespace } = control.controller;

/** The chart of this version: beside the sources, or beside the bundled program. */
function chartOf({ chart }: HelmOptions): string {
  if (chart !== undefined) return chart;
  const places = ["../../charts/tencrypt", "../../../charts/tencrypt"].map((path) =>
    resolve(import.meta.dirname, path),
  );
  const found = places.find((place) => existsSync(join(place, "Chart.yaml")));
  if (found === undefined) throw new Failure("the chart is not beside this program", "tencrypt install --chart PATH");
  return found;
}

const connectionArguments = ({ kubeconfig, context }: Connection): readonly string[] => [
  ...(kubeconfig === undefined ? [] : ["--kubeconfig", kubeconfig]),
  ...(context === undefined ? [] : ["--kube-context", context]),
];

const valueArguments = ({ values = [], set = [] }: HelmOptions): readonly string[] => [
  ...values.flatMap((file) => ["--values", file]),
  ...set.flatMap((value) => ["--set", value]),
];

/** Helm's own output goes to stderr, but for what was asked for as data; `read` returns it. */
function helm(args: readonly string[], output: "data" | "progress" | "read", input = ""): string {
  const stdout = { data: 1, progress: 2, read: "pipe" } as const;
  const {
    status,
    error,
    stdout: text,
  } = spawnSync("helm", args, {
    input,
    stdio: ["pipe", stdout[output], 2],
    encoding: "utf8",
    maxBuffer: longestManifest,
  });
  if (error !== undefined)
    throw new Failure("helm is not to be found", "install Helm 3.17 or later", exitCodes.notHere);
  if (status !== 0) throw new Failure(`helm ${args[0]} ended with status ${status}`, "tencrypt check");
  return text ?? "";
}

const longestManifest = 64 * 1024 * 1024;

/**
 * Whatever value is given to an upgrade, Helm alone would set all others back to the chart's defaults: a mode that was
 * chosen at the installation too.
 */
const keptValues = "--reset-then-reuse-values";

/** What an upgrade would change of what is installed; the API server has looked at the new objects. */
function difference(options: HelmOptions, chart: string): string {
  const there = ["--namespace", namespace, ...connectionArguments(options)];
  const installed = helm(["get", "manifest", release, ...there], "read");
  const upgrade = ["upgrade", release, chart, keptValues, ...there, ...valueArguments(options)];
  const { manifest } = JSON.parse(helm([...upgrade, "--dry-run=server", "--output", "json"], "read")) as {
    readonly manifest: string;
  };
  return told(changes(installed, manifest));
}

/** An installation is printed without a cluster; what an upgrade starts from, only the cluster knows. */
function print(verb: Verb, options: HelmOptions, screen: Terminal): void {
  const there = ["--namespace", namespace];
  const kept =
    verb === "install"
      ? null
      : helm(["get", "values", release, ...there, ...connectionArguments(options), "--output", "json"], "read");
  const values = [...(kept === null ? [] : ["--values", "-"]), ...valueArguments(options)];
  const text = helm(["template", release, chartOf(options), ...there, ...values], "read", kept ?? "");
  screen.data(printable(text, namespace, verb));
  screen.note(
    "The Job tencrypt-trust tells the API server the root and then removes its own right to do so. Should it fail:\n" +
      "  kubectl delete clusterrolebinding tencrypt-trust\n" +
      "To apply again, whatever the values: kubectl -n tencrypt-ca delete job tencrypt-trust --ignore-not-found, before it;\n" +
      "the Job that is done would not run, and the right stay.\n",
  );
}

export function install(verb: Verb, options: HelmOptions, screen: Terminal): void {
  if (options.print === true) return print(verb, options, screen);
  const chart = chartOf(options);
  if (options.dryRun === true && verb === "upgrade") return screen.data(difference(options, chart));
  const common = ["--namespace", namespace, ...connectionArguments(options), ...valueArguments(options)];
  const verbArguments =
    verb === "install" ? ["install", release, chart, "--create-namespace"] : ["upgrade", release, chart, keptValues];
  if (options.dryRun === true) {
    helm([...verbArguments, ...common, "--dry-run=server"], "data");
    return;
  }
  screen.note(`${verb}: waiting for controller, ca and the webhooks' trust, at most ${options.timeout}\n`);
  helm([...verbArguments, ...common, "--wait", "--timeout", options.timeout], "progress");
  screen.note("next: kubectl label namespace NAME tencrypt.io/project=enabled; tencrypt check\n");
}

export async function uninstall(options: HelmOptions, screen: Terminal): Promise<void> {
  const args = ["uninstall", release, "--namespace", namespace, ...connectionArguments(options)];
  if (options.dryRun === true) {
    helm([...args, "--dry-run"], "data");
    return;
  }
  screen.note(
    "This removes the control plane and all keys of the ca. Injected pods keep refusing clear text and lose their\n" +
      "connections when their certificates end: restart them without the label first (tencrypt status -A shows them).\n",
  );
  if (options.yes !== true && !(await confirmed()))
    throw new Failure("nothing was removed", "tencrypt uninstall --yes");
  helm([...args, "--wait", "--timeout", options.timeout], "progress");
}

async function confirmed(): Promise<boolean> {
  if (!process.stdin.isTTY) return false;
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await prompt.question("Remove it? Type yes: ");
  prompt.close();
  return answer.trim() === "yes";
}
