/** A small cluster as a directory document, and the view that its pod cart-1 has of it. Used by the tests of routing. */
import assert from "node:assert/strict";
import { parseEndpoint, parseIp } from "../../../../lib/net/address.ts";
import type { Endpoint, Ip } from "../../../../lib/net/address.ts";
import { parseDocument } from "../../../../proxy/route/document.ts";
import { buildView } from "../../../../proxy/route/policy.ts";
import type { Self, View } from "../../../../proxy/route/policy.ts";
import type { Snapshot } from "../../../../proxy/route/snapshot.ts";
import type { Mode } from "../../../../lib/project/mode.ts";

export type Json = Record<string, unknown>;

export const ip = (text: string): Ip => parseIp(text) ?? assert.fail(`${text} is no address`);
export const endpoint = (text: string): Endpoint => parseEndpoint(text) ?? assert.fail(`${text} is no endpoint`);

export const self: Self = {
  project: "shop",
  podUid: "uid-cart-1",
  ips: new Set([ip("10.0.0.2"), ip("fd00::2")]),
  floor: "permissive",
  proxyPorts: new Set([15000, 15001, 15006, 15008, 15020, 15021]),
};

const pod = (project: string, name: string, ips: string[], rest: Json = {}): Json => ({
  project,
  serviceAccount: name.replace(/-[0-9]+$/, ""),
  pod: name,
  uid: `uid-${name}`,
  ips,
  tunnelPort: 15008,
  ...rest,
});

const service = (fullName: string, vips: string[], rest: Json): Json => {
  const [project, name] = fullName.split("/");
  return { project, name, vips, ports: [{ port: 80 }], endpoints: [], ...rest };
};

export const ready = (address: string, port: number, servicePort = 80, rest: Json = {}): Json => ({
  ip: address,
  ports: { [servicePort]: port },
  ready: true,
  ...rest,
});

/** Of the node, leading to the pod's port 8080. */
const hostPort = (port: number, at = "192.0.2.10"): Json => ({ ip: at, port, targetPort: 8080 });

const peer = (name: string): Json => ({ name, uid: `uid-${name}` });

/** `shop` and `billing` are mutual peers; `bank` is named by shop but does not name it back; `other` is a stranger. */
export const baseDocument = (): Json & { projects: Json[]; workloads: Json[]; services: Json[] } => ({
  version: 1,
  requires: [],
  clusterRanges: ["10.0.0.0/16", "10.96.0.0/16", "fd00::/64"],
  lookUpRanges: ["172.16.0.0/12"],
  nodeAddresses: ["192.0.2.10", "2001:db8::10"],
  projects: [
    { name: "shop", uid: "uid-shop", mode: "permissive", peers: [peer("billing"), peer("bank")] },
    { name: "billing", uid: "uid-billing", mode: "project", peers: [peer("shop")] },
    { name: "bank", uid: "uid-bank", mode: "project" },
    { name: "other", uid: "uid-other", mode: "project" },
  ],
  workloads: [
    pod("shop", "cart-1", ["10.0.0.2", "fd00::2"]),
    pod("shop", "web-1", ["10.0.0.3", "fd00::3"], { hostPorts: [hostPort(8088), hostPort(8089, "2001:db8::10")] }),
    pod("shop", "web-2", ["10.0.0.5"], { tunnelPort: 25008 }),
    pod("shop", "bare-1", ["10.0.0.4"], { tunnelPort: null, hostPorts: [hostPort(8090)] }),
    pod("shop", "twin-1", ["10.0.0.66"]),
    pod("other", "twin-2", ["10.0.0.66"]),
    pod("billing", "bill-1", ["10.0.1.2"]),
    pod("billing", "bill-bare", ["10.0.1.3"], { tunnelPort: null }),
    pod("bank", "vault-1", ["10.0.3.2"]),
    pod("other", "api-1", ["10.0.2.2"], { hostPorts: [hostPort(8091)] }),
    pod("kube-system", "coredns-1", ["10.0.9.9"], { tunnelPort: null }),
  ],
  services: [
    service("shop/web", ["10.96.0.10", "203.0.113.80"], {
      ports: [{ port: 80, nodePort: 30080 }],
      endpoints: [ready("10.0.0.3", 8080), ready("10.0.0.5", 8080)],
    }),
    service("shop/cart", ["10.96.0.11"], { endpoints: [ready("10.0.0.2", 8080)] }),
    service("shop/empty", ["10.96.0.12"], {
      endpoints: [ready("10.0.0.3", 8080, 80, { ready: false, serving: false })],
    }),
    service("shop/ending", ["10.96.0.13"], {
      endpoints: [
        ready("10.0.0.3", 8080, 80, { ready: false, serving: true, terminating: true }),
        ready("10.0.0.5", 8080, 80, { ready: false, serving: true, terminating: false }),
      ],
    }),
    service("shop/mixed", ["10.96.0.14"], { endpoints: [ready("10.0.0.4", 8080), ready("10.0.0.3", 8080)] }),
    service("shop/outside", ["10.96.0.15"], { endpoints: [ready("198.51.100.7", 8080)] }),
    service("shop/new", ["10.96.0.16"], { endpoints: [ready("10.0.0.99", 8080)] }),
    service("shop/loop", ["10.96.0.17"], { endpoints: [ready("10.0.0.3", 15006)] }),
    service("shop/sticky", ["10.96.0.18"], {
      sessionAffinity: "ClientIP",
      endpoints: [ready("10.0.0.3", 8080), ready("10.0.0.5", 8080), ready("10.0.1.2", 8080)],
    }),
    service("shop/dual", ["10.96.0.19", "fd96::19"], { endpoints: [ready("10.0.0.3", 8080), ready("fd00::3", 8080)] }),
    service("other/api", ["10.96.0.20"], { endpoints: [ready("10.0.2.2", 8080)] }),
    service("default/kubernetes", ["10.96.0.1"], {
      ports: [{ port: 443 }],
      endpoints: [ready("192.0.2.10", 6443, 443)],
    }),
    service("kube-system/kube-dns", ["10.96.0.53"], {
      ports: [{ port: 53 }, { port: 9153 }],
      endpoints: [{ ip: "10.0.9.9", ports: { 53: 53, 9153: 9153 }, ready: true }],
    }),
  ],
});

export function snapshotOf(document: unknown): Snapshot {
  const parsed = parseDocument(JSON.stringify(document));
  if (parsed.kind === "refused") return assert.fail(parsed.problems.join("\n"));
  return parsed.snapshot;
}

/** The view of cart-1, with fields of its project and of its own entry replaced. */
export function viewWith(change: { shop?: Json; cart?: Json; floor?: Mode; document?: Json }): View {
  const document = { ...baseDocument(), ...change.document };
  document.projects = document.projects.map((entry, index) => (index === 0 ? { ...entry, ...change.shop } : entry));
  document.workloads = document.workloads.map((entry, index) => (index === 0 ? { ...entry, ...change.cart } : entry));
  return buildView(snapshotOf(document), { ...self, floor: change.floor ?? "permissive" });
}

export const modes: readonly Mode[] = ["permissive", "project", "strict"];
