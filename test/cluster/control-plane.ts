/** The arguments of the control plane's programs: what an API server alone and a cluster with nodes have in common. */
import type { Keys } from "./keys.ts";

export const issuer = "https://kubernetes.default.svc.cluster.local";
export const serviceRange = "10.96.0.0/16";
export const podRange = "10.244.0.0/16";

/** Sockets in the working folder instead of ports; whoever may enter the folder may talk to it. */
const storeSocket = "unix://etcd.socket:0";
const storePeerSocket = "unix://etcd-peer.socket:0";

/** Programs run with the same working folder: the sockets are named relative to it. */
export function etcdArguments(): readonly string[] {
  return [
    "etcd",
    "--name=one",
    "--data-dir=etcd",
    "--unsafe-no-fsync",
    "--log-level=warn",
    "--logger=zap",
    `--listen-client-urls=${storeSocket}`,
    `--advertise-client-urls=${storeSocket}`,
    `--listen-peer-urls=${storePeerSocket}`,
    `--initial-advertise-peer-urls=${storePeerSocket}`,
    `--initial-cluster=one=${storePeerSocket}`,
  ];
}

export type ApiServerAddress = {
  readonly bind: string;
  /** What others reach it by. */
  readonly advertise: string;
  readonly port: number;
};

/** Those that every API server here has; the serving certificate names `addresses`. */
export function apiServerArguments(keys: Keys, address: ApiServerAddress): readonly string[] {
  const serving = keys.issue("apiserver", {
    user: "kube-apiserver",
    usages: ["serverAuth"],
    names: ["localhost", "kubernetes", ...["", ".svc", ".svc.cluster.local"].map((end) => `kubernetes.default${end}`)],
    addresses: ["127.0.0.1", "10.96.0.1", address.advertise],
  });
  return [
    "kube-apiserver",
    `--bind-address=${address.bind}`,
    `--secure-port=${address.port}`,
    `--advertise-address=${address.advertise}`,
    `--etcd-servers=${storeSocket}`,
    `--client-ca-file=${keys.authority.certificateFile}`,
    `--tls-cert-file=${serving.certificateFile}`,
    `--tls-private-key-file=${serving.keyFile}`,
    `--service-account-issuer=${issuer}`,
    `--service-account-key-file=${keys.tokenPublicKeyFile}`,
    `--service-account-signing-key-file=${keys.tokenKeyFile}`,
    `--service-cluster-ip-range=${serviceRange}`,
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    "--allow-privileged=true",
    "--profiling=false",
  ];
}

export function controllerManagerArguments(keys: Keys, url: string): readonly string[] {
  const kubeconfig = keys.kubeconfig("controller-manager", url, { user: "system:kube-controller-manager" });
  return [
    "kube-controller-manager",
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    `--service-account-private-key-file=${keys.tokenKeyFile}`,
    `--root-ca-file=${keys.authority.certificateFile}`,
    `--cluster-signing-cert-file=${keys.authority.certificateFile}`,
    `--cluster-signing-key-file=${keys.authority.keyFile}`,
    "--use-service-account-credentials=true",
    `--cluster-cidr=${podRange}`,
    "--allocate-node-cidrs=false",
    "--leader-elect=false",
    "--profiling=false",
  ];
}
