/** What a peer with a good certificate, and a program of its own, can try with the exchange: all of it changes nothing. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import fc from "fast-check";
import { systemClock } from "../../../../lib/clock/clock.ts";
import { reauthenticationSetting } from "../../../../proxy/session/flow.ts";
import { createProof, decodeProof, digestOf, encodeProof, longestProof } from "../../../../proxy/session/proof.ts";
import { keyingMaterial } from "../../../../proxy/session/terms.ts";
import { manualClock } from "../../../clock/manual-clock.ts";
import { generateKey } from "../../../pki/pki.ts";
import type { Leaf } from "../../../pki/pki.ts";
import { chainMutation, mutate } from "../../../property/mutated-chain.ts";
import { draw } from "../../../property/seed.ts";
import { leafOf, lifetimeMs, pair, pki, post, rawClient, stream, watchExchanges } from "./pair.ts";
import type { Pair, RawClient } from "./pair.ts";
import { ownCredentials, peer } from "./peer.ts";

const mutated = 10_000;

type Rig = { readonly here: Pair; readonly raw: RawClient; readonly first: Leaf };

async function rig(t: TestContext): Promise<Rig> {
  const here = await pair(t);
  const first = leafOf({});
  return { here, first, raw: await rawClient(t, here.port, { leaf: first, knows: true }) };
}

type Changes = {
  readonly key?: Leaf["key"];
  readonly chain?: readonly Uint8Array[];
  readonly sequence?: number;
  readonly over?: RawClient;
};

/** A request that is right in all but the changes. */
function requestOf(
  { here, raw, first }: Rig,
  leaf: Leaf,
  { key = leaf.key, chain = leaf.chain, sequence = 1, over = raw }: Changes = {},
): Buffer {
  const leaves = { client: digestOf(first.der), server: digestOf(here.server.current().identity.chain[0]!) };
  const material = keyingMaterial(over.socket, "client");
  const binding = { role: "client", keyingMaterial: material, leaves, request: null } as const;
  return encodeProof(createProof(binding, { sequence, chain, key: key.privateKey }));
}

const refused = (reason: string): object => ({ status: 403, reason, body: Buffer.alloc(0) });

