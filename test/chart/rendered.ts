/** The golden files as objects. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadAllYaml } from "@kubernetes/client-node";

export type Rendered = {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
};

export const rendered = (name: string): readonly Rendered[] => {
  const file = join(import.meta.dirname, `../golden/chart/${name}.yaml`);
  return (loadAllYaml(readFileSync(file, "utf8")) as (Rendered | null)[]).filter((object) => object !== null);
};
