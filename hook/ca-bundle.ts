/**
 * What has to change in a webhook configuration so that the API server believes certificates under our root, and nothing
 * else of it. Pure.
 */
import { rootConfigMap } from "../lib/kube/names.ts";
import type { ConfigMap, KubeObject } from "../lib/kube/objects.ts";
import { splitPem } from "../lib/x509/pem.ts";

export type WebhookConfiguration = KubeObject & {
  readonly webhooks?: readonly { readonly name: string; readonly clientConfig: { readonly caBundle?: string } }[];
};

export type Root = { readonly kind: "root"; readonly pem: string } | { readonly kind: "none"; readonly why: string };

/** One operation of a JSON patch (RFC 6902). */
export type Operation = { readonly op: "test" | "add"; readonly path: string; readonly value: string };

/** The API server takes any text for a bundle; one that holds no certificate would shut every webhook out. */
export function readRoot(configMap: ConfigMap): Root {
  const pem = configMap.data?.[rootConfigMap.key];
  if (pem === undefined) return { kind: "none", why: `it has no key ${rootConfigMap.key}` };
  const blocks = splitPem(pem);
  return blocks.kind === "blocks" ? { kind: "root", pem } : { kind: "none", why: blocks.what };
}

/**
 * Empty where every webhook has this bundle already. Each change is tied to the webhook's name: if somebody else changed
 * the list meanwhile, the patch fails as a whole.
 */
export function bundlePatch({ webhooks = [] }: WebhookConfiguration, pem: string): readonly Operation[] {
  const value = Buffer.from(pem).toString("base64");
  return webhooks.flatMap(({ name, clientConfig }, index): readonly Operation[] =>
    clientConfig.caBundle === value
      ? []
      : [
          { op: "test", path: `/webhooks/${index}/name`, value: name },
          { op: "add", path: `/webhooks/${index}/clientConfig/caBundle`, value },
        ],
  );
}
