/** What the record of a connection says of the endpoints that were asked before the one that answered. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import type { Ip } from "../../../lib/net/address.ts";
import { newRecord } from "../../../proxy/connection.ts";
import type { Dataplane } from "../../../proxy/dataplane.ts";
import { dialFarEnd } from "../../../proxy/far-end.ts";
import type { Allowed } from "../../../proxy/far-end.ts";
import { manualClock } from "../../clock/manual-clock.ts";

const evil = "spiffe://demo.local/ns/evil/sa/evil";

/** The first endpoint is refused for what it shows; `second` answers or is refused too. */
async function dialled(second: "answers" | "refused"): Promise<{ kind: string; claimed: string | null }> {
  const stream = new EventEmitter();
  const clock = manualClock();
  const request = (): EventEmitter => {
    setImmediate(() => stream.emit("response", { ":status": 200 }));
    return stream;
  };
  const session = {
    usable: true,
    terms: { tls: { group: null } },
    facts: { clock, http2: { request } },
    carry: () => {},
    streamClosed: () => {},
  };
  const refused = { kind: "failed", reason: "wrong_pod", detail: "", claimed: evil };
  const answers = second === "answers" ? [refused, { kind: "session", session }] : [refused, refused];
  const plane = { pool: { session: async () => answers.shift() }, clock, mode: "project" } as unknown as Dataplane;
  const candidate = (ip: string): object => ({
    ip: ip as Ip,
    port: 80,
    tunnelPort: 15_008,
    workload: { project: "shop", serviceAccount: "cart", pod: ip, uid: ip },
  });
  const route = { kind: "tunnel", candidates: [candidate("10.0.0.2"), candidate("10.0.0.3")] } as unknown as Allowed;
  const record = newRecord("outbound", "10.0.0.1:1", plane);
  const { kind } = await dialFarEnd(route, record, { plane, caller: null });
  return { kind, claimed: record.claimed };
}

test("who was refused is named where nobody else answers", async () => {
  assert.deepEqual(await dialled("refused"), { kind: "failed", claimed: evil });
});

test("and is not in the record of a connection that another endpoint serves", async () => {
  assert.deepEqual(await dialled("answers"), { kind: "far", claimed: null });
});
