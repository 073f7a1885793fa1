/**
 * Somebody in the place of the ca who is believed over TLS, and answers every request with a chain that is wrong:
 * `--address A --domain D --project P --account A --pod-uid U --root FILE --wrong KIND`. Writes the root that it is believed by.
 * Events: `listening`, and `heard` for each request.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { startAnsweringCa } from "../../pki/answering-ca.ts";
import type { Answer } from "../../pki/answering-ca.ts";
import { createPki, generateKey } from "../../pki/pki.ts";
import type { Leaf } from "../../pki/pki.ts";
import { onCommand, say } from "./commands.ts";

const any = { type: "string" } as const;
const { values } = parseArgs({
  options: { address: any, domain: any, project: any, account: any, "pod-uid": any, root: any, wrong: any },
});
const { address = "", domain: trustDomain = "", project = "", account: serviceAccount = "", root = "" } = values;
const own = { project, serviceAccount, podUid: values["pod-uid"] ?? "" };
const projects = [project, "another"].map((name) => ({ name, uid: `uid-of-${name}` }));
const pki = createPki({ trustDomain, projects });
const foreign = createPki({ trustDomain, projects });
const chain = (leaf: Leaf): readonly string[] =>
  leaf.chainPem.split(/(?<=-----END CERTIFICATE-----\n)/).filter(Boolean);

const wrong: Readonly<Record<string, Answer>> = {
  "of a foreign root": (key) => chain(foreign.issueLeaf({ ...own, key })),
  "of another project's CA": (key) => chain(pki.issueLeaf({ ...own, key, issuer: pki.project("another") })),
  "of the control plane's CA": (key) => chain(pki.issueLeaf({ ...own, key, issuer: pki.controlPlane })),
  "of another pod": (key) => chain(pki.issueLeaf({ ...own, key, podUid: "uid-of-another" })),
  "for another key": () => chain(pki.issueLeaf({ ...own, key: generateKey("p256") })),
};

writeFileSync(root, pki.root.pem);
const answer = wrong[values.wrong ?? ""];
if (answer === undefined) throw new Error(`no wrong chain ${values.wrong}`);
await startAnsweringCa({
  pki,
  address,
  uri: `spiffe://${trustDomain}/ns/${project}/sa/${serviceAccount}`,
  answer,
  serving: pki.issueControlPlane({ project: "tencrypt-ca", serviceAccount: "tencrypt-ca" }),
  heard: () => say("heard"),
});
say("listening");
onCommand(() => ({}));
