/**
 * A project `shop` with a protected client and server and a pod without a proxy, and a pod of another project: one of each
 * kind of peer. The settings of `shop` change while everything runs.
 */
import { after, before } from "node:test";
import { needsRoot } from "./cluster.ts";
import { startMesh } from "./mesh.ts";
import type { Mesh } from "./mesh.ts";
import type { Child } from "./child.ts";
import type { Narrowing, ProjectOptions } from "./directory.ts";

/** Where `server`, `legacy` and `web` echo. */
export const echoPort = 7000;

export type Shop = {
  readonly mesh: Mesh;
  /** Dials out of that pod: `client`, `legacy` or `web`. */
  readonly from: (pod: string) => Child;
  readonly at: (pod: string) => { readonly host: string; readonly port: number };
  /** The project with these settings, and pods with theirs, in force at both proxies. */
  readonly becomes: (options: ProjectOptions, pods?: Readonly<Record<string, Narrowing>>) => Promise<void>;
};

/** Is there from the file's first test to its last. */
export function useShop(): Shop {
  let mesh: Mesh;
  const dialers = new Map<string, Child>();
  before(async () => {
    if (needsRoot !== false) return;
    mesh = await startMesh({
      floor: "permissive",
      projects: { shop: { mode: "permissive" }, other: { mode: "permissive" } },
      pods: [
        { name: "client", project: "shop", serviceAccount: "client" },
        { name: "server", project: "shop" },
        { name: "legacy", project: "shop", protected: false },
        { name: "web", project: "other", serviceAccount: "web", protected: false },
      ],
    });
    for (const name of ["server", "legacy", "web"]) await mesh.pod(name).serve("echo-server", echoPort);
    for (const name of ["client", "legacy", "web"]) dialers.set(name, await mesh.pod(name).app("dialer"));
  });
  after(() => mesh?.close());
  return {
    get mesh() {
      return mesh;
    },
    from: (name) => dialers.get(name)!,
    at: (name) => ({ host: mesh.pod(name).ip, port: echoPort }),
    becomes: async (options, pods = {}) => {
      const { projects, workloads } = mesh.cluster.directory();
      await mesh.publish({
        projects: projects.map((entry) => (entry.name === "shop" ? { ...entry, ...options } : entry)),
        workloads: workloads.map((entry) => ({ ...entry, ...pods[entry.pod] })),
      });
    },
  };
}
