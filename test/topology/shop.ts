/**
 * A project `shop` with a protected client and server and a pod without a proxy, and a pod of another project: one of each
 * kind of peer. The settings of `shop` change while everything runs.
 */
import { startMesh } from "./mesh.ts";
import type { Mesh } from "./mesh.ts";
import type { Child } from "./child.ts";
import type { ProjectOptions } from "./directory.ts";

/** Where `server`, `legacy` and `web` echo. */
export const echoPort = 7000;

export type Shop = {
  readonly mesh: Mesh;
  /** Dials out of that pod: `client`, `legacy` or `web`. */
  from(pod: string): Child;
  at(pod: string): { readonly host: string; readonly port: number };
  /** The project with these settings, in force at both proxies. */
  becomes(options: ProjectOptions): Promise<void>;
};

export async function startShop(): Promise<Shop> {
  const mesh = await startMesh({
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
  const dialers = new Map<string, Child>();
  for (const name of ["client", "legacy", "web"]) dialers.set(name, await mesh.pod(name).app("dialer"));
  return {
    mesh,
    from: (name) => dialers.get(name)!,
    at: (name) => ({ host: mesh.pod(name).ip, port: echoPort }),
    async becomes(options) {
      const projects = mesh.cluster
        .directory()
        .projects.map((entry) => (entry.name === "shop" ? { ...entry, ...options } : entry));
      await mesh.publish({ projects });
    },
  };
}
