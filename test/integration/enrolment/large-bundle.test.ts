/** The bundle of all projects of a large cluster, as the controller follows it, over real TLS. */
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { systemClock } from "../../../lib/clock/clock.ts";
import { createCaClient } from "../../../lib/enrolment/ca-client.ts";
import { trustOf } from "../../../lib/enrolment/root-file.ts";
import type { StreamEnd } from "../../../lib/grpc/channel.ts";
import { TrustBundleService } from "../../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import type { Bundle, TrustBundleServer } from "../../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import { createPki, day } from "../../pki/pki.ts";
import { cleanUp } from "../ca/running-ca.ts";

const pki = createPki({ projects: [] });

async function startServer(t: TestContext, bundle: Bundle): Promise<number> {
  const server = new Server();
  const watch: TrustBundleServer["watch"] = (call) => void call.write(bundle);
  server.addService(TrustBundleService, { watch });
  const { chainPem, keyPem } = pki.issueControlPlane({ project: "tencrypt-ca", serviceAccount: "tencrypt-ca" });
  const pair = { cert_chain: Buffer.from(chainPem), private_key: Buffer.from(keyPem) };
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createSsl(null, [pair]), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  cleanUp(t, () => server.forceShutdown());
  return port;
}

test("10 000 projects, as many as a cluster has namespaces, are one bundle", async (t) => {
  const projects = Array.from({ length: 10_000 }, (_, index) => ({
    name: `${"team-of-the-department-".repeat(2)}${index}`,
    namespaceUid: randomUUID(),
    authorities: [randomBytes(600)],
  }));
  const port = await startServer(t, { version: 1n, roots: [], projects, denied: [] });
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-large-bundle-"));
  cleanUp(t, () => rmSync(folder, { recursive: true }));
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, "a token");
  const client = await createCaClient(
    { address: `127.0.0.1:${port}`, tokenFile, maxLeafLifetimeMs: day, clock: systemClock },
    trustOf(pki.root.pem, { where: "the root", pins: [], trustDomain: pki.trustDomain }),
  );
  cleanUp(t, () => client.close());
  const came = Promise.withResolvers<Bundle | StreamEnd>();
  const cancel = await client.watch({ onMessage: came.resolve, onEnd: came.resolve });
  cleanUp(t, cancel);
  const bundle = await came.promise;
  assert.ok("projects" in bundle, "error" in bundle ? bundle.error : "over");
  assert.equal(bundle.projects.length, projects.length);
});
