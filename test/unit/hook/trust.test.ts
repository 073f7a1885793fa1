/** The last call of the Job tencrypt-trust, which takes its own right to call: what a lost answer of it leads to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTrust } from "../../../hook/trust.ts";
import { KubeError } from "../../../lib/kube/client.ts";
import { manualClock } from "../../clock/manual-clock.ts";

const pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
const forbidden = new KubeError("it", 403, "Forbidden", "no binding");
const lost = new KubeError("it", 0, "", "socket hang up");

type World = { readonly outcome: Promise<boolean>; readonly events: string[]; readonly deletions: () => number };

/** An API server where each deletion answers with the next of `answers`, null for well; `isBound` says whether we may still call. */
function world(answers: (KubeError | null)[], isBound: (deletions: number) => boolean): World {
  const clock = manualClock();
  const events: string[] = [];
  let deletions = 0;
  const mayCall = async <T>(answer: unknown): Promise<T> => {
    if (!isBound(deletions)) throw forbidden;
    return answer as T;
  };
  const client = {
    get: <T>(path: string): Promise<T> =>
      path.includes("/configmaps/") ? Promise.resolve({ data: { "ca.crt": pem } } as T) : mayCall<T>({ webhooks: [] }),
    patch: <T>(): Promise<T> => mayCall<T>({}),
    delete: async <T>(): Promise<T> => {
      await mayCall({});
      deletions++;
      const answer = answers.shift() ?? null;
      if (answer !== null) throw answer;
      return {} as T;
    },
  };
  const passing = { ...clock, after: (ms: number, callback: () => void) => soon(() => clock.advance(ms), callback) };
  const log = (_level: string, event: string): void => void events.push(event);
  return { outcome: setTrust({ client, clock: passing, log }, 60_000), events, deletions: () => deletions };
}

/** Waiting takes no time but its own. */
function soon(pass: () => void, callback: () => void): { cancel(): void } {
  const handle = setImmediate(() => {
    pass();
    callback();
  });
  return { cancel: () => clearImmediate(handle) };
}

test("a lost answer to a deletion that was done: the next one may not be asked for, and that is the end", async () => {
  const { outcome, events } = world([lost], (deletions) => deletions === 0);
  assert.equal(await outcome, true);
  assert.deepEqual(events, ["trust_was_set", "trust_was_set", "waiting"]);
});

test("one to a deletion that was not done: it is done again", async () => {
  const { outcome, deletions } = world([lost, null], () => true);
  assert.equal(await outcome, true);
  assert.equal(deletions(), 2);
});

test("what is refused for another reason meanwhile leaves it open", async () => {
  const busy = new KubeError("it", 429, "TooManyRequests", "later");
  const { outcome, deletions } = world([lost, busy], (done) => done < 2);
  assert.equal(await outcome, true);
  assert.equal(deletions(), 2);
});

test("a server's own trouble is no answer either", async () => {
  const trouble = new KubeError("it", 504, "Timeout", "etcd");
  assert.equal(await world([trouble], (deletions) => deletions === 0).outcome, true);
});

test("a right that is not known yet is waited for, and is no sign of anything", async () => {
  const { outcome, events } = world([], () => false);
  assert.equal(await outcome, false);
  assert.equal(events.at(-1), "gave_up");
  const late = world([forbidden, null], () => true);
  assert.equal(await late.outcome, true);
  assert.equal(late.deletions(), 2, "a refusal was an answer");
});
