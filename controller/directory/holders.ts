/**
 * Pods whose status says that they have an address, by address and project, so that who else says so is found at once. Pure.
 */
import type { DocumentWorkload } from "../../lib/directory/document.ts";
import { isIpv6 } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";

export class Holders {
  readonly #workloads = new Map<string, DocumentWorkload>();
  /** Uids, by address and project. */
  readonly #uids = new Map<string, Map<string, Set<string>>>();
  /** How many pods have their first address of each family. */
  readonly #first = { ipv4: 0, ipv6: 0 };

  get(uid: string): DocumentWorkload | undefined {
    return this.#workloads.get(uid);
  }

  has(ip: string): boolean {
    return this.#uids.has(ip);
  }

  at(ip: string): readonly DocumentWorkload[] {
    return [...(this.#uids.get(ip)?.values() ?? [])].flatMap((uids) =>
      [...uids].map((uid) => this.#workloads.get(uid)!),
    );
  }

  /** Projects of all pods that say that they have one of the addresses. */
  projectsAt(ips: Iterable<string>): Set<string> {
    return new Set([...ips].flatMap((ip) => [...(this.#uids.get(ip)?.keys() ?? [])]));
  }

  /** Whether a pod may have the address beside one of the other family that it is listed by. */
  mayBeSecond(ip: Ip): boolean {
    const { ipv4, ipv6 } = this.#first;
    return (isIpv6(ip) ? ipv4 : ipv6) > 0 || ipv4 + ipv6 === 0;
  }

  /** In the place of what the pod had; null: it has no address any more. */
  put(uid: string, next: DocumentWorkload | null): void {
    const previous = this.#workloads.get(uid);
    for (const ip of previous?.ips ?? []) this.#release(ip, previous!.project, uid);
    this.#countFirst(previous, -1);
    this.#countFirst(next, 1);
    if (next === null) {
      this.#workloads.delete(uid);
      return;
    }
    this.#workloads.set(uid, next);
    for (const ip of next.ips) {
      const projects = this.#uids.get(ip) ?? new Map<string, Set<string>>();
      this.#uids.set(ip, projects.set(next.project, (projects.get(next.project) ?? new Set()).add(uid)));
    }
  }

  #release(ip: string, project: string, uid: string): void {
    const projects = this.#uids.get(ip);
    const uids = projects?.get(project);
    uids?.delete(uid);
    if (uids?.size === 0) projects?.delete(project);
    if (projects?.size === 0) this.#uids.delete(ip);
  }

  #countFirst(workload: DocumentWorkload | null | undefined, change: 1 | -1): void {
    const first = workload?.ips[0];
    if (first !== undefined) this.#first[isIpv6(first as Ip) ? "ipv6" : "ipv4"] += change;
  }
}
