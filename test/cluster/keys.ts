/** Keys, certificates and kubeconfig files of one cluster, in a folder that only its owner reads. */
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildCertificate, extensions, general, generateKey, oids, template, toPem } from "../pki/certificate.ts";
import type { KeyPair } from "../pki/certificate.ts";
import { oid, sequence, set, utf8String } from "../pki/der-writer.ts";
import type { Bytes } from "../pki/der-writer.ts";
import { day, hour, privatePem } from "../pki/pki.ts";

export type Authority = {
  readonly subject: Bytes;
  readonly key: KeyPair;
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly pem: string;
};

export type Holder = {
  readonly user: string;
  readonly group?: string;
  readonly usages: readonly ("clientAuth" | "serverAuth")[];
  readonly names?: readonly string[];
  readonly addresses?: readonly string[];
};

export type Credentials = { readonly certificateFile: string; readonly keyFile: string };

const attribute = (type: string, text: string): Bytes => set(sequence(oid(type), utf8String(text)));

const distinguishedName = (user: string, group?: string): Bytes =>
  sequence(...(group === undefined ? [] : [attribute("2.5.4.10", group)]), attribute("2.5.4.3", user));

const octetsOf = (address: string): readonly number[] => address.split(".").map(Number);

const serial = (): bigint => BigInt(`0x40${randomBytes(8).toString("hex")}`);

/** The files of one cluster. The names are those of the holders. */
export class Keys {
  readonly folder: string;
  readonly authority: Authority;
  /** Signs the tokens of service accounts. */
  readonly tokenKeyFile: string;
  readonly tokenPublicKeyFile: string;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.authority = this.makeAuthority("ca");
    const tokens = generateKey("p256");
    this.tokenKeyFile = this.write("tokens.key", privatePem(tokens.privateKey));
    this.tokenPublicKeyFile = this.write("tokens.pub", tokens.publicKey.export({ type: "spki", format: "pem" }));
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    chmodSync(path, 0o600);
    return path;
  }

  makeAuthority(name: string): Authority {
    const key = generateKey("p256");
    const subject = distinguishedName(name);
    const list = [
      extensions.basicConstraints(true),
      extensions.keyUsage(5, 6),
      extensions.subjectKeyIdentifier(key.publicKey),
    ];
    const pem = this.#sign({ issuer: subject, subject, key: key, signer: key }, list);
    const certificateFile = this.write(`${name}.crt`, pem);
    return { subject, key, certificateFile, keyFile: this.write(`${name}.key`, privatePem(key.privateKey)), pem };
  }

  issue(file: string, holder: Holder, authority: Authority = this.authority): Credentials {
    const key = generateKey("p256");
    const names = [
      ...(holder.names ?? []).map(general.dns),
      ...(holder.addresses ?? []).map((address) => general.ip(octetsOf(address))),
    ];
    const list = [
      extensions.basicConstraints(false),
      extensions.keyUsage(0),
      extensions.extendedKeyUsage(...holder.usages.map((usage) => oids[usage])),
      extensions.authorityKeyIdentifier(authority.key.publicKey),
      ...(names.length === 0 ? [] : [extensions.subjectAltName(false, ...names)]),
    ];
    const subject = distinguishedName(holder.user, holder.group);
    const pem = this.#sign({ issuer: authority.subject, subject, key, signer: authority.key }, list);
    return {
      certificateFile: this.write(`${file}.crt`, pem),
      keyFile: this.write(`${file}.key`, privatePem(key.privateKey)),
    };
  }

  /** A client certificate and the kubeconfig that uses it; returns the path of the latter. */
  kubeconfig(file: string, url: string, holder: Pick<Holder, "user" | "group">): string {
    const { certificateFile, keyFile } = this.issue(file, { ...holder, usages: ["clientAuth"] });
    return this.write(
      `${file}.kubeconfig`,
      kubeconfigText(url, this.authority.certificateFile, {
        "client-certificate": certificateFile,
        "client-key": keyFile,
      }),
    );
  }

  #sign(
    parts: { readonly issuer: Bytes; readonly subject: Bytes; readonly key: KeyPair; readonly signer: KeyPair },
    list: Parameters<typeof template>[2],
  ): string {
    const validity = { notBefore: Date.now() - hour, notAfter: Date.now() + 30 * day };
    const { issuer, subject, key, signer } = parts;
    const body = template({ issuer, subject, publicKey: key.publicKey, ...validity, serial: serial() }, signer, list);
    return toPem(buildCertificate(body, signer));
  }
}

/** JSON is YAML. */
export function kubeconfigText(url: string, authorityFile: string, user: Readonly<Record<string, string>>): string {
  return `${JSON.stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster: { server: url, "certificate-authority": authorityFile } }],
      users: [{ name: "test", user }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
      "current-context": "test",
    },
    null,
    1,
  )}\n`;
}