describe("a client", () => {
  test("that does it right is answered, which all others are measured by", async (t) => {
    const here = await rig(t);
    const before = here.here.accepted[0]!.end;
    const later = leafOf({ notAfter: Date.now() + 2 * lifetimeMs });
    const answer = await post(here.raw, requestOf(here, later));
    assert.deepEqual([answer.status, answer.reason], [200, ""]);
    assert.equal(decodeProof(answer.body).kind, "proof");
    const { peer: now } = here.here.accepted[0]!.terms;
    assert.ok(now.notAfter > before);
  });

  const requests: Readonly<Record<string, (rig: Rig, t: TestContext) => Promise<Buffer> | Buffer>> = {
    "replays a request of another session of its own": async (here, t) => {
      const over = await rawClient(t, here.here.port, { leaf: here.first, knows: true });
      return requestOf(here, leafOf({}), { over });
    },
    "signs with another key than the certificate's": (here) =>
      requestOf(here, leafOf({}), { key: generateKey("p256") }),
    "signs with the key of its last certificate": (here) => requestOf(here, leafOf({}), { key: here.first.key }),
    "sends nothing": () => Buffer.alloc(0),
    "sends garbage": () => Buffer.alloc(1_000, "garbage"),
    "sends more than there is to say": () => Buffer.alloc(longestProof + 1, 1),
  };
  for (const [what, make] of Object.entries(requests)) {
    test(`that ${what}`, async (t) => {
      const here = await rig(t);
      const before = here.here.accepted[0]!.terms;
      assert.deepEqual(await post(here.raw, await make(here, t)), refused("bad_reauthentication"));
      assert.equal(here.here.accepted[0]!.terms, before);
      assert.equal(
        (await post(here.raw, requestOf(here, leafOf({}), { sequence: 2 }))).status,
        200,
        "and can do better",
      );
    });
  }

  const chains: Readonly<Record<string, readonly [Parameters<typeof leafOf>[0], reason: string]>> = {
    "another pod of its account": [{ podUid: "uid-of-cart-2" }, "wrong_pod"],
    "another account": [{ serviceAccount: "admin", podUid: "uid-of-cart-1" }, "identity_mismatch"],
    "another project": [{ project: "bank" }, "identity_mismatch"],
    "its own name by another project's CA": [{ issuer: pki.project("bank") }, "wrong_issuer"],
  };
  for (const [whose, [options, reason]] of Object.entries(chains)) {
    test(`that shows the certificate of ${whose}`, async (t) => {
      const here = await rig(t);
      const before = here.here.accepted[0]!.terms;
      assert.deepEqual(await post(here.raw, requestOf(here, leafOf(options))), refused(reason));
      assert.equal(here.here.accepted[0]!.terms, before);
    });
  }

  test(`that shows ${mutated} chains of which something was changed, on one session`, async (t) => {
    const here = await rig(t);
    const before = here.here.accepted[0]!.terms;
    const later = leafOf({ notAfter: Date.now() + 2 * lifetimeMs });
    const whole = [...later.chain, pki.root.der];
    const donors = [...whole, here.first.der, leafOf({ project: "bank" }).der, pki.project("bank").der];
    // The root may be left out.
    const unchanged = (chain: readonly Uint8Array[]): boolean =>
      chain.length >= 2 && chain.every((der, at) => at < whole.length && Buffer.compare(der, whole[at]!) === 0);
    const changed = fc
      .sample(chainMutation(donors), draw(mutated))
      .map((change, index) => mutate(index % 4 === 0 ? whole : later.chain, change))
      .filter((chain) => !unchanged(chain));
    const seen = new Map<string, number>();
    for (const [index, chain] of changed.entries()) {
      // Signed as it is sent, by the right key, for this session: nothing else is wrong with it.
      const request = requestOf(here, later, { chain, sequence: index + 1 });
      const { status, reason, body } = await post(here.raw, request);
      assert.deepEqual([status, body.length], [403, 0], request.toString("hex"));
      assert.equal(here.here.accepted[0]!.terms, before);
      seen.set(reason, (seen.get(reason) ?? 0) + 1);
    }
    // So is refused what cannot be read; what is the client's first certificate again, as drawing may have it, is as well.
    const verified = changed.length - (seen.get("bad_reauthentication") ?? 0);
    const told = JSON.stringify([...seen]);
    t.diagnostic(`${verified} of ${changed.length} reached the verifier: ${told}`);
    assert.ok(
      verified > 0.98 * changed.length && changed.length > 0.9 * mutated,
      `${verified} reached the verifier: ${told}`,
    );
    assert.ok(seen.size >= 6 && (seen.get("bad_signature") ?? 0) > 20, told);
    const answer = await post(here.raw, requestOf(here, later, { chain: whole, sequence: changed.length + 1 }));
    assert.equal(answer.status, 200, "and can do better");
    assert.ok(here.here.accepted[0]!.terms.peer.notAfter > before.peer.notAfter);
  });

  test("that says the same twice: once is enough", async (t) => {
    const here = await rig(t);
    const request = requestOf(here, leafOf({}));
    assert.equal((await post(here.raw, request)).status, 200);
    assert.deepEqual(await post(here.raw, request), refused("bad_reauthentication"));
  });

  test("that sends back what it was answered", async (t) => {
    const here = await rig(t);
    const { body } = await post(here.raw, requestOf(here, leafOf({})));
    const read = decodeProof(body);
    assert.ok(read.kind === "proof");
    const reflected = encodeProof({ ...read.proof, sequence: 2 });
    // Its chain is the server's: refused for the name; its signature would be as wrong.
    assert.deepEqual(await post(here.raw, reflected), refused("identity_mismatch"));
  });

  test("of a project that is no longer a peer", async (t) => {
    const here = await rig(t);
    here.here.projects.delete("shop");
    assert.deepEqual(await post(here.raw, requestOf(here, leafOf({}))), refused("identity_mismatch"));
  });

  test("that never ends its request is given 5 s, and no second one meanwhile", async (t) => {
    const here = await rig(t);
    const slow = post(here.raw, Buffer.from([1]), { end: false });
    while (!here.here.accepted[0]!.exchangeUnderWay) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(await post(here.raw, requestOf(here, leafOf({}))), refused("bad_reauthentication"));
    here.here.clock.advance(5_000);
    assert.deepEqual(await slow, refused("bad_reauthentication"));
    assert.equal((await post(here.raw, requestOf(here, leafOf({})))).status, 200);
  });
});

