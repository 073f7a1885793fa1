/** The root certificates that a program starts from. Nothing is trusted that is not in this file, and, with pins, not pinned. */
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { loadBundle, matchesPins } from "../trust/bundle.ts";
import type { BootstrapTrust } from "./ca-client.ts";

export type RootFile = { readonly file: string; readonly pins: readonly string[]; readonly trustDomain: string };

const largestText = 256 * 1024;
const certificatePem = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** Throws with a sentence while the file is absent or cannot be trusted; the caller tries again. */
export async function readTrust({ file, pins, trustDomain }: RootFile): Promise<BootstrapTrust> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new Error(`waiting for the root certificate: ${error.code ?? error.message} at ${file}`);
  });
  return trustOf(text, { where: `the root file ${file}`, pins, trustDomain });
}

export type RootText = { readonly where: string; readonly pins: readonly string[]; readonly trustDomain: string };

/** The same of a text from elsewhere. */
export function trustOf(text: string, { where, pins, trustDomain }: RootText): BootstrapTrust {
  if (text.length > largestText) throw new Error(`${where} is larger than ${largestText} bytes`);
  const certificates = (text.match(certificatePem) ?? []).map((pem) => new X509Certificate(pem));
  const trusted = pins.length === 0 ? certificates : certificates.filter(({ raw }) => matchesPins(raw, pins));
  if (trusted.length === 0)
    throw new Error(
      certificates.length === 0 ? `no certificate in ${where}` : `no certificate in ${where} matches a pin`,
    );
  const loaded = loadBundle({
    version: 0n,
    trustDomain,
    roots: trusted.map(({ raw }) => raw),
    projects: [],
    denied: [],
  });
  if (loaded.kind === "refused") throw new Error(`${where} is refused: ${loaded.problems.join("; ")}`);
  return { roots: trusted.map(String), bundle: loaded.bundle };
}
