/**
 * What decides whom a webhook or a policy concerns and what it refuses, field by field, as fingerprints: those of this
 * version's chart are a table, so that what the API server has can be compared without the chart. Pure.
 */
import { createHash } from "node:crypto";
import { isTree } from "../../lib/json/tree.ts";
import type { Tree } from "../../lib/json/tree.ts";

/** Of a webhook; how long the API server waits for it, and the root that it is believed by, are not among them. */
export const webhookFields = [
  "rules",
  "namespaceSelector",
  "objectSelector",
  "matchConditions",
  "matchPolicy",
  "reinvocationPolicy",
  "service",
] as const;
/** Of a policy's spec. */
export const policyFields = ["matchConstraints", "matchConditions", "paramKind", "variables", "validations"] as const;

export type Shape = Readonly<Record<string, string>>;

/** The API server adds these where nothing is said. */
const defaults: Tree = { matchPolicy: "Equivalent", reinvocationPolicy: "Never", port: 443 };

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || (typeof value === "object" && Object.keys(value).length === 0);

/** With keys in order, and without what means the same as its absence. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (!isTree(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, field]) => [name, canonical(field)] as const)
      .filter(([name, field]) => !isEmpty(field) && defaults[name] !== field)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

const fingerprint = (name: string, value: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(canonical({ [name]: value })))
    .digest("hex")
    .slice(0, 16);

const shapeOf = (fields: readonly string[], tree: Tree): Shape =>
  Object.fromEntries(fields.map((name) => [name, fingerprint(name, tree[name])]));

export function webhookShape(webhook: Tree): Shape {
  const { service, url } = (webhook["clientConfig"] ?? {}) as { readonly service?: unknown; readonly url?: unknown };
  const namespaceSelector = withoutAzures(webhook["namespaceSelector"]);
  return shapeOf(webhookFields, { ...webhook, namespaceSelector, service: url ?? service });
}

/**
 * The admissions enforcer of AKS adds these to every webhook, and again whenever they are taken out: namespaces of Azure's
 * own are none of a webhook's there, and nobody could mend that.
 */
const azureKeys: readonly unknown[] = ["control-plane", "kubernetes.azure.com/managedby"];
const azureOperators: readonly unknown[] = ["NotIn", "DoesNotExist"];

const isAzures = (expression: unknown): boolean =>
  isTree(expression) && azureKeys.includes(expression["key"]) && azureOperators.includes(expression["operator"]);

function withoutAzures(selector: unknown): unknown {
  if (!isTree(selector) || !Array.isArray(selector["matchExpressions"])) return selector;
  return { ...selector, matchExpressions: selector["matchExpressions"].filter((each) => !isAzures(each)) };
}

/** The one thing in the policies that a value of the chart decides. */
const defaultMode = /\.orValue\('(permissive|project|strict)'\)$/;
const isModeText = (variable: Tree): boolean => /^modeText(?:Before|After)$/.test(String(variable["name"]));

export function policyShape(spec: Tree): Shape {
  const variables = Array.isArray(spec["variables"]) ? (spec["variables"] as readonly Tree[]) : [];
  const general = variables.map((each) =>
    isModeText(each)
      ? { ...each, expression: String(each["expression"]).replace(defaultMode, ".orValue(MODE)") }
      : each,
  );
  return shapeOf(policyFields, { ...spec, variables: general });
}

/** The modes that a policy takes for the installation's. */
export const modesOf = (spec: Tree): readonly string[] => [
  ...new Set(
    (Array.isArray(spec["variables"]) ? (spec["variables"] as readonly Tree[]) : [])
      .filter(isModeText)
      .map(({ expression }) => defaultMode.exec(String(expression))?.[1] ?? "unknown"),
  ),
];

/** Names of the fields that are not as wanted. */
export const otherFields = (found: Shape, wanted: Shape): readonly string[] =>
  Object.keys(wanted).filter((name) => found[name] !== wanted[name]);
