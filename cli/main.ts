#!/usr/bin/env node
/** tencrypt, the command line: arguments, exit status, and errors in words. */
import { existsSync } from "node:fs";
import { delimiter } from "node:path";
import { CommanderError } from "commander";
import type { Command } from "commander";
import { exitCodes } from "../lib/lifecycle/exit-codes.ts";
import { Failure, usageCode } from "./failure.ts";
import { buildProgram } from "./program.ts";
import { terminal, wantsColor } from "./terminal.ts";

const color = wantsColor(process.env["NO_COLOR"], process.argv);
const screen = terminal({ stdout: process.stdout, stderr: process.stderr, color });
const debug = process.argv.includes("--debug");

// kubectl passes over files of the list that are not there; Helm, which gets what is left, does so too.
const kubeconfigs = process.env["KUBECONFIG"]?.split(delimiter) ?? [];
const present = kubeconfigs.filter((file) => existsSync(file));
if (present.length > 0) process.env["KUBECONFIG"] = present.join(delimiter);

/** Whoever reads may have had enough (`| head -1`): what comes after is not written, and the exit status is what it would be. */
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });

function codeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : usageCode;
  if (error instanceof Failure) {
    screen.note(`error: ${error.message}\nnext: ${error.next}\n`);
    if (debug) screen.note(`${error.stack}\n`);
    return error.code;
  }
  const { code, message, stack } = error as NodeJS.ErrnoException;
  screen.note(
    debug
      ? `${stack}\n`
      : `error: ${message}\nnext: the same with --debug${code === "ENOENT" ? "; is the path right?" : ""}\n`,
  );
  return code === "ENOENT" ? exitCodes.badConfiguration : exitCodes.internal;
}

function overrideExit(program: Command): void {
  program.exitOverride();
  for (const command of program.commands) command.exitOverride();
}

let exitCode: number = exitCodes.done;
const program = buildProgram(screen, (code) => (exitCode = code));
overrideExit(program);
try {
  await program.parseAsync(process.argv);
} catch (error) {
  exitCode = codeOf(error);
}
process.exitCode = exitCode;
