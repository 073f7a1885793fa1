/**
 * Probes of the kernel on idle connections, for the end that is not in this pod: the application's own keep-alive ends at
 * its proxy, so a node that vanished without a word would be kept as an open connection for ever, and counted.
 * After a minute of silence ten probes go out, one a second (the number and the interval are those of Node). Pure.
 */
export const keepAlive = { keepAlive: true, keepAliveInitialDelay: 60_000 } as const;
