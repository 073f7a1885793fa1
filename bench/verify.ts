/**
 * What judging a peer costs: microseconds of one verification, the P-256 signature included, beside the signature
 * alone and the parser alone. `node bench/verify.ts [seconds a row]`
 */
import { verify as verifySignature } from "node:crypto";
import { loadBundle } from "../lib/trust/bundle.ts";
import { parseCertificate } from "../lib/x509/certificate.ts";
import { verify } from "../lib/x509/verify.ts";
import type { Verification } from "../lib/x509/verify.ts";
import { createPki, day } from "../test/pki/pki.ts";

const seconds = Number(process.argv[2] ?? 2);
const projects = Array.from({ length: 50 }, (_, index) => ({ name: `project-${index}`, uid: `uid-${index}` }));
const pki = createPki({ projects });
const loaded = loadBundle(pki.rawBundle());
if (loaded.kind === "refused") throw new Error(loaded.problems.join("; "));

const own: Verification = {
  chain: pki.issueLeaf({ project: "project-25" }).chain,
  now: Date.now(),
  expected: { kind: "projects", projects: new Set(["project-25"]) },
  bundle: loaded.bundle,
  openssl: { kind: "trusted" },
  maxLeafLifetimeMs: 2 * day,
};
const forged: Verification = {
  ...own,
  chain: pki.issueLeaf({ project: "project-25", issuer: pki.project("project-26") }).chain,
};
const ca: Verification = {
  ...own,
  chain: pki.issueControlPlane({ project: "tencrypt-ca", serviceAccount: "tencrypt-ca" }).chain,
  expected: { kind: "control-plane", project: "tencrypt-ca", serviceAccount: "tencrypt-ca" },
};

const leaf = parseCertificate(own.chain[0]!);
if (leaf.kind === "malformed") throw new Error(leaf.what);
const { tbs, signature } = leaf.value;
const { publicKey } = pki.project("project-25").key;

const expect = (kind: "peer" | "refusal", verification: Verification) => (): void => {
  const verdict = verify(verification);
  if (verdict.kind !== kind) throw new Error(`${verdict.kind}: ${JSON.stringify(verdict)}`);
};

const rows: readonly (readonly [string, () => void])[] = [
  ["verify, a peer", expect("peer", own)],
  ["verify, the CA (its issuer parsed and verified too)", expect("peer", ca)],
  ["verify, refused as wrong_issuer", expect("refusal", forged)],
  ["parseCertificate, a leaf", () => void parseCertificate(own.chain[0]!)],
  ["node:crypto, one P-256 signature", () => void verifySignature("sha256", tbs, publicKey, signature)],
  ["loadBundle, 50 projects", () => void loadBundle(pki.rawBundle())],
];

/** Wall and CPU microseconds a run, after a warm-up of a tenth. */
function measure(run: () => void): { wall: number; cpu: number; runs: number } {
  for (const end = performance.now() + seconds * 100; performance.now() < end;) run();
  const cpu = process.cpuUsage();
  const start = performance.now();
  let runs = 0;
  for (; performance.now() - start < seconds * 1000; runs++) run();
  const wall = ((performance.now() - start) * 1000) / runs;
  const used = process.cpuUsage(cpu);
  return { wall, cpu: (used.user + used.system) / runs, runs };
}

console.log(`Node ${process.version}, OpenSSL ${process.versions.openssl}, ${seconds} s a row`);
for (const [what, run] of rows) {
  const { wall, cpu, runs } = measure(run);
  console.log(
    `${what.padEnd(54)} ${wall.toFixed(1).padStart(9)} us wall ${cpu.toFixed(1).padStart(9)} us cpu  (${runs} runs)`,
  );
}
