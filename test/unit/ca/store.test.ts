// The store in a folder: made on first use, shared by processes, and never guessing where something is damaged.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { openFolder } from "../../../ca/store/folder.ts";
import { createFile, StoreError } from "../../../ca/store/files.ts";
import type { ProjectIssuer, Store } from "../../../ca/store/store.ts";
import { systemClock } from "../../../lib/clock/clock.ts";
import { silent } from "../../../lib/log/log.ts";
import type { Log } from "../../../lib/log/log.ts";
import { createPki, day } from "../../pki/pki.ts";
import type { KeyType } from "../../pki/pki.ts";

const trustDomain = "cluster.local";

function newFolder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "tencrypt-store-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const open = (path: string, log: Log = silent): Promise<Store> => openFolder({ path, trustDomain }, systemClock, log);

async function issuerOf(store: Store, project: string): Promise<ProjectIssuer> {
  const issuer = await store.issuerOf(project, null);
  assert.ok(issuer.kind === "issuer", JSON.stringify(issuer));
  return issuer;
}

/** The one line that the store refuses to open with. */
async function complaint(path: string): Promise<string> {
  const error = await open(path).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof StoreError, `opened: ${String(error)}`);
  assert.ok(!error.message.includes("\n"));
  return error.message.replaceAll(path, "STORE");
}

void test("an empty folder gets a root and a control-plane CA, a project its CA at first use; all for the owner only", async (t) => {
  const path = newFolder(t);
  const store = await open(path);
  assert.equal(existsSync(join(path, "projects")), false);
  const issuer = await issuerOf(store, "shop");
  assert.deepEqual(readdirSync(join(path, "projects/shop")).toSorted(), ["tls.crt", "tls.key", "uid"]);
  assert.equal(issuer.uid, readFileSync(join(path, "projects/shop/uid"), "utf8").trim());
  for (const file of [
    "root.pem",
    "root.key",
    "control-plane/tls.crt",
    "control-plane/tls.key",
    "projects/shop/tls.key",
  ]) {
    assert.equal((statSync(join(path, file)).mode & 0o777).toString(8), "600", file);
  }
  assert.match(readFileSync(join(path, "root.key"), "utf8"), /^-----BEGIN PRIVATE KEY-----/);
  for (const file of ["control-plane/tls.crt", "projects/shop/tls.crt"]) {
    execFileSync("openssl", ["verify", "-x509_strict", "-CAfile", join(path, "root.pem"), join(path, file)]);
  }
});

void test("what was made stays: the same authorities, uid and bundle version when opened again", async (t) => {
  const path = newFolder(t);
  const first = await open(path);
  const issuer = await issuerOf(first, "shop");
  const published = await first.publish(0n);
  const second = await open(path);
  assert.deepEqual(second.root.certificate.der, first.root.certificate.der);
  assert.deepEqual((await issuerOf(second, "shop")).authority.certificate.der, issuer.authority.certificate.der);
  assert.equal((await issuerOf(second, "shop")).uid, issuer.uid);
  assert.deepEqual(await second.publish(0n), published);
});

void test("a uid that is there beforehand is the namespace's", async (t) => {
  const path = newFolder(t);
  mkdirSync(join(path, "projects/shop"), { recursive: true });
  writeFileSync(join(path, "projects/shop/uid"), "b1c0\n");
  const store = await open(path);
  assert.equal((await issuerOf(store, "shop")).uid, "b1c0");
  assert.equal((await store.publish(0n)).knowledge.projects.get("shop")?.uid, "b1c0");
});

