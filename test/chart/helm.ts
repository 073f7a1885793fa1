/** The real helm on the chart, with folders of its own so that nothing of the machine's takes part. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setUp } from "../cluster/set-up.ts";

export const chart = join(import.meta.dirname, "../../charts/tencrypt");
export const releaseNamespace = "tencrypt-system";

export type Answer = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** `--set`, or `--set-json` for what is no plain text or number. */
export type Values = Readonly<Record<string, unknown>>;

export const valueArguments = (values: Values): readonly string[] =>
  Object.entries(values).flatMap(([name, value]) => ["--set-json", `${name}=${JSON.stringify(value)}`]);

const ready = setUp("api");

/** Null where helm is there, else the reason to skip a test with. */
export const whyNoHelm: string | null = ready.kind === "ready" ? null : ready.why;

/** Runs helm; a `kubeconfig` is for what asks an API server. */
export const helm = (args: readonly string[], kubeconfig = "/nowhere"): Promise<Answer> =>
  runWithHelm("helm", args, kubeconfig);

/** Runs helm, and kills it when the signal says so: it cannot write down that it ends. */
export const helmUntil = (killed: AbortSignal, args: readonly string[], kubeconfig: string): Promise<Answer> =>
  runWithHelm("helm", args, kubeconfig, killed);

/** Runs a program that finds helm. */
export async function runWithHelm(
  program: string,
  args: readonly string[],
  kubeconfig: string,
  killed?: AbortSignal,
): Promise<Answer> {
  if (ready.kind === "impossible") throw new Error(ready.why);
  const home = mkdtempSync(join(tmpdir(), "tencrypt-helm-"));
  const { NODE_COMPILE_CACHE } = process.env;
  const env = { PATH: ready.path, HOME: home, KUBECONFIG: kubeconfig, NODE_COMPILE_CACHE };
  try {
    return await new Promise((resolve) => {
      const child = execFile(program, args, { env, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : ((error.code as unknown as number | undefined) ?? -1), stdout, stderr });
      });
      killed?.addEventListener("abort", () => child.kill("SIGKILL"));
    });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

export const template = (values: Values, ...more: readonly string[]): Promise<Answer> =>
  helm(["template", "tencrypt", chart, "-n", releaseNamespace, ...valueArguments(values), ...more]);
