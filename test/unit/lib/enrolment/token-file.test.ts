/** What stands in the token file is a secret, also where it is no token. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../../lib/clock/clock.ts";
import { createCaClient } from "../../../../lib/enrolment/ca-client.ts";
import { trustOf } from "../../../../lib/enrolment/root-file.ts";
import { createPki, day } from "../../../pki/pki.ts";

const pki = createPki({ projects: [] });

for (const [what, text] of [
  ["two lines", "eyJhbGciOi\neyJhbGciOi"],
  ["a byte order mark inside", "eyJhbGciOi\u{feff}eyJhbGciOi"],
] as const)
  test(`a token file with ${what} is refused without being quoted`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "tencrypt-token-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const tokenFile = join(folder, "token");
    writeFileSync(tokenFile, text);
    const client = await createCaClient(
      // Nobody listens there.
      { address: "127.0.0.1:1", tokenFile, maxLeafLifetimeMs: day, clock: systemClock },
      trustOf(pki.root.pem, { where: "the root", pins: [], trustDomain: pki.trustDomain }),
    );
    t.after(() => client.close());
    const refused = { message: `${tokenFile} does not hold one token` };
    await assert.rejects(client.issue("a request"), refused);
    await assert.rejects(client.watch({ onMessage: () => {}, onEnd: () => {} }), refused);
  });
