/**
 * A project in which one pod, `client`, has rules and no proxy yet, and what has to hold while its proxy has no certificate: the
 * kernel refuses in its place. All pods and one without protection have an echo; a bystander goes on with the server.
 */
import { nobodyListens } from "./attempts.ts";
import type { Capture, Child, Pod } from "./cluster.ts";
import { startMesh } from "./mesh.ts";
import type { Mesh } from "./mesh.ts";
import { watchSteady } from "./steady.ts";
import type { Steady } from "./steady.ts";

const port = 7000;

export type Uncertified = {
  readonly mesh: Mesh;
  readonly client: Pod;
  readonly server: Pod;
  readonly outsider: Pod;
  readonly bridge: Capture;
  /** Dials from the client, and from outside of the project. */
  readonly inside: Child;
  readonly outside: Child;
  readonly steady: Steady;
  /** Whatever is said there. */
  readonly canary: string;
};

export async function startUncertified(canary: string): Promise<Uncertified> {
  const mesh = await startMesh({
    projects: { shop: { mode: "project" } },
    pods: [
      { name: "client", project: "shop" },
      { name: "server", project: "shop" },
      { name: "bystander", project: "shop" },
      { name: "outsider", project: "default", protected: false },
    ],
    without: ["client"],
  });
  const [client, server, outsider] = [mesh.pod("client"), mesh.pod("server"), mesh.pod("outsider")];
  const bridge = await mesh.cluster.capture();
  const inside = await client.app("dialer");
  const outside = await outsider.app("dialer");
  await Promise.all([client, server, outsider].map((pod) => pod.serve("echo-server", port)));
  const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
  return { mesh, client, server, outsider, bridge, inside, outside, steady, canary };
}

/** From inside towards everybody, from outside towards the pod, and through the tunnel. */
export async function kernelRefuses(here: Uncertified): Promise<void> {
  const { client, server, outsider, inside, outside, canary } = here;
  for (const target of [server, outsider])
    for (const host of target.ips) await nobodyListens(inside, { host, port }, canary);
  for (const host of client.ips)
    for (const own of [port, 15_006, 15_008]) await nobodyListens(outside, { host, port: own }, canary);
}
