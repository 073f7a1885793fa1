/** What ends a command: what happened, why, what to do next, and the exit status that goes with it. */
import { exitCodes } from "../lib/lifecycle/exit-codes.ts";

export class Failure extends Error {
  readonly code: number;
  readonly next: string;

  constructor(message: string, next: string, code: number = exitCodes.failed) {
    super(message);
    this.next = next;
    this.code = code;
  }
}

/** The arguments make no sense. */
export const usageCode = 2;
