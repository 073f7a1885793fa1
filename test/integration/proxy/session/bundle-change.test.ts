/**
 * A session ends as soon as a bundle no longer backs its peer: issuer, namespace and pod. What handshakes are made with is
 * made anew for another certificate or other roots only.
 */
import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { systemClock } from "../../../../lib/clock/clock.ts";
import type { TrustBundle } from "../../../../lib/x509/verify.ts";
import { TunnelListener } from "../../../../proxy/session/accept.ts";
import { openStream } from "../../../../proxy/session/open-stream.ts";
import { ownCredentials, peer } from "./peer.ts";

const answered = { onStream: (stream: ServerHttp2Stream): void => stream.respond({ ":status": 200 }) };
const { bundle } = ownCredentials();
const shop = bundle.projects.get("shop")!;
const rows: readonly (readonly [what: string, change: Partial<TrustBundle>, ends: boolean])[] = [
  ["the same bundle once more", {}, false],
  ["a project that is gone", { projects: new Map() }, true],
  ["an issuer that is gone", { projects: new Map([["shop", { ...shop, authorities: [] }]]) }, true],
  ["a namespace that was made again", { projects: new Map([["shop", { ...shop, uid: "uid-later" }]]) }, true],
  ["a pod that is denied", { denied: new Set(["uid-of-server-1"]) }, true],
];

for (const [what, change, ends] of rows) {
  test(`${what}: the session ${ends ? "ends" : "goes on"}`, async (t) => {
    const { pool, request } = await peer(t, { clock: systemClock, ...answered });
    const opened = await openStream(pool, request);
    assert.ok(opened.kind === "stream");
    pool.renew({ ...ownCredentials(), bundle: { ...bundle, ...change } });
    assert.equal(opened.session.facts.http2.destroyed, ends);
    assert.equal(
      opened.session.endReason,
      ends ? "issuer_removed" : null,
      "what its connections are told to have ended by",
    );
  });
}

test("the listener's TLS context is made anew with a certificate and with roots, not with each bundle", () => {
  const own = ownCredentials();
  const listener = new TunnelListener(own, {} as never);
  let made = 0;
  listener.server.setSecureContext = () => void made++;
  listener.renew({ ...own, bundle: { ...bundle, version: bundle.version + 1n } });
  assert.equal(made, 0);
  listener.renew({ ...own, roots: [...own.roots, ...own.roots] });
  assert.equal(made, 1);
  listener.renew({ ...own, identity: { ...own.identity } });
  assert.equal(made, 2);
});
