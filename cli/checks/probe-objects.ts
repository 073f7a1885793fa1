/** What the probe makes in a cluster: a namespace of its own, and in it a pod on each node with a Service to one of them. Pure. */
import { initContainer, injectedVolumes } from "../../lib/inject/containers.ts";
import type { Json } from "../../lib/kube/client.ts";
import { control, volumes } from "../../lib/kube/names.ts";
import type { Node } from "../../lib/kube/objects.ts";

export type ProbeImage = { readonly image: string; readonly pullPolicy: string };

/** It ends by itself, should nobody be left to remove it. */
const longestLifeSeconds = 300;
const { webhookPort } = control.controller;

/** Pod Security lets the pods of a project be only where it says so (`TC-PRJ-07`). */
export const probeNamespace = (name: string): Json => ({
  metadata: { name, labels: { "pod-security.kubernetes.io/enforce": "privileged" } },
});

export const serverName = "server";
const serverLabels = { "app.kubernetes.io/component": "tencrypt-probe-server" };

/** Of a port that is not the pod's: the way to the ca is such a one too. */
export const probeService: Json = {
  metadata: { name: serverName },
  spec: { selector: serverLabels, ports: [{ port: 443, targetPort: webhookPort, protocol: "TCP" }] },
};

/** With what injection gives tencrypt-init, and its image; on a node that is named, whatever its taints. */
export function probePod(name: string, nodeName: string, image: ProbeImage, peers: readonly string[]): Json {
  const init = initContainer(
    { initImage: image.image, imagePullPolicy: image.pullPolicy },
    { uid: 1337, udp: "allow" },
  );
  return {
    metadata: { name, labels: name === serverName ? serverLabels : {} },
    spec: {
      nodeName,
      containers: [{ ...init, args: ["dist/init/main.js", "--probe", ...peers] }],
      volumes: injectedVolumes.filter(({ name: volume }) => volume !== volumes.token.name),
      tolerations: [{ operator: "Exists" }],
      restartPolicy: "Never",
      enableServiceLinks: false,
      activeDeadlineSeconds: longestLifeSeconds,
      terminationGracePeriodSeconds: 1,
    },
  };
}

/** As init takes it. */
export const peerOf = (ip: string, port: number = webhookPort): string =>
  ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;

type NodeFact = Node & {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
};

const isReady = ({ status }: NodeFact): boolean =>
  status?.conditions?.some((each) => each.type === "Ready" && each.status === "True") === true;

type ChosenNodes = {
  readonly chosen: readonly string[];
  readonly unready: readonly string[];
  readonly beyond: number;
};

/** No pod of ours runs on Windows; what is not ready starts none. */
export function nodesToProbe(nodes: readonly NodeFact[], most: number): ChosenNodes {
  const fit = nodes.filter(({ metadata }) => metadata.labels?.["kubernetes.io/os"] !== "windows");
  const ready = fit.filter(isReady).map(({ metadata }) => metadata.name);
  return {
    chosen: ready.slice(0, most),
    unready: fit.filter((node) => !isReady(node)).map(({ metadata }) => metadata.name),
    beyond: Math.max(0, ready.length - most),
  };
}
