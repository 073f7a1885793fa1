/**
 * Why a pod is not injected, not admitted or not protected: one list of codes. A skip reason is a legitimate way to run
 * without a proxy; a refusal is none, and an unprotected pod is one that got past both. A test compares docs/injection.md
 * with this table. Codes are added, never renamed. Pure.
 */
type Entry = { readonly outcome: "skipped" | "refused" | "unprotected"; readonly what: string; readonly hint: string };

export const injectReasons = {
  project_not_labelled: {
    outcome: "skipped",
    what: "the namespace is no project",
    hint: "kubectl label namespace NAME tencrypt.io/project=enabled, then restart its workloads",
  },
  inject_disabled: {
    outcome: "skipped",
    what: "the pod's annotation tencrypt.io/inject says disabled",
    hint: "remove the annotation from the pod template",
  },
  default_disabled: {
    outcome: "skipped",
    what: "the namespace's tencrypt.io/default-injection says disabled and the pod does not ask for injection",
    hint: "set tencrypt.io/inject=enabled on the pod template",
  },
  host_network: {
    outcome: "skipped",
    what: "the pod is on the host's network, where rules would be the node's",
    hint: "remove hostNetwork, or name the node's address where the pod has to be reached",
  },
  windows: {
    outcome: "skipped",
    what: "the pod is for Windows",
    hint: "nothing: only Linux pods can be protected",
  },
  mirror_pod: {
    outcome: "skipped",
    what: "the pod is a static one that a kubelet runs from a file",
    hint: "run it as a DaemonSet",
  },
  host_pid: {
    outcome: "refused",
    what: "the pod sees the processes of its node, the proxies of other pods among them",
    hint: "remove hostPID, or run the pod in a namespace that is no project",
  },
  shared_processes: {
    outcome: "refused",
    what: "shareProcessNamespace lets the application reach the proxy's memory",
    hint: "remove shareProcessNamespace",
  },
  ca_token: {
    outcome: "refused",
    what: "a volume of the pod holds a token for the ca: with it a container could get the certificate that is the proxy's",
    hint: "remove the volume with the serviceAccountToken of audience tencrypt-ca, or choose another audience",
  },
  proxy_volume: {
    outcome: "refused",
    what: "a container mounts a volume that is the proxy's alone",
    hint: "remove the mount, and give a volume of the application another name than tencrypt-token, -root or -state",
  },
  privileged_container: {
    outcome: "refused",
    what: "in mode strict no container may be privileged or add NET_ADMIN, NET_RAW, SYS_ADMIN, SYS_PTRACE, SYS_MODULE, SYS_RAWIO, BPF, PERFMON, DAC_READ_SEARCH or ALL: it could undo the rules, or read the proxy's key or token",
    hint: "remove the privilege, or choose another mode",
  },
  proxy_uid_taken: {
    outcome: "refused",
    what: "a container runs under every UID that the proxy could have: its traffic would go around the proxy",
    hint: "give the container another runAsUser",
  },
  not_as_injected: {
    outcome: "refused",
    what: "the pod's tencrypt containers, volumes or annotations are not those that injection gives it",
    hint: "remove them from the pod template; if another webhook changed the pod, let it run before this one",
  },
  upgrade_under_way: {
    outcome: "refused",
    what: "two replicas of the controller with different versions or settings answered for the pod, as while they are replaced",
    hint: "try again; if it goes on after an upgrade, kubectl -n tencrypt-system rollout status deployment tencrypt-controller",
  },
  ephemeral_container: {
    outcome: "refused",
    what: "the ephemeral container could act as the proxy: by its UID, its volumes, its processes or its privileges",
    hint: "debug with a container that has another UID and none of these",
  },
  too_many_peers: {
    outcome: "refused",
    what: "more than 64 peers are named without the uid of their namespace, and each has to be looked up",
    hint: "name them in several steps, or as NAME/UID",
  },
  started_before_project: {
    outcome: "unprotected",
    what: "the pod has nothing of a proxy: it was made before its namespace was a project, or while no webhook looked",
    hint: "kubectl -n NAMESPACE rollout restart WORKLOAD; make a pod that no workload made again",
  },
  malformed: {
    outcome: "refused",
    what: "the object is no pod that can be read",
    hint: "check the manifest",
  },
} as const satisfies Record<string, Entry>;

export type InjectReason = keyof typeof injectReasons;

/** What happened, why, and what to do, in one line. */
export const explain = (reason: InjectReason, detail = ""): string => {
  const { what, hint } = injectReasons[reason];
  return `${reason}: ${what}${detail === "" ? "" : ` (${detail})`}. Next: ${hint}`;
};