void test("a project's CA is read once while nobody changes its files, and at once when somebody does", async (t) => {
  const path = newFolder(t);
  await issuerOf(await open(path), "shop");
  // A file that is younger than a second may change unseen, so the clock is a minute on.
  const later = { ...systemClock, now: () => systemClock.now() + 60_000 };
  const store = await openFolder({ path, trustDomain }, later, silent);
  const issuer = await issuerOf(store, "shop");
  assert.equal(await issuerOf(store, "shop"), issuer);
  writeFileSync(join(path, "projects/shop/uid"), "b1c0\n");
  assert.equal((await issuerOf(store, "shop")).uid, "b1c0");

  const file = (name: string): string => join(path, "projects/shop", name);
  const pair = ["tls.crt", "tls.key"].map((name) => [name, readFileSync(file(name))] as const);
  for (const [name] of pair) rmSync(file(name));
  const another = await issuerOf(store, "shop");
  assert.notDeepEqual(another.authority.certificate.der, issuer.authority.certificate.der);
  for (const [name, content] of pair) writeFileSync(file(name), content);
  assert.deepEqual((await issuerOf(store, "shop")).authority.certificate.der, issuer.authority.certificate.der);
  rmSync(file("tls.key"));
  assert.equal((await store.issuerOf("shop", null)).kind, "denial");
});

void test("a project's CA whose files are too new to tell a change from none is read each time", async (t) => {
  const store = await open(newFolder(t));
  const issuer = await issuerOf(store, "shop");
  assert.notEqual(await issuerOf(store, "shop"), issuer);
});

void test("many openings of one empty folder at once agree on everything", async (t) => {
  const path = newFolder(t);
  const stores = await Promise.all(Array.from({ length: 8 }, () => open(path)));
  const issuers = await Promise.all(stores.map((store) => issuerOf(store, "shop")));
  const published = await Promise.all(stores.map((store) => store.publish(0n)));
  const hex = (der: Uint8Array): string => Buffer.from(der).toString("hex");
  assert.equal(new Set(stores.map((store) => hex(store.root.certificate.der))).size, 1);
  assert.equal(new Set(stores.map((store) => hex(store.controlPlane.certificate.der))).size, 1);
  assert.equal(new Set(issuers.map((issuer) => hex(issuer.authority.certificate.der) + issuer.uid)).size, 1);
  assert.equal(new Set(published.map(({ version }) => version)).size, 1);
  assert.deepEqual(readdirSync(path).toSorted(), ["bundle", "control-plane", "projects", "root.key", "root.pem"]);
});

void test("each change gets a higher version, the same state the same one, also after it was seen by another process", async (t) => {
  const path = newFolder(t);
  const [one, other] = [await open(path), await open(path)];
  const empty = await one.publish(0n);
  await issuerOf(one, "shop");
  const withShop = await other.publish(empty.version);
  assert.ok(withShop.version > empty.version);
  assert.equal((await one.publish(empty.version)).version, withShop.version);
  rmSync(join(path, "projects/shop"), { recursive: true });
  const without = await one.publish(withShop.version);
  assert.ok(without.version > withShop.version);
  assert.equal(without.knowledge.projects.size, 0);
});

for (const keyType of ["rsa", "p384", "p256", "ed25519"] satisfies KeyType[]) {
  void test(`a root brought by its owner with a key of kind ${keyType} signs the CAs`, async (t) => {
    const path = newFolder(t);
    const { root } = createPki({ trustDomain, projects: [], rootKeyType: keyType });
    writeFileSync(join(path, "root.pem"), `subject=my own root\n${root.pem}`);
    writeFileSync(join(path, "root.key"), root.keyPem);
    const store = await open(path);
    await issuerOf(store, "shop");
    assert.deepEqual(Buffer.from(store.root.certificate.der), Buffer.from(root.der));
    writeFileSync(join(path, "root-only.pem"), root.pem);
    execFileSync("openssl", [
      "verify",
      "-x509_strict",
      "-CAfile",
      join(path, "root-only.pem"),
      join(path, "projects/shop/tls.crt"),
    ]);
  });
}

void test("the CAs never outlive a root that ends early", async (t) => {
  const path = newFolder(t);
  execFileSync(
    "openssl",
    [
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      join(path, "root.key"),
      "-out",
      join(path, "root.pem"),
      "-days",
      "30",
      "-subj",
      "/CN=own",
      "-addext",
      "keyUsage=critical,keyCertSign,cRLSign",
    ],
    { stdio: "ignore" },
  );
  const store = await open(path);
  const end = new X509Certificate(readFileSync(join(path, "root.pem"))).validToDate.getTime();
  assert.equal((await issuerOf(store, "shop")).authority.certificate.notAfter, end);
});

