/**
 * Programs and addons on arm64, under an emulator: the addons build for it, what runs in pods starts, and connections go through
 * real TLS sessions and sockets there. The emulator knows no SO_ORIGINAL_DST, so what was captured is not asked for.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { bundleAll } from "../../build/bundle.ts";
import { proxyLaunch } from "../../build/proxy-launch.ts";
import { exitCodes } from "../../lib/lifecycle/exit-codes.ts";
import { cacheFolder } from "./set-up.ts";

const root = join(import.meta.dirname, "../..");
const node = join(cacheFolder(), "arm64");
const emulated = ["-L", "/usr/aarch64-linux-gnu", join(node, "bin/node")];
const impossible = 77;

function whyNot(): string | null {
  const { status, stdout, stderr } = spawnSync("sh", [join(import.meta.dirname, "arm64.sh"), node], {
    encoding: "utf8",
  });
  if (status === impossible) return stdout.trim();
  if (status !== 0) throw new Error(`arm64.sh ended with ${status}: ${stderr}`);
  return null;
}

const why = whyNot();

describe("on arm64", why === null ? {} : { skip: why }, () => {
  const tree = mkdtempSync(join(tmpdir(), "tencrypt-arm64-"));
  after(() => rmSync(tree, { recursive: true }));

  type Ended = { readonly status: number | null; readonly stdout: string; readonly stderr: string };
  const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Ended =>
    spawnSync("qemu-aarch64-static", [...emulated, ...args], {
      cwd: tree,
      env: { PATH: process.env["PATH"], ...env },
      encoding: "utf8",
      timeout: 120_000,
    });

  before(async () => {
    for (const part of ["proxy", "lib", "build", "ca", "test", "Dockerfile", "package.json"])
      cpSync(join(root, part), join(tree, part), { recursive: true, filter: (path) => !path.endsWith(".node") });
    symlinkSync(join(root, "node_modules"), join(tree, "node_modules"));
    const env = { ...process.env, CC: "aarch64-linux-gnu-gcc", NODE_INCLUDE: join(node, "include/node") };
    const built = spawnSync("sh", ["build/addons.sh"], { cwd: tree, env, encoding: "utf8" });
    assert.equal(built.status, 0, built.stderr);
    await bundleAll(join(tree, "dist"));
    for (const addon of ["listen/socket-options.node", "memory/trim.node"])
      cpSync(join(tree, "proxy", addon), join(tree, "dist/proxy", addon.replace(/^.*\//, "")));
  });

  test("the addons are built for it", () => {
    for (const addon of ["listen/socket-options.node", "memory/trim.node"]) {
      const file = readFileSync(join(tree, "proxy", addon));
      // ELF, 64 bits; e_machine 183 is AArch64.
      assert.deepEqual([file.toString("latin1", 1, 4), file[4], file.readUInt16LE(18)], ["ELF", 2, 183], addon);
    }
  });

  for (const program of ["proxy", "init", "ca"])
    test(`${program} starts, and says what it is missing`, () => {
      const flags = program === "proxy" ? proxyLaunch.flags : [];
      const { status, stdout, stderr } = run([...flags, `dist/${program}/main.js`], proxyLaunch.env);
      assert.equal(status, exitCodes.badConfiguration, `${stdout}${stderr}`);
      assert.match(stdout, /"event":"bad_configuration"/);
    });

  test("connections, sessions, resets and the memory that is given back", () => {
    const files = ["far-end-leaves", "early-end", "keep-alive"].map(
      (n) => `test/integration/proxy/session/${n}.test.ts`,
    );
    const { status, stdout } = run(["--test-isolation=none", "--test-reporter=tap", "--test", ...files]);
    assert.match(stdout, /^# pass [1-9][0-9]*$/m);
    assert.match(stdout, /^# fail 0$/m);
    assert.equal(status, 0, stdout.slice(-4_000));
    const script = `
      const { ownMemory } = await import(${JSON.stringify(join(tree, "proxy/memory/own-memory.ts"))});
      await ownMemory().giveBack();
      console.log(process.arch);
    `;
    const given = run(["--expose-gc", "--input-type=module", "-e", script]);
    assert.equal(given.stdout.trim(), "arm64", given.stderr);
  });
});
