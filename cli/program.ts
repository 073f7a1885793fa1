/** The commands with their flags and examples. What each does is in cli/commands/. */
import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { version as ownVersion } from "../lib/version.ts";
import { check } from "./commands/check.ts";
import type { CheckOptions } from "./commands/check.ts";
import { explain } from "./commands/explain.ts";
import { install, uninstall } from "./commands/helm.ts";
import type { HelmOptions } from "./commands/helm.ts";
import { injectFile } from "./commands/inject.ts";
import type { InjectOptions } from "./commands/inject.ts";
import { status } from "./commands/status.ts";
import type { StatusOptions } from "./commands/status.ts";
import { version } from "./commands/version.ts";
import type { VersionOptions } from "./commands/version.ts";
import { completion, shells } from "./completion.ts";
import type { Shell } from "./completion.ts";
import type { Format, Terminal } from "./terminal.ts";

export type Done = (code: number) => void;

const example = (...lines: readonly string[]): string => `\nExamples:\n${lines.map((line) => `  ${line}\n`).join("")}`;

const outputOption = (): Option =>
  new Option("-o, --output <format>", "how data is printed").choices(["table", "json", "yaml"]).default("table");

/** A variable of a script that is not set is no name. */
function nameOf(text: string): string {
  if (text === "") throw new InvalidArgumentError("It is empty.");
  return text;
}

const namespaceOption = (about: string): Option => new Option("-n, --namespace <name>", about).argParser(nameOf);

function connected(command: Command): Command {
  return command
    .option("--kubeconfig <file>", "kubeconfig to use (default: KUBECONFIG, then ~/.kube/config)")
    .option("--context <name>", "context of the kubeconfig")
    .option("--debug", "show where in the program an error comes from");
}

const chartOptions = (command: Command, of = ""): Command =>
  command
    .option("--chart <path>", `chart to use instead of the one beside this program${of}`)
    .option("-f, --values <file...>", `values files${of}`)
    .option("--set <name=value...>", `single values${of}`);

function helmCommand(program: Command, name: string, about: string): Command {
  return chartOptions(connected(program.command(name).description(about)))
    .option("--dry-run", "show what would be done (of an upgrade: what would change), and do nothing")
    .addOption(timeoutOption());
}

