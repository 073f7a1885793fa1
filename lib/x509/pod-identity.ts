/**
 * The PodIdentity extension of KEP-4317 (1.3.6.1.4.1.57683.1): a SEQUENCE of exactly eight UTF8Strings, tagged [0] to
 * [7] IMPLICIT and in this order, each empty where unknown. The texts are names and uids of Kubernetes and nothing
 * else: what could confuse a log line or a comparison is malformed. Pure.
 */
import { childrenOf, malformed, tags, utf8Text } from "./der.ts";
import type { Element } from "./der.ts";

/** Empty text where unknown. */
export type PodIdentity = {
  readonly namespace: string;
  readonly namespaceUid: string;
  readonly serviceAccount: string;
  readonly serviceAccountUid: string;
  readonly pod: string;
  readonly podUid: string;
  readonly node: string;
  readonly nodeUid: string;
};

const text = /^[A-Za-z0-9._:-]{0,253}$/;

/** Inside of `decode` only. */
export function readPodIdentity(root: Element, bytes: Uint8Array): PodIdentity {
  const fields = childrenOf(root, tags.sequence);
  if (fields.length !== 8) malformed("PodIdentity without exactly eight fields", root.start);
  const read = (index: number): string => {
    const field = fields[index]!;
    if (field.tag !== 0x80 + index) malformed(`field ${index} of PodIdentity`, field.start);
    const value = utf8Text(bytes, field);
    return text.test(value) ? value : malformed(`text of field ${index} of PodIdentity`, field.start);
  };
  return {
    namespace: read(0),
    namespaceUid: read(1),
    serviceAccount: read(2),
    serviceAccountUid: read(3),
    pod: read(4),
    podUid: read(5),
    node: read(6),
    nodeUid: read(7),
  };
}
