/**
 * Somebody in the place of the ca who answers every request with a chain of the kind `--chain`, and shows the ca's name in a
 * serving certificate of the issuer `--issuer`, by default the one that is believed:
 * `--address A --domain D --project P --account A --pod-uid U --root FILE --chain KIND`. Writes the root that it is believed by.
 * Events: `listening`, and `heard` for each request, with what it asks for and whether a token came with it.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { startAnsweringCa } from "../../pki/answering-ca.ts";
import type { Answer } from "../../pki/answering-ca.ts";
import { createPki, generateKey, hour, minute, withExtension } from "../../pki/pki.ts";
import type { Leaf, LeafOptions, TestAuthority } from "../../pki/pki.ts";
import { onCommand, say } from "./commands.ts";

const any = { type: "string" } as const;
const { values } = parseArgs({
  options: {
    address: any,
    domain: any,
    project: any,
    account: any,
    "pod-uid": any,
    root: any,
    chain: any,
    issuer: any,
  },
});
const { address = "", domain: trustDomain = "", project = "", account: serviceAccount = "", root = "" } = values;
const own = { project, serviceAccount, podUid: values["pod-uid"] ?? "" };
const projects = [project, "another"].map((name) => ({ name, uid: `uid-of-${name}` }));
const pki = createPki({ trustDomain, projects });
const foreign = createPki({ trustDomain, projects });
const chain = (leaf: Leaf): readonly string[] =>
  leaf.chainPem.split(/(?<=-----END CERTIFICATE-----\n)/).filter(Boolean);

const issued =
  (options: Partial<LeafOptions>, from = pki): Answer =>
  (key) =>
    chain(from.issueLeaf({ ...own, key, ...options }));
const large = (bytes: number): Partial<LeafOptions> => ({
  edit: (parts) => withExtension(parts, { oid: "1.3.6.1.4.1.99999.1", critical: false, value: new Uint8Array(bytes) }),
});
const now = Date.now();

const answers: Readonly<Record<string, Answer>> = {
  "that is right": issued({}),
  "of a foreign root": issued({}, foreign),
  "of another project's CA": issued({ issuer: pki.project("another") }),
  "of the control plane's CA": issued({ issuer: pki.controlPlane }),
  "of another pod": issued({ podUid: "uid-of-another" }),
  "for another key": () => issued({})(generateKey("p256")),
  "that has ended": issued({ notBefore: now - 3 * hour, notAfter: now - hour }),
  "that is valid in 5 minutes": issued({ notBefore: now + 5 * minute }),
  "of a hundred certificates": (key) => [
    ...issued({})(key),
    ...Array.from({ length: 98 }, () => pki.project(project).pem),
  ],
  "with a leaf of 1 MB": issued(large(1_000_000)),
  "beyond what a message may hold": issued(large(4_000_000)),
};
const issuers: Readonly<Record<string, TestAuthority>> = {
  "the control plane's CA": pki.controlPlane,
  "the project's CA": pki.project(project),
  "another project's CA": pki.project("another"),
};

writeFileSync(root, pki.root.pem);
const answer = answers[values.chain ?? ""];
const issuer = issuers[values.issuer ?? "the control plane's CA"];
if (answer === undefined || issuer === undefined)
  throw new Error(`no chain ${values.chain}, or no issuer ${values.issuer}`);
await startAnsweringCa({
  pki,
  address,
  uri: `spiffe://${trustDomain}/ns/${project}/sa/${serviceAccount}`,
  answer,
  serving: pki.issueControlPlane({ project: "tencrypt-ca", serviceAccount: "tencrypt-ca", issuer }),
  heard: (request) => say("heard", request),
});
say("listening");
onCommand(() => ({}));
