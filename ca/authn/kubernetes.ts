/**
 * Authenticates by the API server: TokenReview with exactly our audience, then the pod and its namespace as they are now.
 * Nothing that it confirmed is remembered: a token is worth what the next question says.
 */
import type { Clock } from "../../lib/clock/clock.ts";
import { KubeError } from "../../lib/kube/client.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import type { Events } from "../../lib/kube/events.ts";
import type { Namespace, Pod } from "../../lib/kube/objects.ts";
import type { Log } from "../../lib/log/log.ts";
import { denial } from "../denial.ts";
import type { Denial } from "../denial.ts";
import type { Authenticator, Caller } from "./caller.ts";
import { audienceProblem, numericDate, timeProblem } from "./claims.ts";
import { readJws } from "./jws.ts";
import type { Jws } from "./jws.ts";
import { judge, readReview, sourceProblem } from "./review.ts";
import type { TokenReview } from "./review.ts";

export type KubernetesSettings = {
  readonly audience: string;
  readonly initImages: readonly string[];
  readonly proxyImages: readonly string[];
  /** `warn`: a call from elsewhere than the pod's address is let in and told. */
  readonly sourceCheck: "enforce" | "warn";
};

export type KubernetesParts = {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  /** A refusal shows at the pod that it concerns. */
  readonly events: Events;
  /** Counts callers that came from another address than their pod's, also where that refuses nobody. */
  readonly cameFromElsewhere: () => void;
};

const reviews = "/apis/authentication.k8s.io/v1/tokenreviews";

export function kubernetesAuthenticator(settings: KubernetesSettings, parts: KubernetesParts): Authenticator {
  return {
    inspect: (token) => {
      const jws = readJws(token);
      if (jws.kind === "denial") return jws;
      const problem = audienceProblem(jws.claims, settings.audience) ?? timeProblem(jws.claims, parts.clock.now());
      return problem ?? { kind: "inspected", prove: (source) => prove({ token, jws, source }, settings, parts) };
    },
  };
}

type Shown = { readonly token: string; readonly jws: Jws; readonly source: string };

async function prove(shown: Shown, settings: KubernetesSettings, parts: KubernetesParts): Promise<Caller | Denial> {
  try {
    return await ask(shown, settings, parts);
  } catch (error) {
    if (error instanceof KubeError) return denial("token_review_unavailable", error.message);
    throw error;
  }
}

async function ask(
  { token, jws, source }: Shown,
  settings: KubernetesSettings,
  parts: KubernetesParts,
): Promise<Caller | Denial> {
  const { client, log } = parts;
  const body = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenReview",
    spec: { token, audiences: [settings.audience] },
  };
  const named = readReview(await client.create<TokenReview>(reviews, body), settings.audience);
  if (named.kind === "denial") return named;
  const [pod, namespace] = await Promise.all([
    client.find<Pod>(`/api/v1/namespaces/${named.namespace}/pods/${named.pod}`),
    client.find<Namespace>(`/api/v1/namespaces/${named.namespace}`),
  ]);
  const provenUntil = numericDate(jws.claims["exp"]) ?? 0;
  const caller = judge({ named, pod, namespace, provenUntil }, settings);
  if (pod === null) return caller;
  if (caller.kind === "denial") return toldAt(pod, caller, parts);
  const elsewhere = sourceProblem(pod, source);
  if (elsewhere === null) return caller;
  // Each pod calls before the API shows its address; it is let in a moment later.
  if (elsewhere.reason === "pod_address_pending") return elsewhere;
  parts.cameFromElsewhere();
  if (settings.sourceCheck === "enforce") return toldAt(pod, elsewhere, parts);
  log("warn", "source_mismatch", { detail: elsewhere.detail, pod: named.pod, project: named.namespace });
  return caller;
}

function toldAt({ metadata }: Pod, refusal: Denial, { events }: KubernetesParts): Denial {
  const { namespace = "", name, uid } = metadata;
  events.tell(
    { namespace, name, uid },
    {
      type: "Warning",
      reason: "CertificateRefused",
      action: "Issuing",
      cause: refusal.reason,
      note: `${refusal.reason}: ${refusal.detail}; next: tencrypt explain ${refusal.reason}`,
    },
  );
  return refusal;
}
