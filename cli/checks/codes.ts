/** Every check of `tencrypt check`: a stable code, what it looks at, and what to do where it fails. Codes are added, never renamed. Pure. */
export const checkCodes = {
  "TC-K8S-01": { what: "the API server answers and is of version 1.33 or later", hint: "upgrade the cluster" },
  "TC-K8S-02": {
    what: "the API server knows ValidatingAdmissionPolicies",
    hint: "enable admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy",
  },
  "TC-K8S-03": {
    what: "you may do what an installation needs",
    hint: "ask for the rights of a cluster administrator, or let one install",
  },
  "TC-K8S-04": {
    what: "your clock and the API server's differ by less than 30 s",
    hint: "set both clocks by NTP: certificates start and end by them",
  },
  "TC-K8S-05": {
    what: "you may read all that is looked at",
    hint: "where it is forbidden, ask for the right to read it or let a cluster administrator check; else see to what it says and check again. What was not seen was not judged",
  },
  "TC-CP-01": {
    what: "every replica of the controller is there, ready and as it was last told",
    hint: "kubectl -n tencrypt-system get pods; kubectl -n tencrypt-system logs -l app.kubernetes.io/component=controller --prefix",
  },
  "TC-CP-02": {
    what: "every replica of the ca is there, ready and as it was last told",
    hint: "kubectl -n tencrypt-ca get pods; kubectl -n tencrypt-ca logs -l app.kubernetes.io/component=ca --prefix",
  },
  "TC-CP-03": {
    what: "controller, ca and this command are of one version",
    hint: "use the command of the installed version; tencrypt upgrade only where the control plane is the older one: it would take a newer one back",
  },
  "TC-WH-01": {
    what: "all webhooks are there, as the chart has them, and fail closed",
    hint: "kubectl delete mutatingwebhookconfiguration/tencrypt validatingwebhookconfiguration/tencrypt; tencrypt upgrade; an upgrade alone leaves what was added. Pods made until then are not protected: tencrypt check names them",
  },
  "TC-WH-02": {
    what: "the API server knows the root that the webhooks' certificate stands under",
    hint: "tencrypt upgrade: it runs the hook tencrypt-trust again, whose log says what it waits for",
  },
  "TC-WH-03": {
    what: "all ValidatingAdmissionPolicies are there, as the chart has them, fail closed, and are bound to refuse everywhere",
    hint: "kubectl delete validatingadmissionpolicy,validatingadmissionpolicybinding -l app.kubernetes.io/part-of=tencrypt; tencrypt upgrade; an upgrade alone leaves what was added. Until then who may edit a namespace may loosen its project",
  },
  "TC-WH-04": {
    what: "the API server reaches the webhooks: a pod of a project would be protected (it is tried, and nothing is kept)",
    hint: "kubectl -n tencrypt-system get pods,endpointslices; the API server has to reach the controller's pods on 15017: docs/operations.md, Managed clusters",
  },
  "TC-CA-01": {
    what: "the root is published",
    hint: "kubectl -n tencrypt-ca rollout restart deployment/tencrypt-ca: the ca publishes its root when it starts, and its log says why it does not",
  },
  "TC-CA-02": {
    what: "the root does not end within 90 days",
    hint: "bring a new root before certificates reach its end: docs/operations.md, A new root",
  },
  "TC-CA-03": {
    what: "the ca sees callers at their own addresses",
    hint: "look for source_mismatch in the ca's log (kubectl -n tencrypt-ca logs -l app.kubernetes.io/component=ca --prefix): of one pod it may be a stolen token; of all, the network rewrites sources on the way to the ca: tencrypt upgrade --set ca.sourceCheck=warn",
  },
  "TC-CA-04": {
    what: "the control-plane CA and the CA of every project with protected pods go on for 90 days",
    hint: "docs/operations.md, When authorities end, says how each is replaced",
  },
  "TC-CA-05": {
    what: "the published root is in its Secret, with its key",
    hint: "bring the copy of that Secret back before a replica of the ca is restarted; without one: docs/operations.md, A new root",
  },
  "TC-NODE-01": {
    what: "tencrypt-init set the rules in nf_tables on every node (by the log of one protected pod of each, of 50 nodes at most)",
    hint: "kubectl -n NAMESPACE logs POD -c tencrypt-init: the node's kernel needs nf_tables, with modules that are loaded; the legacy backend needs NET_RAW, which injected pods do not have",
  },
  "TC-NODE-02": {
    what: "every node starts a pod with the init image and NET_ADMIN, as injection needs it (`--probe`)",
    hint: "tencrypt-init is root with NET_ADMIN: admission (Pod Security, an SCC, a policy engine) has to let it; nodes have to be able to pull its image (--image, --values)",
  },
  "TC-NODE-03": {
    what: "the rules of a pod can be set and proven in nf_tables on every node (`--probe`)",
    hint: "the node's kernel needs nf_tables, with modules that are loaded: a pod cannot load them; the legacy backend needs NET_RAW, which injected pods do not have",
  },
  "TC-NET-01": {
    what: "pods of every node are seen at their own addresses, by a pod and through a Service (`--probe`)",
    hint: "the network rewrites sources (SNAT, kube-proxy's masqueradeAll): mend it, or the ca refuses every caller unless it only warns: tencrypt install --set ca.sourceCheck=warn",
  },
  "TC-NET-02": {
    what: "the API server reaches pods of every node on 15017, as it has to reach the webhooks (`--probe`)",
    hint: "open 15017 from the API server to nodes and pods: docs/operations.md, Managed clusters",
  },
  "TC-PRJ-01": {
    what: "every pod of a project that should be protected is",
    hint: "kubectl -n NAMESPACE rollout restart WORKLOAD, or make the pod again where no workload did; tencrypt explain REASON",
  },
  "TC-PRJ-02": {
    what: "every annotation of a project and its pods can be read",
    hint: "what cannot be read counts as the strictest value: mend it",
  },
  "TC-PRJ-03": {
    what: "the rules of every injected pod were set and proven",
    hint: "kubectl -n NAMESPACE describe pod POD; kubectl -n NAMESPACE logs POD -c tencrypt-init: nodes need nf_tables in the kernel",
  },
  "TC-PRJ-04": {
    what: "every protected pod believes the published root",
    hint: "kubectl -n NAMESPACE rollout restart WORKLOAD: what a pod believes was written into it when it was made",
  },
  "TC-PRJ-05": {
    what: "the label tencrypt.io/project says enabled wherever it is",
    hint: "kubectl label namespace NAMESPACE tencrypt.io/project=enabled --overwrite, or remove the label",
  },
  "TC-PRJ-06": {
    what: "every label and annotation under tencrypt.io/ in a project means something where it is",
    hint: "docs/reference.md lists the names, and where each counts",
  },
  "TC-PRJ-07": {
    what: "Pod Security lets the pods of a project be injected",
    hint: "kubectl label namespace NAMESPACE pod-security.kubernetes.io/enforce=privileged --overwrite",
  },
  "TC-PRJ-08": {
    what: "the proxy of every protected pod is up and has a certificate",
    hint: "kubectl -n NAMESPACE describe pod POD; kubectl -n NAMESPACE logs POD -c tencrypt-proxy: what it waits for",
  },
  "TC-PRJ-09": {
    what: "no container of a pod in mode strict is privileged or has a capability that undoes the rules",
    hint: "such a pod was there before its project became strict, and would be refused now: take the privilege away and make the pod again; tencrypt explain privileged_container",
  },
} as const satisfies Record<string, { readonly what: string; readonly hint: string }>;

export type CheckCode = keyof typeof checkCodes;

export type Finding = {
  readonly section: string;
  readonly code: CheckCode;
  readonly level: "good" | "warning" | "failed";
  /** What was found, in words. */
  readonly text: string;
  readonly details: readonly string[];
  /** What to do; empty where all is well. */
  readonly next: string;
};
