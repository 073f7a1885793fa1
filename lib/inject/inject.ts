/**
 * A pod with a proxy, and back: `strip(inject(pod))` is the pod, but for named ports of probes, which become numbers.
 * Whether a pod is exactly what injection makes of it is asked by doing it again. Pure.
 */
import { containers as ours, podMarks } from "../kube/names.ts";
import type { Container, Namespace, Pod } from "../kube/objects.ts";
import { isOwnVolume } from "../kube/own-volumes.ts";
import { isDevice } from "../kube/sidecar-form.ts";
import type { InjectConfig } from "./config.ts";
import { initContainer, injectedVolumes, proxyContainer } from "./containers.ts";
import { markOf } from "./mark.ts";
import { readDeclared, redirectProbes, restoreProbes } from "./probes.ts";
import type { Declared } from "./probes.ts";
import { report } from "./report.ts";
import type { Report } from "./report.ts";

export type PodTemplate = { readonly metadata?: Partial<Pod["metadata"]>; readonly spec: Pod["spec"] };

export type Outcome =
  | { readonly kind: "injected"; readonly pod: PodTemplate }
  /** `pod` says why, in an annotation. */
  | { readonly kind: "skipped"; readonly pod: PodTemplate; readonly report: Report & { readonly kind: "skip" } }
  | { readonly kind: "refused"; readonly report: Report & { readonly kind: "refuse" } };

const ownContainers: readonly string[] = [ours.init, ours.proxy];
const marks: readonly string[] = Object.values(podMarks);

const isOurs = ({ name }: { readonly name: string }): boolean => ownContainers.includes(name);

/** Whether anything of the pod has a name that only injection gives. */
export const hasOurs = ({ metadata, spec }: PodTemplate): boolean =>
  [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])].some(isOurs) ||
  (spec.volumes ?? []).some(isOwnVolume) ||
  metadata?.annotations?.[podMarks.injected] !== undefined;

export function strip({ metadata = {}, spec }: PodTemplate): PodTemplate {
  const proxy = spec.initContainers?.find(({ name }) => name === ours.proxy);
  const declared = readDeclared(proxy?.env?.find(({ name }) => name === "TENCRYPT_PROBES")?.value);
  const restored = (list: readonly Container[]): readonly Container[] =>
    list.filter((container) => !isOurs(container)).map((container) => restoreProbes(container, declared));
  const annotations = Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(([name]) => !marks.includes(name)),
  );
  const { initContainers, volumes: listed, ...rest } = spec;
  const inits = restored(initContainers ?? []);
  const kept = (listed ?? []).filter((volume) => !isOwnVolume(volume));
  return {
    metadata: withAnnotations(metadata, annotations),
    spec: {
      ...rest,
      containers: restored(spec.containers),
      ...(inits.length === 0 ? {} : { initContainers: inits }),
      ...(kept.length === 0 ? {} : { volumes: kept }),
    },
  };
}

function withAnnotations(
  metadata: Partial<Pod["metadata"]>,
  annotations: Readonly<Record<string, string>>,
): Partial<Pod["metadata"]> {
  const { annotations: _, ...rest } = metadata;
  return Object.keys(annotations).length === 0 ? rest : { ...rest, annotations };
}

type NamespaceLike = { readonly metadata: Partial<Namespace["metadata"]> };

/** What an earlier injection left is taken out first. */
export function inject(pod: PodTemplate, namespace: NamespaceLike, config: InjectConfig): Outcome {
  const bare = strip(pod);
  const outcome = report({ metadata: bare.metadata ?? {}, spec: bare.spec }, namespace, config);
  if (outcome.kind === "refuse") return { kind: "refused", report: outcome };
  const { metadata = {}, spec } = bare;
  const marked = (added: Readonly<Record<string, string>>): Partial<Pod["metadata"]> => ({
    ...metadata,
    annotations: { ...metadata.annotations, ...added },
  });
  if (outcome.kind === "skip")
    return {
      kind: "skipped",
      report: outcome,
      pod: { metadata: marked({ [podMarks.skipped]: outcome.reason }), spec },
    };
  const inits = (spec.initContainers ?? []).map(redirectProbes);
  const apps = spec.containers.map(redirectProbes);
  const declared: Declared = Object.assign({}, ...[...inits, ...apps].map((each) => each.declared)) as Declared;
  const facts = { ...outcome, declared };
  return {
    kind: "injected",
    pod: {
      metadata: marked({ [podMarks.injected]: markOf(config), [podMarks.root]: config.rootPem }),
      spec: {
        ...spec,
        initContainers: [
          asFilledIn(initContainer(config, facts), pod, config),
          asFilledIn(proxyContainer(config, facts), pod, config),
          ...inits.map(({ container }) => container),
        ],
        containers: apps.map(({ container }) => container),
        volumes: [...(spec.volumes ?? []), ...injectedVolumes],
      },
    },
  };
}

type Amounts = Readonly<Record<string, unknown>>;
type Resources = { readonly limits?: Amounts; readonly requests?: Amounts };

/** Nothing where neither has any. */
function filledIn(
  kind: keyof Resources,
  { [kind]: own = {} }: Resources,
  { [kind]: found = {} }: Resources,
): Resources {
  const others = Object.entries(found).filter(([name]) => !isDevice(name));
  const all = { ...Object.fromEntries(others), ...own };
  return Object.keys(all).length === 0 ? {} : { [kind]: all };
}

/**
 * With what the API server fills in after an injection, by a LimitRange or by making it pull images always: it asks us once
 * more then, and refuses what has lost that again. What we have set stays, and devices are not kept: neither is the API server's
 * to fill in.
 */
function asFilledIn(container: Container, { metadata, spec }: PodTemplate, config: InjectConfig): Container {
  const found = spec.initContainers?.find(({ name }) => name === container.name);
  if (found === undefined || metadata?.annotations?.[podMarks.injected] !== markOf(config)) return container;
  const [own, other] = [container, found].map(({ resources = {} }) => resources as Resources);
  return {
    ...container,
    resources: { ...filledIn("limits", own!, other!), ...filledIn("requests", own!, other!) },
    ...(found["imagePullPolicy"] === "Always" ? { imagePullPolicy: "Always" } : {}),
  };
}