describe("a server", () => {
  type Handler = (asked: ServerHttp2Stream, body: Buffer) => void;
  const answer = (asked: ServerHttp2Stream, body: Buffer): void => {
    asked.respond({ ":status": 200 });
    asked.end(body);
  };
  const handlers: Readonly<Record<string, readonly [Handler, reason: string]>> = {
    "that answers with garbage": [(asked) => answer(asked, Buffer.alloc(500, "x")), "bad_reauthentication"],
    "that sends the request back": [(asked, body) => answer(asked, body), "identity_mismatch"],
    "that sends more than there is to say": [
      (asked) => answer(asked, Buffer.alloc(longestProof + 1)),
      "bad_reauthentication",
    ],
    "that resets the request": [(asked) => asked.close(8), "bad_reauthentication"],
    "that answers another exchange": [
      (asked, body) => {
        const read = decodeProof(body);
        assert.ok(read.kind === "proof");
        answer(asked, encodeProof({ ...read.proof, sequence: 7 }));
      },
      "bad_reauthentication",
    ],
  };

  async function against(
    t: TestContext,
    handle: Handler,
  ): Promise<{ here: Awaited<ReturnType<typeof peer>>; renew: () => void }> {
    const own = ownCredentials();
    let current = own;
    const here = await peer(t, {
      clock: systemClock,
      settings: { customSettings: { [reauthenticationSetting]: 1 } },
      credentials: () => current,
      onStream: (asked, headers: IncomingHttpHeaders) => {
        if (headers[":method"] === "CONNECT") return asked.respond({ ":status": 200 });
        const chunks: Buffer[] = [];
        asked.on("data", (chunk: Buffer) => chunks.push(chunk));
        asked.on("end", () => handle(asked, Buffer.concat(chunks)));
      },
    });
    const renew = (): void => {
      current = { ...own, identity: { ...own.identity, generation: 2 } };
      here.pool.renew(current);
    };
    return { here, renew };
  }

  const seen = async (exchanges: ReturnType<typeof watchExchanges>): Promise<void> => {
    while (exchanges.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  };

  for (const [what, [handle, reason]] of Object.entries(handlers)) {
    test(`${what}: nothing new on that session, and what is open ends when it would have`, async (t) => {
      const exchanges = watchExchanges(t);
      const { here, renew } = await against(t, handle);
      const open = await stream(here);
      const [session] = here.pool.sessions;
      const { end } = session!;
      renew();
      await seen(exchanges);
      assert.equal(exchanges[0]!.reason, reason);
      assert.equal(session!.usable, false);
      assert.deepEqual([session!.end, open.closed], [end, false]);
    });
  }

  test("that refuses for now is asked again, and the session goes on meanwhile", async (t) => {
    const exchanges = watchExchanges(t);
    const { here, renew } = await against(t, (asked) =>
      asked.respond({ ":status": 403, "tencrypt-reason": "wrong_issuer" }, { endStream: true }),
    );
    await stream(here);
    const [session] = here.pool.sessions;
    renew();
    await seen(exchanges);
    assert.equal(exchanges[0]!.reason, "wrong_issuer");
    assert.equal(session!.usable, true);
  });

  test("that is silent: 5 s, then as if it had answered badly", async (t) => {
    const exchanges = watchExchanges(t);
    const clock = manualClock(Date.now());
    const own = ownCredentials();
    const asked = Promise.withResolvers<void>();
    const here = await peer(t, {
      clock,
      settings: { customSettings: { [reauthenticationSetting]: 1 } },
      onStream: (each, headers) =>
        headers[":method"] === "CONNECT" ? each.respond({ ":status": 200 }) : asked.resolve(),
    });
    await stream(here);
    here.pool.renew({ ...own, identity: { ...own.identity, generation: 2 } });
    clock.advance(1);
    await asked.promise;
    clock.advance(5_000);
    await seen(exchanges);
    assert.equal(exchanges[0]!.reason, "bad_reauthentication");
    assert.equal(here.pool.sessions[0]!.usable, false);
  });
});

test("after a good exchange a connection's record names what was shown when it opened", async (t) => {
  const here = await pair(t);
  const open = await stream(here);
  const { tls } = here.pool.sessions[0]!.terms;
  const serial = tls.peerSerial;
  here.renewBoth();
  here.clock.advance(1);
  while (here.exchanges.length < 2) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(tls.peerSerial, serial);
  assert.notEqual(here.pool.sessions[0]!.terms.tls.peerSerial, serial);
  open.close();
  await once(open, "close");
});
