/**
 * The import table: who may import whom, as data. It is enforced twice from here: `oxlint.config.ts` derives the
 * restrictions that an editor shows, and `architecture.test.ts` resolves every import of the tree and compares.
 *
 * Paths are relative to the root; an entry ending in `/` is a folder with all below it, any other entry one file. The
 * longest entry that matches a file is its own. What is not allowed here is refused.
 */

/** A part of the tree and what it may import beside itself. */
export type Zone = {
  readonly path: string;
  /** Files and folders whose values it may use. */
  readonly values: readonly string[];
  /** Files and folders of which it may use types only. */
  readonly types?: readonly string[];
};

/** Paths that may import anything and read the clock and the environment: they are not part of any program. */
export const unrestricted = ["test/", "demo/", "bench/", "build/", "oxlint.config.ts"] as const;

const stage = (path: string): Zone => ({ path, values: ["lib/", "proxy/observe/events.ts"], types: ["proxy/"] });

export const zones: readonly Zone[] = [
  { path: "lib/", values: ["lib/"] },

  { path: "init/", values: ["lib/"] },
  { path: "ca/", values: ["lib/"] },
  { path: "controller/", values: ["lib/"] },
  { path: "cli/", values: ["lib/"] },
  { path: "hook/", values: ["lib/"] },

  // The files directly in proxy/ compose the stages; a stage knows no other stage but by its types.
  { path: "proxy/", values: ["lib/", "proxy/"] },
  stage("proxy/admin/"),
  stage("proxy/dial/"),
  stage("proxy/listen/"),
  stage("proxy/probe/"),
  stage("proxy/relay/"),
  stage("proxy/session/"),
  { path: "proxy/directory/", values: ["lib/", "proxy/route/"] },
  { path: "proxy/route/", values: ["lib/"], types: ["proxy/observe/"] },
  { path: "proxy/observe/", values: ["lib/"] },
];

/** An exception to the zones: one file, one target, and why. */
export type Exception = { readonly file: string; readonly imports: string; readonly why: string };

export const exceptions: readonly Exception[] = [
  {
    file: "proxy/dial/first-bytes.ts",
    imports: "proxy/route/first-bytes.ts",
    why: "what the first bytes mean is decided by a pure parser; this stage only reads them",
  },
  {
    file: "proxy/dial/clear.ts",
    imports: "proxy/listen/socket-options.ts",
    why: "the addon is used in one file, and both ends of a connection need SO_LINGER",
  },
  {
    file: "proxy/session/flow.ts",
    imports: "proxy/listen/socket-options.ts",
    why: "the addon is used in one file, and how wide a window must be depends on the round trip",
  },
];

/** The npm packages that run in production: who may import each. A package that is not listed is refused. */
export type PackageRule = {
  /** A package name, `@scope/` for all of a scope, or one file of a package. */
  readonly name: string;
  readonly from: readonly string[];
  readonly why: string;
};

export const packages: readonly PackageRule[] = [
  {
    name: "@grpc/grpc-js",
    from: ["lib/proto/", "lib/grpc/", "lib/enrolment/", "ca/", "controller/directory/", "proxy/directory/"],
    why: "gRPC to and in the control plane; loaded lazily in the proxy",
  },
  { name: "@bufbuild/protobuf", from: ["lib/proto/gen/"], why: "what the generated code encodes with" },
  {
    name: "@kubernetes/client-node",
    from: ["lib/kube/access.ts", "cli/admin-port.ts"],
    why: "every way of kubeconfig, and port-forwards; calls are ours",
  },
  { name: "@opentelemetry/", from: ["proxy/observe/"], why: "spans; nothing of it is loaded while tracing is off" },
  { name: "commander", from: ["cli/"], why: "arguments and help of the command line" },
  { name: "yaml", from: ["cli/"], why: "manifests in, tables out" },
  { name: "node-forge/lib/asn1.js", from: ["ca/x509/"], why: "writing DER; keys and signatures are node:crypto's" },
];

/**
 * Files that decide. They do no I/O, read no clock and no randomness, start nothing, and use the values of pure files
 * only, so that every decision can be tested as a function.
 */
export const pure: readonly string[] = [
  "ca/authn/claims.ts",
  "ca/authn/json.ts",
  "ca/authn/jwks.ts",
  "ca/authn/jws.ts",
  "ca/authn/review.ts",
  "ca/bundle/view.ts",
  "ca/config.ts",
  "ca/denial.ts",
  "ca/issue/csr.ts",
  "ca/issue/profile.ts",
  "ca/issue/validity.ts",
  "ca/store/authority.ts",
  "ca/store/kubernetes-knowledge.ts",
  "ca/x509/",
  "hook/ca-bundle.ts",
  "hook/config.ts",
  "init/config.ts",
  "init/plan.ts",
  "init/ruleset.ts",
  "init/saved.ts",
  "lib/config/",
  "lib/directory/",
  "lib/enrolment/identity.ts",
  "lib/enrolment/judge.ts",
  "lib/enrolment/renewal.ts",
  "lib/errors/",
  "lib/identity/",
  "lib/inject/",
  "lib/json/",
  "lib/kube/names.ts",
  "lib/kube/objects.ts",
  "lib/kube/own-volumes.ts",
  "lib/kube/sidecar-form.ts",
  "lib/kube/sidecar.ts",
  "lib/limit/",
  "lib/log/",
  "lib/metrics/",
  "lib/net/",
  "lib/project/",
  "lib/trust/",
  "lib/version.ts",
  "lib/x509/",
  "proxy/config.ts",
  "proxy/directory/knowledge.ts",
  "proxy/directory/remembered.ts",
  "proxy/observe/metric-names.ts",
  "proxy/observe/span-model.ts",
  "proxy/observe/trace-context.ts",
  "proxy/observe/tracing-settings.ts",
  "proxy/probe/declared.ts",
  "proxy/route/",
  "proxy/session/header-names.ts",
  "proxy/session/proof.ts",
  "proxy/session/surplus.ts",
];

/** Modules that no pure file may import, with or without the `node:` prefix. */
export const ioModules: readonly string[] = [
  "child_process",
  "cluster",
  "dgram",
  "dns",
  "dns/promises",
  "fs",
  "fs/promises",
  "http",
  "http2",
  "https",
  "inspector",
  "net",
  "process",
  "timers",
  "timers/promises",
  "tls",
  "vm",
  "worker_threads",
];

/** The only places of the programs that may read the clock, set timers or draw unseeded random numbers. */
export const clockReaders: readonly string[] = ["lib/clock/"];

/** No file and no folder carries one of these words as a name: it says nothing about what is inside. */
export const bannedNames: readonly string[] = ["util", "utils", "helper", "helpers", "common", "misc", "manager"];

/** True if `path` is `entry`, or below it when the entry is a folder. */
export const covers = (entry: string, path: string): boolean =>
  entry.endsWith("/") ? path.startsWith(entry) : path === entry;

export const coveredBy = (entries: readonly string[], path: string): boolean =>
  entries.some((entry) => covers(entry, path));

/** The zone of a file: the longest entry that covers it, null for a file outside all programs. */
export function zoneOf(path: string, table: readonly Zone[] = zones): Zone | null {
  const matching = table.filter((zone) => covers(zone.path, path));
  return matching.toSorted((one, other) => other.path.length - one.path.length)[0] ?? null;
}

export const isPure = (path: string): boolean => coveredBy(pure, path);
