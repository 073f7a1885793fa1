/** Which peers are far enough away for a wider window: over real TLS on one machine none. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { connect, createServer } from "node:tls";
import { isAway, isFar } from "../../../../proxy/session/flow.ts";
import { createPki } from "../../../pki/pki.ts";

for (const [us, far] of [
  [null, true],
  [40, false],
  [499, false],
  [500, true],
  [2_000, true],
] as const)
  test(`a round trip of ${us ?? "nobody knows how many"} us is ${far ? "far" : "near"}`, () =>
    assert.equal(isFar(us), far));

test("a TLS connection on one machine is near, and what nobody measured is not", async (t) => {
  const pki = createPki({ projects: [{ name: "shop", uid: "uid-shop" }] });
  const leaf = pki.issueLeaf({ project: "shop", serviceAccount: "web" });
  const server = createServer({ key: leaf.keyPem, cert: leaf.chainPem });
  t.after(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const client = connect({
    port: (server.address() as AddressInfo).port,
    host: "127.0.0.1",
    rejectUnauthorized: false,
  });
  t.after(() => client.destroy());
  await once(client, "secureConnect");
  assert.equal(isAway(client), false);
  client.destroy();
  assert.equal(isAway(client), true);
});
