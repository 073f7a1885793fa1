/**
 * Which Services claim an address that is not theirs by the API server, and which of a project's has it: the first by name.
 * What is asked often is kept, so that thousands of claims of one address are not gone through for each. Pure.
 */
export type Claimant = { readonly project: string; readonly service: string };

type Of = { readonly services: Set<string>; first: string };

export class Claims {
  /** By address and project. */
  readonly #claims = new Map<string, Map<string, Of>>();

  /** The Service of the project that has the address, if nobody else has. */
  first(project: string, ip: string): string | undefined {
    return this.#claims.get(ip)?.get(project)?.first;
  }

  /** Those of all projects. */
  firsts(ip: string): readonly string[] {
    return [...(this.#claims.get(ip)?.values() ?? [])].map(({ first }) => first);
  }

  /** Those of all projects and addresses. */
  all(): ReadonlySet<string> {
    return new Set([...this.#claims.keys()].flatMap((ip) => this.firsts(ip)));
  }

  add(ip: string, { project, service }: Claimant): void {
    const projects = this.#claims.get(ip) ?? new Map<string, Of>();
    this.#claims.set(ip, projects);
    const of = projects.get(project) ?? { services: new Set(), first: service };
    projects.set(project, of);
    of.services.add(service);
    if (service < of.first) of.first = service;
  }

  remove(ip: string, { project, service }: Claimant): void {
    const projects = this.#claims.get(ip);
    const of = projects?.get(project);
    if (projects === undefined || of === undefined) return;
    of.services.delete(service);
    if (of.first === service) of.first = firstOf(of.services);
    if (of.services.size === 0) projects.delete(project);
    if (projects.size === 0) this.#claims.delete(ip);
  }
}

/** In one pass: a project may have thousands of Services with the same addresses, and change them one by one. */
function firstOf(services: ReadonlySet<string>): string {
  let first = "";
  for (const service of services) if (first === "" || service < first) first = service;
  return first;
}
