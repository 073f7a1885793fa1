/** The chart that belongs to this program, the values that are given to it, and what it makes of them. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { control } from "../lib/kube/names.ts";
import type { Deployment } from "./checks/facts.ts";
import type { ProbeImage } from "./checks/probe-objects.ts";
import { settingOf } from "./checks/deployed.ts";
import { Failure } from "./failure.ts";
import { helm } from "./helm.ts";
import { readManifests } from "./manifests.ts";

export type ChartOptions = {
  readonly chart?: string;
  readonly values?: readonly string[];
  readonly set?: readonly string[];
};

/** The chart of this version: beside the sources, or beside the bundled program. */
export function chartOf({ chart }: ChartOptions): string {
  if (chart !== undefined) return chart;
  const places = ["../charts/tencrypt", "../../charts/tencrypt", "../../../charts/tencrypt"].map((path) =>
    resolve(import.meta.dirname, path),
  );
  const found = places.find((place) => existsSync(join(place, "Chart.yaml")));
  if (found === undefined) throw new Failure("the chart is not beside this program", "tencrypt install --chart PATH");
  return found;
}

export const valueArguments = ({ values = [], set = [] }: ChartOptions): readonly string[] => [
  ...values.flatMap((file) => ["--values", file]),
  ...set.flatMap((value) => ["--set", value]),
];

/** The image of tencrypt-init with which an installation with the same values would make pods. */
export async function initImageOf(options: ChartOptions): Promise<ProbeImage> {
  const only = ["--show-only", "templates/controller/deployment.yaml"];
  const there = ["--namespace", control.controller.namespace];
  const args = ["template", "tencrypt", chartOf(options), ...there, ...only, ...valueArguments(options)];
  const documents = readManifests(await helm(args, "read"));
  const objects = documents.map((document) => document.toJS() as (Deployment & { readonly kind?: string }) | null);
  const deployment = objects.find((each) => each?.kind === "Deployment") ?? null;
  const image = settingOf(deployment, "TENCRYPT_INIT_IMAGE");
  if (image === undefined) throw new Failure("the chart names no image of tencrypt-init", "give it: --image IMAGE");
  return { image, pullPolicy: settingOf(deployment, "TENCRYPT_IMAGE_PULL_POLICY") ?? "IfNotPresent" };
}
