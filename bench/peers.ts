/**
 * What a peer costs: one pool with sessions to so many pods, each on an address and with a certificate of its own, one
 * open stream on each. The pods' proxies are one other process, so its figure is that of accepting them.
 * `npm run bench -- peers [count]`
 */
import { fork } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { once } from "node:events";
import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../lib/clock/clock.ts";
import type { Credentials } from "../lib/enrolment/identity.ts";
import { parseIp } from "../lib/net/address.ts";
import { loadBundle } from "../lib/trust/bundle.ts";
import { TunnelListener } from "../proxy/session/accept.ts";
import { openStream } from "../proxy/session/open-stream.ts";
import { SessionPool } from "../proxy/session/pool.ts";
import { createPki, hour } from "../test/pki/pki.ts";
import type { Leaf, RawBundle } from "../test/pki/pki.ts";
import { memoryOf } from "./data-path/process.ts";

const port = 15_008;
const judged = { maxLeafLifetimeMs: 48 * hour, clock: systemClock };

/** Everything in 127.0.0.0/8 is this machine. */
const addressOf = (index: number): string => `127.77.${Math.floor(index / 250)}.${(index % 250) + 1}`;

/** As it crosses from one process to the other. */
type Wire = { readonly leaf: Omit<Leaf, "key">; readonly bundle: RawBundle; readonly root: string };

function credentialsOf({ leaf, bundle, root }: Wire): Credentials {
  const loaded = loadBundle(bundle);
  if (loaded.kind === "refused") throw new Error(loaded.problems.join("; "));
  const { keyPem, chainPem, chain, uri } = leaf;
  const identity = {
    generation: 1,
    uri,
    key: createPrivateKey(keyPem),
    keyPem: () => keyPem,
    chainPem,
    chain,
    issuer: chain[1]!,
    serial: "01",
    notBefore: Date.now(),
    notAfter: Date.now() + 20 * hour,
  };
  return { identity, bundle: loaded.bundle, roots: [root] };
}

/** The other process: makes the certificates, listens for all pods, and sends the caller's. */
async function servePods(count: number): Promise<void> {
  const pki = createPki({ projects: [{ name: "shop", uid: "uid-shop" }] });
  const wireOf = ({ key: _key, ...leaf }: Leaf): Wire => ({ leaf, bundle: pki.rawBundle(), root: pki.root.pem });
  for (let index = 0; index < count; index++) {
    const leaf = pki.issueLeaf({ project: "shop", serviceAccount: "server", podUid: `pod-${index}` });
    const credentials = credentialsOf(wireOf(leaf));
    const { server } = new TunnelListener(credentials, {
      maxHalfOpen: 256,
      credentials: () => credentials,
      expected: () => ({ kind: "projects", projects: new Set(["shop"]) }),
      ...judged,
      onSession: ({ facts: { http2 } }) => http2.on("stream", (stream) => stream.respond({ ":status": 200 })),
      onClose: () => {},
    });
    await once(server.listen(port, addressOf(index)), "listening");
  }
  process.send!(wireOf(pki.issueLeaf({ project: "shop", serviceAccount: "cart" })));
}

async function callPods(count: number): Promise<void> {
  const child = fork(import.meta.filename, ["pods", `${count}`], { serialization: "advanced" });
  try {
    const [wire] = (await once(child, "message")) as [Wire];
    const credentials = credentialsOf(wire);
    const pool = new SessionPool({ credentials: () => credentials, ...judged, random: Math.random });
    const both = (): readonly number[] => [process.pid, child.pid!].map((pid) => memoryOf([pid]).anonymous);
    await sleep(1_000);
    const before = both();
    const began = performance.now();
    for (let index = 0; index < count; index++) {
      const ip = parseIp(addressOf(index))!;
      const target = { endpoint: { ip, port }, project: "shop", serviceAccount: "server", podUid: `pod-${index}` };
      const opened = await openStream(pool, { target, authority: { ip, port: 8080 }, traceparent: null, caller: null });
      if (opened.kind !== "stream") throw new Error(`${opened.reason}: ${opened.detail}`);
    }
    const took = performance.now() - began;
    await sleep(5_000);
    const [dialled, accepted] = both().map((after, index) => ((after - before[index]!) / count).toFixed(1));
    console.log(`${pool.sessions.length} peers, Node ${process.version}, load average ${loadavg()[0]!.toFixed(1)}`);
    console.log(`a session with one stream: ${dialled} KB where it was dialled, ${accepted} KB where it was accepted`);
    console.log(`one after the other: ${(took / count).toFixed(2)} ms each, both ends on this machine`);
    pool.destroy();
  } finally {
    child.kill();
  }
}

const [mode = "500", amount = ""] = process.argv.slice(2);
if (mode === "pods") await servePods(Number(amount));
else await callPods(Number(mode));
