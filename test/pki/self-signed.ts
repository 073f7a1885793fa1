/** A key and a certificate under itself for a server that is not of ours, as PEM in two files. Made by OpenSSL. */
import { execFileSync } from "node:child_process";

export function makeSelfSigned(name: string, { key, cert }: { readonly key: string; readonly cert: string }): void {
  const form = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
  const subject = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
  execFileSync("openssl", ["req", "-x509", ...form, ...subject, "-keyout", key, "-out", cert], { stdio: "ignore" });
}
