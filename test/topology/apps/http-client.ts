/**
 * HTTP/1.1 client on command.
 *
 * `get`  {url, count?, connection?: "keep" | "new", headers?, method?, body?, timeoutMs?}: one request after the other.
 * `loop` {url, intervalMs? | perSecond?, connection?}: requests until `stop`; says `progress` after every tenth. With `perSecond` it makes up
 *        for time that was lost.
 * `stop`: ends the loop.
 * All answer {total, succeeded, statuses, pods, failures: [{error, count}], last: {status, headers, body, milliseconds}, slowest}.
 */
import { Agent, request } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { onCommand, say, text } from "./commands.ts";
import type { Fields } from "./commands.ts";

type Answer = { status: number; headers: Fields; body: string; milliseconds: number };
type Summary = {
  total: number;
  succeeded: number;
  statuses: Record<string, number>;
  pods: Record<string, number>;
  failures: Map<string, number>;
  last: Answer | null;
  slowest: number;
};

const emptySummary = (): Summary => ({
  total: 0,
  succeeded: 0,
  statuses: {},
  pods: {},
  failures: new Map(),
  last: null,
  slowest: 0,
});

function ask(command: Fields, agent: Agent): Promise<Answer> {
  const started = performance.now();
  const headers = (command["headers"] ?? {}) as Record<string, string>;
  const method = text(command, "method", "GET");
  return new Promise((resolve, reject) => {
    const outgoing = request(text(command, "url"), {
      agent,
      method,
      headers,
      timeout: Number(command["timeoutMs"] ?? 10_000),
    });
    outgoing.on("timeout", () => outgoing.destroy(new Error("timeout")));
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const body = Buffer.concat(chunks).toString("latin1");
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body,
          milliseconds: performance.now() - started,
        });
      });
    });
    outgoing.end(command["body"] === undefined ? undefined : text(command, "body"));
  });
}

async function once(command: Fields, agent: Agent, summary: Summary): Promise<void> {
  summary.total++;
  try {
    const answer = await ask(command, agent);
    summary.last = answer;
    summary.statuses[answer.status] = (summary.statuses[answer.status] ?? 0) + 1;
    const pod = text(answer.headers, "x-pod", "");
    summary.pods[pod] = (summary.pods[pod] ?? 0) + 1;
    summary.slowest = Math.max(summary.slowest, answer.milliseconds);
    if (answer.status === 200) summary.succeeded++;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    summary.failures.set(code, (summary.failures.get(code) ?? 0) + 1);
  }
}

const report = (summary: Summary): Fields => ({
  ...summary,
  failures: [...summary.failures].map(([error, count]) => ({ error, count })),
});
const agentFor = (command: Fields): Agent => new Agent({ keepAlive: command["connection"] !== "new", maxSockets: 1 });

async function get(command: Fields): Promise<Fields> {
  const agent = agentFor(command);
  const summary = emptySummary();
  for (let left = Number(command["count"] ?? 1); left > 0; left--) await once(command, agent, summary);
  agent.destroy();
  return report(summary);
}

/** An object: the loop and the command that ends it see the same one. */
const looping = { on: false };
let loopEnd: Promise<Fields> = Promise.resolve({});

async function loop(command: Fields): Promise<Fields> {
  const agent = agentFor(command);
  const summary = emptySummary();
  const started = performance.now();
  const perSecond = command["perSecond"];
  while (looping.on) {
    await once(command, agent, summary);
    if (summary.total % 10 === 0) say("progress", { total: summary.total, succeeded: summary.succeeded });
    const dueMs = started + (summary.total * 1_000) / Number(perSecond) - performance.now();
    if (perSecond === undefined) await pause(Number(command["intervalMs"] ?? 0));
    else if (dueMs > 0) await pause(dueMs);
  }
  agent.destroy();
  return report(summary);
}

const verbs: Readonly<Record<string, (command: Fields) => Promise<Fields> | Fields>> = {
  get,
  loop: (command) => {
    looping.on = true;
    loopEnd = loop(command);
    return {};
  },
  stop: () => {
    looping.on = false;
    return loopEnd;
  },
};
onCommand((command) => verbs[text(command, "do")]!(command));
say("ready");
