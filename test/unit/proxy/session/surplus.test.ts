/** One peer pod can hold a bounded number of sessions, and nobody else's are ended for it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { mostSessionsPerPeer, surplusSession } from "../../../../proxy/session/surplus.ts";

type Fake = Parameters<typeof surplusSession>[1];

function sessionOf(podUid: string, streams: number): Fake {
  const pod = {
    namespace: "shop",
    namespaceUid: "ns-1",
    serviceAccount: "web",
    serviceAccountUid: "sa-1",
    pod: podUid,
    podUid,
    node: "",
    nodeUid: "",
  };
  return { streams, terms: { peer: { pod, uri: "spiffe://mesh.local/ns/shop/sa/web" } } };
}

const full = (podUid: string, streams: number): Fake[] =>
  Array.from({ length: mostSessionsPerPeer }, () => sessionOf(podUid, streams));

test("up to the bound nothing ends", () => {
  const sessions = full("a", 0);
  assert.equal(surplusSession(sessions, sessions.at(-1)!), null);
});

test("beyond it the oldest session without streams gives way", () => {
  const newest = sessionOf("a", 0);
  const busy = sessionOf("a", 1);
  const idle = full("a", 0);
  assert.equal(surplusSession([busy, ...idle.slice(2), newest], newest), null, "at the bound");
  assert.equal(surplusSession([busy, ...idle, newest], newest), idle[0]);
});

test("where all carry streams the newest is refused", () => {
  const newest = sessionOf("a", 0);
  assert.equal(surplusSession([...full("a", 1), newest], newest), newest);
});

test("sessions of other pods do not count", () => {
  const newest = sessionOf("a", 0);
  assert.equal(surplusSession([...full("b", 0), newest], newest), null);
});
