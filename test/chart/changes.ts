/** Changes of a project's annotations, and which of them loosen it: what a refusal names, or null for what anybody may. */

export type Change = {
  readonly before: Readonly<Record<string, string>>;
  readonly after: Readonly<Record<string, string>>;
  /** The setting that is loosened. */
  readonly loosens: string | null;
};

type Settings = Readonly<Record<string, string>>;

const change = (before: Settings, after: Settings, loosens: string | null): Change => ({ before, after, loosens });

export const changes: readonly Change[] = [
  // The chart's default mode, project, is that of a namespace without the annotation.
  change({ mode: "strict" }, { mode: "project" }, "mode"),
  change({ mode: "strict" }, {}, "mode"),
  change({ mode: "project" }, { mode: "permissive" }, "mode"),
  change({}, { mode: "permissive" }, "mode"),
  change({ mode: "typo" }, { mode: "project" }, "mode"),
  change({ mode: "" }, { mode: "project" }, "mode"),
  change({ mode: "permissive" }, { mode: "project" }, null),
  change({ mode: "permissive" }, {}, null),
  change({}, { mode: "strict" }, null),
  change({}, { mode: "project" }, null),
  change({ mode: "project", "node-sources": "refuse" }, { mode: "project" }, "node-sources"),
  // What the policy cannot read for certain is taken for the loosest, unless it was there already.
  change({ mode: "project" }, { mode: "typo" }, "mode"),
  change({ mode: "strict" }, { mode: " permissive" }, "mode"),
  change({ mode: "strict" }, { mode: "\ufeffpermissive" }, "mode"),
  change({ mode: "typo" }, { mode: "typo", udp: "dns-only" }, null),

  change({ "dry-run": "strict" }, {}, "dry-run"),
  change({ "dry-run": "strict" }, { "dry-run": "project" }, "dry-run"),
  change({ mode: "permissive", "dry-run": "strict" }, { mode: "project" }, "dry-run"),
  change({ "dry-run": "strict" }, { mode: "strict" }, null),
  change({}, { "dry-run": "strict" }, null),

  change({}, { peers: "billing/u1" }, "peer"),
  change({ peers: "billing/u1" }, { peers: "billing/u2" }, "peer"),
  change({ peers: "billing/u1" }, { peers: "billing/u1, crm/u3" }, "peer"),
  change({ peers: "billing/u1,crm/u3" }, { peers: " crm/u3 , billing/u1" }, null),
  change({ peers: "billing/u1,crm/u3" }, { peers: "crm/u3" }, null),
  change({ peers: "billing/u1" }, {}, null),

  change({ "node-sources": "refuse" }, { "node-sources": "accept" }, "node-sources"),
  change({ "node-sources": "refuse" }, {}, "node-sources"),
  change({ mode: "strict" }, { mode: "strict", "node-sources": "accept" }, "node-sources"),
  change({ "node-sources": "typo" }, { "node-sources": "accept" }, "node-sources"),
  change({ "node-sources": "refuse" }, { "node-sources": "\ufeffaccept" }, "node-sources"),
  change({}, { "node-sources": "accept" }, null),
  change({}, { "node-sources": "refuse" }, null),
  change({ mode: "strict", "node-sources": "refuse" }, { mode: "strict" }, null),
  // Not mentioned, node sources follow the mode.
  change({}, { mode: "strict" }, null),

  change({}, { udp: "allow" }, "udp"),
  change({ udp: "dns-only" }, { udp: "allow" }, "udp"),
  change({}, { udp: "allow\n" }, "udp"),
  change({ udp: "allow" }, { udp: "dns-only" }, null),
  change({ udp: "dns-only" }, {}, null),

  change({}, { "allow-egress": "203.0.113.0/24:443" }, "allow-egress"),
  change({ "allow-egress": "203.0.113.0/24:443" }, { "allow-egress": "203.0.113.0/24" }, "allow-egress"),
  change({ "allow-egress": "203.0.113.0/24,198.51.100.7/32" }, { "allow-egress": "198.51.100.7/32" }, null),
  change({ "allow-egress": "203.0.113.0/24" }, {}, null),

  change({}, { "allow-ingress": "ops/prometheus:9090" }, "allow-ingress"),
  change({ "allow-ingress": "ops/prometheus:9090" }, { "allow-ingress": "ops/prometheus" }, "allow-ingress"),
  change({ "allow-ingress": "ops/prometheus:9090" }, { "allow-ingress": "" }, null),

  // Without the annotation every caller is let in, with an empty one nobody.
  change({ "allow-from": "" }, {}, "allow-from"),
  change({ "allow-from": "" }, { "allow-from": "shop/web" }, "allow-from"),
  change({ "allow-from": "shop/web" }, { "allow-from": "" }, null),
  change({ "allow-from": "shop/web" }, {}, "allow-from"),
  change({ "allow-from": "shop/web:80" }, { "allow-from": "shop/web" }, "allow-from"),
  change({ "allow-from": "shop/web" }, { "allow-from": "shop/web,shop/cart" }, "allow-from"),
  change({}, { "allow-from": "shop/web" }, null),
  change({ "allow-from": "shop/web,shop/cart" }, { "allow-from": "shop/cart" }, null),

  // Observes and refuses nothing, or decides what a pod's author decides anyway.
  change({ "allow-from-dry-run": "shop/web" }, {}, null),
  change({}, { "default-injection": "disabled" }, null),
];