/** As Helm reads it. */
function durationOf(text: string): string {
  if (!/^(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+$/.test(text))
    throw new InvalidArgumentError("It is none such as 90s or 5m.");
  return text;
}

const timeoutOption = (): Option =>
  new Option("--timeout <duration>", "how long to wait").default("3m").argParser(durationOf);

/** `done` takes the exit status of a command that was carried out. */
export function buildProgram(screen: Terminal, done: Done): Command {
  const program = new Command("tencrypt")
    .description("Mutual TLS between the pods of a Kubernetes project")
    .version(ownVersion, "--version", "print the version of this command")
    .option("--no-color", "no colour (NO_COLOR does the same)")
    .showHelpAfterError("(tencrypt --help shows what there is)")
    .addHelpText(
      "after",
      "\nExit status: 0 good, 1 a check failed, 2 wrong usage, 64 bad configuration, 70 internal, 77 not possible here\n",
    );
  lookingCommands(program, screen, done);
  changingCommands(program, screen);
  program
    .command("completion")
    .description("print a script that completes commands and flags")
    .argument("<shell>", shells.join(", "))
    .addHelpText(
      "after",
      example(
        "source <(tencrypt completion bash)",
        'tencrypt completion zsh > "${fpath[1]}/_tencrypt"',
        "tencrypt completion fish > ~/.config/fish/completions/tencrypt.fish",
      ),
    )
    .action((shell: string) => {
      const known = shells.find((each) => each === shell);
      if (known === undefined)
        program.error(`error: no shell ${shell}; there are ${shells.join(", ")}`, { exitCode: 2 });
      screen.data(completion(known as Shell, describe(program)));
    });
  return program;
}

function checkCommand(program: Command, screen: Terminal, done: Done): void {
  const command = connected(
    program.command("check").description("look at the cluster, the control plane and every project"),
  )
    .option("--pre", "only what an installation needs")
    .addOption(
      new Option(
        "--probe",
        "with --pre: also try nodes and network, by a pod on each node in a namespace that is made for it and removed",
      ).implies({ pre: true }),
    )
    .option("--image <image>", "of tencrypt-init, with --probe (default: what the chart says)");
  chartOptions(command, ", with --probe")
    .option("--yes", "do not ask before --probe")
    .addOption(namespaceOption("only this project; nothing else has to be readable").conflicts(["pre", "probe"]))
    .addOption(outputOption())
    .addHelpText(
      "after",
      example(
        "tencrypt check --pre",
        "tencrypt check --pre --probe",
        "tencrypt check -n shop",
        "tencrypt check -o json | jq '.[] | select(.level == \"failed\")'",
      ),
    )
    .action(async (options: CheckOptions) => done(await check(options, screen)));
}

function lookingCommands(program: Command, screen: Terminal, done: Done): void {
  checkCommand(program, screen, done);
  connected(program.command("status").description("show which pods are protected, and why others are not"))
    .addArgument(new Argument("[namespace]", "the project (default: the context's namespace)").argParser(nameOf))
    .addOption(namespaceOption("the same as the argument"))
    .option("-A, --all-namespaces", "every project")
    .addOption(outputOption())
    .addHelpText("after", example("tencrypt status shop", "tencrypt status -A -o json"))
    .action((namespace: string | undefined, options: StatusOptions) => status(namespace, options, screen));
  connected(program.command("inject").description("print manifests as the webhook would make them"))
    .argument("<file>", "a file of manifests, or - for standard input")
    .addOption(namespaceOption("for manifests that name none"))
    .addHelpText("after", example("tencrypt inject deployment.yaml | kubectl diff -f -"))
    .action(async (file: string, options: InjectOptions) => done(await injectFile(file, options, screen)));
  program
    .command("explain")
    .description("say what a code means and what to do")
    .argument("<code>", "from a log line, a metric, a span, an annotation or a check")
    .option("--debug", "show where in the program an error comes from")
    .addOption(outputOption())
    .addHelpText("after", example("tencrypt explain peer_not_enrolled", "tencrypt explain TC-WH-02"))
    .action((code: string, options: { readonly output: Format }) => explain(code, options, screen));
  connected(program.command("version").description("print versions"))
    .option("--client", "of this command only")
    .addOption(outputOption())
    .addHelpText("after", example("tencrypt version", "tencrypt version --client"))
    .action((options: VersionOptions) => version(options, screen));
}

function changingCommands(program: Command, screen: Terminal): void {
  helmCommand(program, "install", "install the control plane with Helm")
    .option("--print", "print manifests for kubectl apply instead, without Helm's hooks")
    .addHelpText(
      "after",
      example(
        "tencrypt install",
        "tencrypt install --set mode=strict",
        "tencrypt install --print | kubectl apply --server-side -f -",
      ),
    )
    .action((options: HelmOptions) => install("install", options, screen));
  helmCommand(program, "upgrade", "upgrade the control plane with Helm")
    .option("--print", "print manifests for kubectl apply instead, with the values of the installed release")
    .addHelpText(
      "after",
      "\nValues that are not given stay as they are in the cluster.\n" +
        example("tencrypt upgrade --dry-run", "tencrypt upgrade", "tencrypt upgrade --set logLevel=debug"),
    )
    .action((options: HelmOptions) => install("upgrade", options, screen));
  connected(program.command("uninstall").description("remove the control plane and the ca's keys"))
    .option("--dry-run", "list what would be removed and what loses its certificates, and do nothing")
    .addOption(timeoutOption())
    .option("--yes", "do not ask")
    .addHelpText("after", example("tencrypt uninstall --dry-run", "tencrypt uninstall"))
    .action((options: HelmOptions) => uninstall(options, screen));
}

const describe = (program: Command): Parameters<typeof completion>[1] =>
  program.commands.map((command) => ({
    name: command.name(),
    about: command.description(),
    flags: command.options.map(({ long }) => long).filter((flag) => flag !== undefined && flag !== null),
  }));
