/** What has to agree in a TokenReview and the live pod before there is a caller: each thing alone is enough against it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { judge, readReview, sourceProblem } from "../../../ca/authn/review.ts";
import type { Named, TokenReview } from "../../../ca/authn/review.ts";
import type { Namespace, Pod } from "../../../lib/kube/objects.ts";
import { initImage, protectedSpec, proxyImage } from "../../cluster/protected-pod.ts";

const audience = "tencrypt-ca";
const rules = { initImages: [initImage], proxyImages: [proxyImage], audience };
const provenUntil = 1_700_000_000_000;

type Status = NonNullable<TokenReview["status"]>;
type User = NonNullable<Status["user"]>;

const extra = {
  "authentication.kubernetes.io/pod-name": ["cart-1"],
  "authentication.kubernetes.io/pod-uid": ["uid-cart-1"],
  "authentication.kubernetes.io/node-name": ["n1"],
  "authentication.kubernetes.io/node-uid": ["uid-n1"],
};
const user: User = { username: "system:serviceaccount:shop:cart", uid: "uid-account", extra };
const status: Status = { authenticated: true, audiences: [audience], user };

const withUser = (change: Partial<User>): TokenReview => ({ status: { ...status, user: { ...user, ...change } } });
const withExtra = (name: string, values: readonly string[] | null): TokenReview => {
  const { [`authentication.kubernetes.io/${name}` as keyof typeof extra]: _, ...rest } = extra;
  return withUser({ extra: values === null ? rest : { ...rest, [`authentication.kubernetes.io/${name}`]: values } });
};

const told = (outcome: { readonly kind: string; readonly reason?: string; readonly detail?: string }): string =>
  outcome.kind === "denial" ? `${outcome.reason}: ${outcome.detail}` : outcome.kind;

describe("a review", () => {
  test("with all of it names the pod that the token is bound to", () => {
    assert.deepEqual(readReview({ status }, audience), {
      kind: "named",
      namespace: "shop",
      serviceAccount: "cart",
      serviceAccountUid: "uid-account",
      pod: "cart-1",
      podUid: "uid-cart-1",
      node: "n1",
      nodeUid: "uid-n1",
    });
  });

  const notOurs = "token_refused: confirmed, but not for exactly the audience of the ca";
  const noAccount = "token_not_of_a_pod: the user is no service account";
  const noPod = "token_not_of_a_pod: the API server names no pod that the token is bound to";
  const cases: readonly (readonly [title: string, review: TokenReview, against: string])[] = [
    ["without a status", {}, "token_refused: not authenticated"],
    ["that says no", { status: { ...status, authenticated: false } }, "token_refused: not authenticated"],
    [
      "that says why not",
      { status: { authenticated: false, error: "token has expired" } },
      "token_refused: token has expired",
    ],
    ["without audiences", { status: { authenticated: true, user } }, notOurs],
    ["with no audience", { status: { ...status, audiences: [] } }, notOurs],
    ["for another audience", { status: { ...status, audiences: ["https://kubernetes.default.svc"] } }, notOurs],
    ["for ours and another one", { status: { ...status, audiences: [audience, "vault"] } }, notOurs],
    ["for ours twice", { status: { ...status, audiences: [audience, audience] } }, notOurs],
    ["without a user", { status: { authenticated: true, audiences: [audience] } }, noAccount],
    ["of a person", withUser({ username: "jane" }), noAccount],
    ["of a node", withUser({ username: "system:node:n1" }), noAccount],
    ["of an account with more parts", withUser({ username: "system:serviceaccount:shop:cart:x" }), noAccount],
    ["of an account in no namespace", withUser({ username: "system:serviceaccount::cart" }), noAccount],
    ["without the account's uid", withUser({ uid: "" }), noPod],
    ["without extra values", withUser({ extra: {} }), noPod],
    ["without the pod's name", withExtra("pod-name", null), noPod],
    ["with no pod's name", withExtra("pod-name", []), noPod],
    ["with two pods' names", withExtra("pod-name", ["cart-1", "cart-2"]), noPod],
    ["with one pod's name twice", withExtra("pod-name", ["cart-1", "cart-1"]), noPod],
    ["with a pod's name that is a path", withExtra("pod-name", ["../cart-1"]), noPod],
    ["without the pod's uid", withExtra("pod-uid", null), noPod],
    ["with two pods' uids", withExtra("pod-uid", ["uid-cart-1", "uid-cart-2"]), noPod],
    ["with an empty pod's uid", withExtra("pod-uid", [""]), noPod],
  ];
  for (const [title, review, against] of cases)
    test(`${title} names nobody`, () => assert.equal(told(readReview(review, audience)), against));

  test("of a server that does not tell the node names the pod, and no node", () => {
    const named = readReview(withUser({ extra: { ...extra, "authentication.kubernetes.io/node-name": [] } }), audience);
    assert.equal(named.kind === "named" && named.node, "");
  });
});

const named: Named = readReview({ status }, audience) as Named;

type Parts = { named: Named; pod: Pod | null; namespace: Namespace | null };

const live: Pod = {
  metadata: { namespace: "shop", name: "cart-1", uid: "uid-cart-1", resourceVersion: "1" },
  spec: {
    serviceAccountName: "cart",
    nodeName: "n1",
    containers: [{ name: "app" }],
    ...protectedSpec(),
  } as unknown as Pod["spec"],
  status: { phase: "Running", podIP: "10.0.0.2" },
};
const shop: Namespace = {
  metadata: { name: "shop", uid: "uid-shop", resourceVersion: "1", labels: { "tencrypt.io/project": "enabled" } },
};
const judged = (change: Partial<Parts>): ReturnType<typeof judge> =>
  judge({ named, pod: live, namespace: shop, provenUntil, ...change }, rules);

const deletionTimestamp = "2026-01-01T00:00:00Z";

describe("a pod that a token is bound to", () => {
  test("is the caller, with the identity that review and pod agree on", () => {
    const { kind: _, ...identity } = named;
    const caller = { kind: "caller", role: "pod", namespaceUid: "uid-shop", pod: identity, provenUntil };
    assert.deepEqual(judged({}), caller);
    // While it is being deleted it goes on.
    assert.deepEqual(judged({ pod: { ...live, metadata: { ...live.metadata, deletionTimestamp } } }), caller);
  });

  const withSpec = (spec: object): Pod => ({ ...live, spec: { ...live.spec, ...spec } });
  const cases: readonly (readonly [title: string, change: Partial<Parts>, against: RegExp])[] = [
    ["is gone", { pod: null }, /^pod_gone: no such pod$/],
    [
      "was made again under its name: another uid",
      { pod: { ...live, metadata: { ...live.metadata, uid: "uid-cart-2" } } },
      /^pod_gone: its uid is another$/,
    ],
    ["has succeeded", { pod: { ...live, status: { phase: "Succeeded" } } }, /^pod_not_protected: .*Succeeded$/],
    ["has failed", { pod: { ...live, status: { phase: "Failed" } } }, /^pod_not_protected: .*Failed$/],
    [
      "has ended and is being deleted",
      { pod: { ...live, metadata: { ...live.metadata, deletionTimestamp }, status: { phase: "Failed" } } },
      /^pod_gone: it has ended$/,
    ],
    [
      "runs under another account",
      { pod: withSpec({ serviceAccountName: "web" }) },
      /^pod_gone: the pod runs under another service account$/,
    ],
    [
      "says no account",
      { pod: withSpec({ serviceAccountName: undefined }) },
      /^pod_gone: the pod runs under another service account$/,
    ],
    ["is on the host's network", { pod: withSpec({ hostNetwork: true }) }, /^pod_not_protected: .*host/],
    ["has no proxy", { pod: withSpec({ initContainers: [] }) }, /^pod_not_protected: /],
    [
      "has a proxy of another image",
      { pod: withSpec(protectedSpec({ image: "evil/proxy:1" })) },
      /^pod_not_protected: its proxy's image is evil\/proxy:1$/,
    ],
    [
      "has an init of another image",
      { pod: withSpec(protectedSpec({ init: { image: "evil/init:1" } })) },
      /^pod_not_protected: its init's image is evil\/init:1$/,
    ],
    ["is in a namespace that is gone", { namespace: null }, /^project_not_enabled: no such namespace$/],
    [
      "is in a namespace that is no project",
      { namespace: { metadata: { ...shop.metadata, labels: {} } } },
      /^project_not_enabled: namespace shop lacks the label$/,
    ],
    // The pod is read where the token says that it is: of that name there is another one, or none.
    [
      "is one of the same name in another namespace than the token's",
      {
        named: { ...named, namespace: "other" },
        pod: { ...live, metadata: { ...live.metadata, namespace: "other", uid: "uid-of-other" } },
        namespace: { metadata: { ...shop.metadata, name: "other", uid: "uid-other" } },
      },
      /^pod_gone: its uid is another$/,
    ],
    [
      "is in the control plane's namespace, and no controller",
      { named: { ...named, namespace: "tencrypt-system" } },
      /^project_not_enabled: the control plane's own namespace is never a project$/,
    ],
  ];
  for (const [title, change, against] of cases)
    test(`that ${title} is no caller`, () => assert.match(told(judged(change)), against));
});

describe("the address that a call comes from", () => {
  test("is the pod's, or speaks against it; one on the host's network has none of its own", () => {
    assert.equal(sourceProblem(live, "10.0.0.2"), null);
    assert.equal(told(sourceProblem(live, "10.0.0.3")!), "source_mismatch: from 10.0.0.3, the pod has 10.0.0.2");
    const pending = "pod_address_pending: the API shows no address of the pod";
    assert.equal(told(sourceProblem({ ...live, status: { phase: "Pending" } }, "10.0.0.2")!), pending);
    const host = { ...live, spec: { ...live.spec, hostNetwork: true } };
    assert.equal(told(sourceProblem(host, "10.0.0.2")!), pending);
  });
});
