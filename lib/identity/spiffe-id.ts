/**
 * SPIFFE IDs of the one form that the mesh uses: `spiffe://<trust domain>/ns/<project>/sa/<service account>`.
 *
 * `parseSpiffeId` accepts a text only if formatting the parts again gives the same bytes, so two IDs are equal exactly
 * when their texts are. No percent-encoding, no upper case, no empty part. Pure.
 */

export type SpiffeId = {
  readonly trustDomain: string;
  readonly project: string;
  readonly serviceAccount: string;
};

/** Kubernetes names (RFC 1123 subdomain): lower case, digits, `-` and `.`; starts and ends with a letter or digit. */
const name = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

export const isName = (text: string): boolean => name.test(text);

export function parseSpiffeId(text: string): SpiffeId | null {
  const parts = text.split("/");
  if (parts.length !== 7 || parts[0] !== "spiffe:" || parts[1] !== "" || parts[3] !== "ns" || parts[5] !== "sa")
    return null;
  const id = { trustDomain: parts[2]!, project: parts[4]!, serviceAccount: parts[6]! };
  return isName(id.trustDomain) && isName(id.project) && isName(id.serviceAccount) ? id : null;
}

export const formatSpiffeId = (id: SpiffeId): string =>
  `spiffe://${id.trustDomain}/ns/${id.project}/sa/${id.serviceAccount}`;

/** The control plane's own identities. No pod can have one, whatever its project is called: the issuer differs. */
export const controlPlane = {
  ca: { project: "tencrypt-ca", serviceAccount: "tencrypt-ca" },
  controller: { project: "tencrypt-system", serviceAccount: "tencrypt-controller" },
} as const;
