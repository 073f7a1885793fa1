/** What of the CA's stream of bundles is news: told to the rest of the program, and told to people. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { importKey } from "../../../../lib/x509/algorithms.ts";
import { readCsr } from "../../../../ca/issue/csr.ts";
import { IdentityAgent } from "../../../../lib/enrolment/agent.ts";
import type { CaClient } from "../../../../lib/enrolment/ca-client.ts";
import type { StreamHandlers } from "../../../../lib/grpc/channel.ts";
import type { Credentials } from "../../../../lib/enrolment/identity.ts";
import type { Bundle } from "../../../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import type { ManualClock } from "../../../clock/manual-clock.ts";
import { createPki, day, generateKey } from "../../../pki/pki.ts";

const own = { trustDomain: "cluster.local", project: "shop", serviceAccount: "cart", podUid: "uid-of-cart-1" } as const;
const pki = createPki({ projects: [{ name: "shop", uid: "uid-shop" }] });
const other = createPki({ projects: [] });

/** As decoded anew from the wire. */
function bundle(version: bigint, { denied = [] as string[], roots = [pki.root.der] } = {}): Bundle {
  const { projects } = pki.rawBundle();
  return {
    version,
    roots: roots.map((der) => Buffer.from(der)),
    projects: projects.map(({ name, uid, authorities }) => ({
      name,
      namespaceUid: uid,
      authorities: authorities.map((der) => Buffer.from(der)),
    })),
    denied,
  };
}

type Line = { readonly level: string; readonly event: string };
type Started = {
  readonly clock: ManualClock;
  readonly told: readonly Credentials[];
  readonly lines: readonly Line[];
  /** Of the stream that is open. */
  readonly agent: IdentityAgent;
  readonly cancelled: () => number;
  readonly stream: () => StreamHandlers<Bundle>;
  readonly watches: () => number;
};

/** An agent with its first certificate, under version 1. */
async function start(t: TestContext): Promise<Started> {
  const clock = manualClock(Date.now());
  const told: Credentials[] = [];
  const lines: Line[] = [];
  const watching: StreamHandlers<Bundle>[] = [];
  const client: CaClient = {
    issue: async (csr) => {
      const read = readCsr(csr, "");
      assert.ok(read.kind === "csr");
      const key = {
        ...generateKey("p256"),
        publicKey: importKey({ der: read.publicKey })!,
      };
      return { chain: [pki.issueLeaf({ ...own, key }).pem, pki.project("shop").pem], bundleVersion: 1n };
    },
    watch: async (handlers) => {
      watching.push(handlers);
      if (watching.length === 1) handlers.onMessage(bundle(1n));
      return () => void cancelled++;
    },
    close: () => {},
  };
  let cancelled = 0;
  const agent = new IdentityAgent({
    own,
    maxLeafLifetimeMs: 2 * day,
    readTrust: async () => ({ roots: [], bundle: null as never }),
    connect: async () => client,
    clock,
    random: () => 0.5,
    log: (level, event) => void lines.push({ level, event }),
  });
  const first = new Promise<void>((resolve) => agent.onChange(() => resolve()));
  agent.onChange((credentials) => void told.push(credentials));
  t.after(() => agent.stop());
  agent.start();
  await first;
  lines.length = 0;
  return {
    clock,
    told,
    lines,
    agent,
    stream: () => watching.at(-1)!,
    watches: () => watching.length,
    cancelled: () => cancelled,
  };
}

test("a bundle that says the same once more is told to nobody", async (t) => {
  const { told, lines, stream } = await start(t);
  for (let times = 0; times < 3; times++) stream().onMessage(bundle(1n));
  assert.equal(told.length, 1);
  assert.deepEqual(lines, []);
});

test("another version is told, with the roots that are held, and so are other contents of the same version", async (t) => {
  const { told, stream } = await start(t);
  stream().onMessage(bundle(2n));
  stream().onMessage(bundle(2n, { denied: ["uid-of-web-1"] }));
  assert.deepEqual(
    told.map(({ bundle: { version, denied }, identity }) => [version, denied.size, identity.generation]),
    [
      [1n, 0, 1],
      [2n, 0, 1],
      [2n, 1, 1],
    ],
  );
  assert.ok(
    told.every(({ roots }) => roots === told[0]!.roots),
    "no TLS context is made anew",
  );
  stream().onMessage(bundle(3n, { roots: [pki.root.der, other.root.der] }));
  assert.equal(told.at(-1)!.roots.length, 2);
});

test("a stream that the CA ends, as with its token, worries nobody: the next one follows", async (t) => {
  const { clock, told, lines, stream, watches } = await start(t);
  stream().onEnd({ kind: "over" });
  assert.deepEqual(lines, [{ level: "debug", event: "trust_bundle_stream_over" }]);
  clock.advance(1_000);
  await turn();
  assert.equal(watches(), 2);
  stream().onMessage(bundle(1n));
  assert.equal(told.length, 1);
});

test("a stream that opens when the agent was stopped meanwhile is cancelled", async (t) => {
  const { clock, stream, agent, cancelled } = await start(t);
  stream().onEnd({ kind: "over" });
  clock.advance(1_000);
  agent.stop();
  await turn();
  assert.equal(cancelled(), 2);
});

test("one that fails, and one that is ended before it has brought anything, are worth a warning", async (t) => {
  const { clock, lines, stream } = await start(t);
  stream().onEnd({ kind: "failed", error: "14 UNAVAILABLE" });
  clock.advance(1_000);
  await turn();
  stream().onEnd({ kind: "over" });
  const warning = { level: "warn", event: "trust_bundle_unavailable" };
  assert.deepEqual(lines, [warning, warning]);
});

/** The next stream is opened behind a few promises. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
