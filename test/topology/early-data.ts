/**
 * OpenSSL's own client and server at the command line, for early data of TLS 1.3, which Node has no way to send: what a server's
 * tickets allow, and what becomes of bytes that come with the ClientHello.
 */
import { writeFileSync } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "../cluster/eventually.ts";
import type { Child } from "./child.ts";
import type { Cluster } from "./cluster.ts";
import { uids } from "./enter.ts";
import type { Pod } from "./pod.ts";
import type { Target } from "./attempts.ts";
import { bracketed } from "./attempts.ts";
import { toPem } from "../pki/certificate.ts";
import type { Leaf } from "../pki/pki.ts";

const port = 4433;
/** What the server says of itself, and only if it takes early data. */
export const most = 16_384;

const allowed = /Max Early Data: ([0-9]+)/;
const outcome = /^Early data was (accepted|rejected|not sent)/;

export class EarlyData {
  readonly #pod: Pod;
  readonly #folder: string;
  readonly #cluster: Cluster;
  readonly #common: readonly string[];
  /** In the same pod; takes early data. */
  readonly willing: Target = { host: "127.0.0.1", port };

  /** Runs under the proxy's uid, which is not captured, and shows that certificate. */
  constructor(cluster: Cluster, pod: Pod, leaf: Leaf) {
    this.#cluster = cluster;
    this.#pod = pod;
    this.#folder = cluster.makeFolder("early-data", uids.proxy);
    const [own = "", issuer = ""] = leaf.chain.map((der) => toPem(der, "CERTIFICATE"));
    const shown = { cert: own, cert_chain: issuer, key: leaf.keyPem };
    const files = Object.entries(shown).flatMap(([name, pem]) => [`-${name}`, this.#write(name, Buffer.from(pem))]);
    this.#common = [...files, "-alpn", "h2", "-tls1_3"];
  }

  #write(name: string, bytes: Uint8Array): string {
    const path = join(this.#folder, name);
    writeFileSync(path, bytes);
    this.#cluster.writeRights(path, 0o400, uids.proxy);
    return path;
  }

  #run(command: string, args: readonly string[]): Child {
    return this.#pod.spawn(`openssl-${command}`, ["openssl", command, ...this.#common, ...args], { uid: uids.proxy });
  }

  async startWilling(): Promise<void> {
    const args = ["-accept", `${this.willing.host}:${port}`, "-early_data", "-max_early_data", `${most}`];
    await this.#run("s_server", args).waitForLine(({ text }) => text === "ACCEPT");
  }

  #dial({ host, port: to }: Target, args: readonly string[]): Child {
    return this.#run("s_client", ["-connect", `${bracketed(host)}:${to}`, "-noservername", ...args]);
  }

  /** How many bytes of early data the server's ticket allows; the session is kept in the file `name`. */
  async ticket(from: Target, name: string): Promise<number> {
    const file = join(this.#folder, name);
    const client = this.#dial(from, ["-sess_out", file]);
    // It writes the file as the ticket arrives, but what it says of it stays in a buffer until it ends.
    await eventually(() => access(file));
    client.endInput();
    await client.exited;
    const { text } = await client.waitForLine((line) => allowed.test(line.text), { what: "a ticket" });
    return Number(allowed.exec(text)![1]);
  }

  /** Offers that session and sends the bytes with the ClientHello: `accepted`, `rejected`, or `not sent` where it allows none. */
  async send(to: Target, name: string, bytes: Uint8Array): Promise<string> {
    const args = ["-sess_in", join(this.#folder, name), "-early_data", this.#write("early", bytes)];
    const client = this.#dial(to, args);
    const { text } = await client.waitForLine((line) => outcome.test(line.text), { what: "the end of a handshake" });
    client.endInput();
    await client.exited;
    return outcome.exec(text)![1]!;
  }
}
