/**
 * `tencrypt install | upgrade | uninstall`: drives Helm with the chart beside this program, or prints what it would apply.
 * What is there is compared first, and what ends something asks.
 */
import { control } from "../../lib/kube/names.ts";
import { countProtected, namedCounts, totalOf } from "../../lib/kube/protected-pods.ts";
import { chartOf, valueArguments } from "../chart.ts";
import type { ChartOptions } from "../chart.ts";
import { connect, withCluster } from "../cluster.ts";
import type { Connection } from "../cluster.ts";
import { confirmed } from "../confirmed.ts";
import { changes, told } from "../diff.ts";
import { Failure } from "../failure.ts";
import { helm } from "../helm.ts";
import { printable } from "../printed.ts";
import type { Verb } from "../printed.ts";
import type { Terminal } from "../terminal.ts";

export type HelmOptions = Connection &
  ChartOptions & {
    readonly print?: boolean;
    readonly dryRun?: boolean;
    readonly yes?: boolean;
    readonly timeout: string;
  };

const release = "tencrypt";
const { namespace } = control.controller;

const connectionArguments = ({ kubeconfig, context }: Connection): readonly string[] => [
  ...(kubeconfig === undefined ? [] : ["--kubeconfig", kubeconfig]),
  ...(context === undefined ? [] : ["--kube-context", context]),
];

/**
 * Whatever value is given to an upgrade, Helm alone would set all others back to the chart's defaults: a mode that was
 * chosen at the installation too.
 */
const keptValues = "--reset-then-reuse-values";

/** What an upgrade would change of what is installed; the API server has looked at the new objects. */
async function difference(options: HelmOptions, chart: string): Promise<string> {
  const there = ["--namespace", namespace, ...connectionArguments(options)];
  const installed = await helm(["get", "manifest", release, ...there], "read");
  const upgrade = ["upgrade", release, chart, keptValues, ...there, ...valueArguments(options)];
  const { manifest } = JSON.parse(await helm([...upgrade, "--dry-run=server", "--output", "json"], "read")) as {
    readonly manifest: string;
  };
  return told(changes(installed, manifest));
}

/** An installation is printed without a cluster; what an upgrade starts from, only the cluster knows. */
async function print(verb: Verb, options: HelmOptions, screen: Terminal): Promise<void> {
  if (verb === "upgrade") clusterOf(options);
  const there = ["--namespace", namespace];
  const kept =
    verb === "install"
      ? null
      : await helm(["get", "values", release, ...there, ...connectionArguments(options), "--output", "json"], "read");
  const values = [...(kept === null ? [] : ["--is-upgrade", "--values", "-"]), ...valueArguments(options)];
  const text = await helm(["template", release, chartOf(options), ...there, ...values], "read", kept ?? "");
  screen.data(printable(text, namespace, verb));
  screen.note(
    "The Job tencrypt-trust tells the API server the root and then removes its own right to do so. Should it fail:\n" +
      "  kubectl delete clusterrolebinding tencrypt-trust\n" +
      "To apply again, whatever the values: kubectl -n tencrypt-ca delete job tencrypt-trust --ignore-not-found, before it;\n" +
      "the Job that is done would not run, and the right stay.\n",
  );
}

/** Where Helm will go to. A kubeconfig that cannot be used is told as every other command tells it. */
function clusterOf(options: Connection): string {
  const { client } = connect(options);
  client.close();
  return client.server;
}

export async function install(verb: Verb, options: HelmOptions, screen: Terminal): Promise<void> {
  if (options.print === true) return print(verb, options, screen);
  const cluster = clusterOf(options);
  const chart = chartOf(options);
  if (options.dryRun === true && verb === "upgrade") return screen.data(await difference(options, chart));
  const common = ["--namespace", namespace, ...connectionArguments(options), ...valueArguments(options)];
  const verbArguments =
    verb === "install" ? ["install", release, chart, "--create-namespace"] : ["upgrade", release, chart, keptValues];
  if (options.dryRun === true) {
    await helm([...verbArguments, ...common, "--dry-run=server"], "data");
    return;
  }
  screen.note(
    `${verb} on ${cluster}: waiting for controller, ca and the webhooks' trust, at most ${options.timeout}\n`,
  );
  await helm([...verbArguments, ...common, "--wait", "--timeout", options.timeout], "progress");
  // Helm has just said how a project is protected without a refusal on the way, which depends on the mode.
  screen.note("next: tencrypt check; then the steps above, for each project\n");
}

export async function uninstall(options: HelmOptions, screen: Terminal): Promise<void> {
  clusterOf(options);
  const there = ["--namespace", namespace, ...connectionArguments(options)];
  const installed = await helm(["get", "manifest", release, ...there], "read");
  const end = await ending(options);
  if (options.dryRun === true) {
    screen.data(told(changes(installed, "")));
    screen.note(`\n${end}`);
    return;
  }
  screen.note(end);
  if (options.yes !== true && !(await confirmed(process.stdin, process.stderr, "Remove it?")))
    throw new Failure("nothing was removed", "tencrypt uninstall --dry-run; tencrypt uninstall --yes");
  await helm(["uninstall", release, ...there, "--wait", "--timeout", options.timeout], "progress");
}

/** What ends, and where: by the pods, as one that has a proxy may be in a namespace that is no project any more. */
const ending = (options: Connection): Promise<string> =>
  withCluster(options, async ({ client }) => {
    const counts = await countProtected(client);
    const what = `This removes the control plane of the cluster ${client.server} and all keys of the ca.\n`;
    if (counts.size === 0) return `${what}No pod has a proxy of Tencrypt: nothing loses its connections.\n`;
    return (
      `${what}Pods that have a proxy: ${totalOf(counts)} (${namedCounts(counts)}). They keep refusing clear ` +
      "text, and lose all connections\nwhen their certificates end. Take the proxies out first: docs/operations.md, A " +
      "project without Tencrypt again\n"
    );
  });