const pki = createPki({ trustDomain, projects: [{ name: "shop", uid: "b1c0" }] });
const foreign = createPki({ trustDomain, projects: [{ name: "shop", uid: "b1c0" }] });
type Damage = (path: string) => void;
const put =
  (file: string, text: string): Damage =>
  (path) =>
    writeFileSync(join(path, file), text);
const remove =
  (file: string): Damage =>
  (path) =>
    rmSync(join(path, file));

const damages: Readonly<Record<string, readonly [Damage, string]>> = {
  "root.key is missing": [
    remove("root.key"),
    "STORE/root.pem is there but root.key is not: restore it, or remove both",
  ],
  "root.pem is missing": [
    remove("root.pem"),
    "STORE/root.key is there but root.pem is not: restore it, or remove both",
  ],
  "the root is missing but not what it issued": [
    (path) => ["root.pem", "root.key"].forEach((file) => rmSync(join(path, file))),
    "STORE/root.pem and root.key are missing but control-plane/tls.crt is there: restore the root, or remove what it issued",
  ],
  "root.pem is cut": [
    (path) => put("root.pem", readFileSync(join(path, "root.pem"), "utf8").slice(0, 300))(path),
    "STORE/root.pem is not exactly one certificate in PEM",
  ],
  "root.pem holds two certificates": [
    (path) => put("root.pem", readFileSync(join(path, "root.pem"), "utf8") + pki.root.pem)(path),
    "STORE/root.pem is not exactly one certificate in PEM",
  ],
  "root.key is another root's": [
    put("root.key", pki.root.keyPem),
    "STORE/root.key is not the key of the certificate beside it",
  ],
  "root.key is empty": [put("root.key", ""), "STORE/root.key is not a private key in PEM"],
  "root.pem is no CA": [
    put("root.pem", pki.issueLeaf({ project: "shop" }).pem),
    "STORE/root.pem is refused: malformed_certificate: a CA without a subject",
  ],
  "root.pem is not self-signed": [
    put("root.pem", pki.project("shop").pem),
    "STORE/root.pem is refused: bad_basic_constraints: no CA of CAs",
  ],
  "the control-plane CA is another root's": [
    (path) =>
      [
        put("control-plane/tls.crt", foreign.controlPlane.pem),
        put("control-plane/tls.key", foreign.controlPlane.keyPem),
      ].forEach((damage) => damage(path)),
    "STORE/control-plane/tls.crt is refused: untrusted_chain: issued by no root of the bundle",
  ],
  "a project's key is missing": [
    remove("projects/shop/tls.key"),
    "STORE/projects/shop/tls.crt is there but tls.key is not: restore it, or remove both",
  ],
  "a project's key is another's": [
    put("projects/shop/tls.key", foreign.project("shop").keyPem),
    "STORE/projects/shop/tls.key is not the key of the certificate beside it",
  ],
  "a project's CA is another project's": [
    (path) => execFileSync("cp", ["-r", join(path, "projects/shop"), join(path, "projects/other")]),
    "STORE/projects/other/tls.crt is refused: bad_subject_alternative_name: not exactly spiffe://cluster.local/ca/project/other",
  ],
  "a folder lies where a file should be": [
    (path) => [remove("root.pem"), (at: string) => mkdirSync(join(at, "root.pem"))].forEach((damage) => damage(path)),
    "STORE/root.pem: EISDIR",
  ],
};

for (const [what, [damage, expected]] of Object.entries(damages)) {
  void test(`refuses to open: ${what}`, async (t) => {
    const path = newFolder(t);
    await issuerOf(await open(path), "shop");
    const before = listing(path);
    damage(path);
    const damaged = listing(path);
    assert.notDeepEqual(damaged, before);
    assert.equal(await complaint(path), expected);
    assert.deepEqual(listing(path), damaged, "the store was changed");
  });
}

