/** Set-up on a machine where things are missing: it installs them, or stops with one line that says what to install. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";

const script = readFileSync(join(import.meta.dirname, "../../setup.sh"), "utf8");
/** What every system has; whatever else set-up wants is missing. */
const base = ["sh", "dirname", "tr", "sort", "sed", "cat", "mktemp", "tail", "rm", "uname", "flock"];

type Machine = { readonly uid: number; readonly aptGet: string | null };
type Run = { readonly code: number | null; readonly stderr: readonly string[]; readonly calls: readonly string[] };

/** Runs set-up with a PATH that holds the base, an `id` that says `uid`, and `apt-get` as the given shell text. */
function setUp(t: TestContext, { uid, aptGet }: Machine): Run {
  const folder = mkdtempSync(join(tmpdir(), "tencrypt-setup-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const bin = join(folder, "bin");
  for (const each of [bin, join(folder, "test")]) mkdirSync(each);
  for (const name of base)
    symlinkSync(execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim(), join(bin, name));
  const command = (name: string, text: string): void => {
    writeFileSync(join(bin, name), `#!${join(bin, "sh")}\n${text}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  command("id", `echo ${uid}`);
  if (aptGet !== null) command("apt-get", `echo "$*" >>"${folder}/calls"; ${aptGet}`);
  writeFileSync(join(folder, "package-lock.json"), "{}");
  const closed = script.replace(/^PATH=.*$/m, "");
  assert.notEqual(closed, script);
  writeFileSync(join(folder, "test/setup.sh"), closed);
  const ended = spawnSync(join(bin, "sh"), [join(folder, "test/setup.sh")], {
    env: { PATH: bin, TMPDIR: folder },
    encoding: "utf8",
  });
  const calls = join(folder, "calls");
  return {
    code: ended.status,
    stderr: ended.stderr.trimEnd().split("\n"),
    calls: existsSync(calls) ? readFileSync(calls, "utf8").trimEnd().split("\n") : [],
  };
}

// Headers are looked for outside of PATH, so the list may hold libc6-dev too.
const packages = "gcc iproute2 iptables (?:libc6-dev )?openssl tcpdump util-linux";

describe("set-up", () => {
  test("installs as root what is missing, and after that wants npm", (t) => {
    const { code, stderr, calls } = setUp(t, { uid: 0, aptGet: "exit 0" });
    assert.equal(code, 77);
    assert.equal(calls[0], "update -qq");
    assert.match(calls[1]!, new RegExp(`^install -y -qq --no-install-recommends ${packages}$`));
    assert.equal(stderr.at(-1), "setup: npm is missing; install it first: apt-get install -y npm");
  });

  test("says what to install where there is no apt-get", (t) => {
    const { code, stderr } = setUp(t, { uid: 0, aptGet: null });
    assert.equal(code, 77);
    assert.equal(stderr.length, 1);
    assert.match(stderr[0]!, new RegExp(`^setup: no apt-get here; install .* calls: ${packages}$`));
  });

  test("wants without root only what tests without root need, and installs nothing", (t) => {
    const { code, stderr, calls } = setUp(t, { uid: 1000, aptGet: "exit 0" });
    assert.equal(code, 77);
    assert.deepEqual(calls, []);
    assert.equal(stderr.length, 1);
    assert.match(
      stderr[0]!,
      /^setup: not root, so nothing was installed; run as root: apt-get install -y gcc(?: libc6-dev)?$/,
    );
  });

  test("shows why apt-get failed", (t) => {
    const { code, stderr } = setUp(t, { uid: 0, aptGet: 'echo "E: no network" >&2; exit 100' });
    assert.equal(code, 77);
    assert.equal(stderr.at(-2), "E: no network");
    assert.match(
      stderr.at(-1)!,
      new RegExp(`^setup: apt-get failed; install by hand: apt-get install -y ${packages}$`),
    );
  });
});
