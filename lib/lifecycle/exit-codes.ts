/** What the exit status of every program means. The numbers are those of sysexits.h where it has one. */
export const exitCodes = {
  done: 0,
  /** Not done, for a reason that was told: a check that failed, something that did not come in time. */
  failed: 1,
  /** Settings that cannot be used; every problem was logged. */
  badConfiguration: 64,
  /** An error that should not have happened. */
  internal: 70,
  /** Not possible here, such as without root. */
  notHere: 77,
} as const;