/** Every file with its content. */
function listing(path: string): Record<string, string> {
  const names = readdirSync(path, { recursive: true, encoding: "utf8" }).toSorted();
  return Object.fromEntries(
    names.map((name) => [
      name,
      statSync(join(path, name)).isFile() ? readFileSync(join(path, name), "utf8") : "folder",
    ]),
  );
}

void test("a root that has ended is refused", async (t) => {
  const path = newFolder(t);
  const store = await open(path);
  const late = { ...systemClock, now: () => store.root.certificate.notAfter };
  await assert.rejects(openFolder({ path, trustDomain }, late, silent), {
    message: `${join(path, "root.pem")} has ended`,
  });
});

void test("a project that is damaged later leaves the bundle, is reported once, and gets no leaf", async (t) => {
  const path = newFolder(t);
  const lines: string[] = [];
  const store = await open(path, (_level, event, fields) => lines.push(`${event}: ${String(fields?.["detail"])}`));
  await issuerOf(store, "shop");
  await issuerOf(store, "billing");
  writeFileSync(join(path, "projects/shop/tls.crt"), "half");
  const { knowledge } = await store.publish(0n);
  await store.publish(0n);
  assert.deepEqual([...knowledge.projects.keys()], ["billing"]);
  assert.deepEqual(lines, [
    `project_unusable: ${join(path, "projects/shop/tls.crt")} is not exactly one certificate in PEM`,
  ]);
  const refused = await store.issuerOf("shop", null);
  assert.equal(refused.kind === "denial" ? refused.reason : refused.kind, "issuer_unusable");
});

void test("a set of files that a crash left half in place is finished as it was decided", async (t) => {
  const path = newFolder(t);
  const issuer = await issuerOf(await open(path), "shop");
  const folder = join(path, "projects/shop");
  mkdirSync(join(folder, ".made"));
  for (const file of ["tls.crt", "tls.key", "uid"])
    writeFileSync(join(folder, ".made", file), readFileSync(join(folder, file)));
  rmSync(join(folder, "tls.crt"));
  assert.deepEqual(
    (await issuerOf(await open(path), "shop")).authority.certificate.der,
    issuer.authority.certificate.der,
  );
  assert.deepEqual(readdirSync(folder).toSorted(), ["tls.crt", "tls.key", "uid"]);
});

void test("folders that are no project's name are left alone", async (t) => {
  const path = newFolder(t);
  const store = await open(path);
  for (const name of [".hidden", "UPPER", "with space"]) {
    mkdirSync(join(path, "projects", name), { recursive: true });
    writeFileSync(join(path, "projects", name, "tls.crt"), "x");
  }
  assert.equal((await store.publish(0n)).knowledge.projects.size, 0);
  await open(path);
});

void test("the certificates of the CAs last two years and the root ten", async (t) => {
  const store = await open(newFolder(t));
  const { certificate } = (await issuerOf(store, "shop")).authority;
  assert.equal(certificate.notAfter - certificate.notBefore, 730 * day);
  assert.equal(store.root.certificate.notAfter - store.root.certificate.notBefore, 3650 * day);
});

void test("a store that was taken away is not made again", async (t) => {
  const path = newFolder(t);
  const store = await open(path);
  rmSync(path, { recursive: true });
  const outcome = await store.issuerOf("shop", null);
  assert.equal(outcome.kind === "denial" ? outcome.reason : outcome.kind, "issuer_unusable");
  await assert.rejects(store.publish(0n), StoreError);
  assert.equal(existsSync(path), false);
});

void test("a store that is not there yet is made", async (t) => {
  const path = join(newFolder(t), "deep/er");
  await open(path);
  assert.ok(existsSync(join(path, "root.pem")));
});

void test("a file that cannot be written, as on a full disk, leaves nothing behind, however often it is tried", async (t) => {
  const path = newFolder(t);
  const unwritable = 0 as unknown as string;
  for (let tries = 0; tries < 3; tries++) await assert.rejects(createFile(path, "version", unwritable), StoreError);
  assert.deepEqual(readdirSync(path), []);
});
