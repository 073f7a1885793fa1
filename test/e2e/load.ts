/**
 * A program that asks a server, named by its argument, so many times a second until its standard input ends. Every request is on a
 * connection of its own, so that each of them has to find a pod that is there; each is answered or counted as a failure.
 */
export const load = (perSecond: number): string => `
  const http = require("node:http");
  const failures = {};
  let sent = 0, answered = 0, open = 0, stopping = false;
  const one = () => {
    sent++; open++;
    const started = Date.now();
    const fail = (error) => { const key = (error.code ?? error.message) + " after " + (Date.now() - started > 100 ? "more" : "less") + " than 100 ms"; failures[key] = (failures[key] ?? 0) + 1; done(); };
    const done = () => { open--; if (stopping && open === 0) finish(); };
    const call = http.get({ host: process.argv[1], agent: false, timeout: 10000 }, (answer) => {
      answer.resume();
      answer.on("end", () => { if (answer.statusCode === 200) answered++; else failures["status " + answer.statusCode] = (failures["status " + answer.statusCode] ?? 0) + 1; done(); });
      answer.on("error", fail);
    });
    call.on("timeout", () => call.destroy(new Error("timeout")));
    call.on("error", (error) => { if (!call.res) fail(error); });
  };
  const begin = performance.now();
  const elapsedMs = () => performance.now() - begin;
  // A late turn makes up for what it has missed.
  const timer = setInterval(() => { while (sent < elapsedMs() * ${perSecond / 1000}) one(); }, 20);
  let rate = 0;
  const finish = () => { console.log(JSON.stringify({ sent, answered, failures, rate })); process.exit(0); };
  process.stdin.on("end", () => {
    clearInterval(timer);
    rate = sent / (elapsedMs() / 1000);
    stopping = true;
    if (open === 0) finish();
  });
  process.stdin.resume();
  console.error("started");
`;

/** What it says at its end. */
export type LoadResult = {
  readonly sent: number;
  readonly answered: number;
  readonly failures: Readonly<Record<string, number>>;
  /** Sent in a second. */
  readonly rate: number;
};

export const readLoad = (output: string): LoadResult => JSON.parse(output.trim().split("\n").at(-1)!) as LoadResult;
