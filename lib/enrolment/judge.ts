/** What the CA sent, judged before it is used, by the verifier that peers use: a CA that errs is noticed here, not by them. */
import { X509Certificate, createPublicKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { formatSpiffeId } from "../identity/spiffe-id.ts";
import type { Bundle } from "../proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import { loadBundle } from "../trust/bundle.ts";
import { verify } from "../x509/verify.ts";
import type { TrustBundle } from "../x509/verify.ts";
import type { Identity, OwnName } from "./identity.ts";

export type ReadBundle =
  | { readonly kind: "bundle"; readonly bundle: TrustBundle; readonly roots: readonly string[] }
  | { readonly kind: "refused"; readonly problems: readonly string[] };

/** `held`: the one in use, so that only what changed is checked. */
export function readBundle(message: Bundle, trustDomain: string, held: TrustBundle | null): ReadBundle {
  const projects = message.projects.map(({ name, namespaceUid, authorities }) => ({
    name,
    uid: namespaceUid,
    authorities,
  }));
  const { version, roots, denied } = message;
  const loaded = loadBundle({ version, trustDomain, roots, projects, denied }, held);
  if (loaded.kind === "refused") return loaded;
  return { kind: "bundle", bundle: loaded.bundle, roots: message.roots.map(pem) };
}

const pem = (der: Uint8Array): string => new X509Certificate(der).toString();

type Context = {
  readonly generation: number;
  readonly now: number;
  readonly bundle: TrustBundle;
  readonly options: { readonly own: OwnName; readonly maxLeafLifetimeMs: number };
};
type Judged =
  | { readonly kind: "done"; readonly identity: Identity }
  | { readonly kind: "failed"; readonly why: string };

/** The chain must be for our key, our identity and our pod, and from our project's CA. */
export function judgeIssued(
  chainPem: readonly string[],
  key: KeyObject,
  { generation, now, bundle, options }: Context,
): Judged {
  const chain = chainPem.map((text) => new X509Certificate(text));
  const leaf = chain[0];
  if (leaf === undefined || !leaf.publicKey.equals(createPublicKey(key)))
    return { kind: "failed", why: "the certificate is not for our key" };
  const { trustDomain, project, serviceAccount, podUid } = options.own;
  const verdict = verify({
    chain: chain.map((certificate) => certificate.raw),
    now,
    expected:
      podUid === null
        ? { kind: "control-plane", project, serviceAccount }
        : { kind: "pod", project, serviceAccount, podUid },
    bundle,
    openssl: { kind: "not-asked" },
    maxLeafLifetimeMs: options.maxLeafLifetimeMs,
  });
  if (verdict.kind === "refusal")
    return { kind: "failed", why: `the CA's answer is refused: ${verdict.reason}: ${verdict.detail}` };
  return {
    kind: "done",
    identity: {
      generation,
      uri: formatSpiffeId({ trustDomain, project, serviceAccount }),
      key,
      keyPem: () => key.export({ type: "pkcs8", format: "pem" }),
      // The root is left out: the peer has it, and OpenSSL would send it with every handshake.
      chainPem: chain.slice(0, 2).map(String).join(""),
      chain: chain.slice(0, 2).map(({ raw }) => raw),
      issuer: chain[1]!.raw,
      serial: verdict.serial,
      notBefore: verdict.notBefore,
      notAfter: verdict.notAfter,
    },
  };
}
