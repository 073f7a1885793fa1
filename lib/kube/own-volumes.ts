/**
 * What of a pod's volumes is the proxy's alone: the three that injection adds, and every token that the ca would take for
 * the pod's own, whatever the volume with it is called. Who holds such a token can ask for the pod's certificate. Pure.
 */
import { volumes } from "./names.ts";
import type { Container, PodSpec } from "./objects.ts";

export type Volume = NonNullable<PodSpec["volumes"]>[number];

export const ownVolumes: readonly string[] = Object.values(volumes).map(({ name }) => name);

export const isOwnVolume = ({ name }: { readonly name: string }): boolean => ownVolumes.includes(name);

export const mountsOwnVolume = ({ volumeMounts = [] }: Container): boolean => volumeMounts.some(isOwnVolume);

type Projected = {
  readonly sources?: readonly { readonly serviceAccountToken?: { readonly audience?: string } }[] | null;
};

/** Whether a file of the volume is a token of this audience. Only projected volumes have tokens with an audience. */
export const holdsToken = (volume: Volume, audience: string): boolean =>
  ((volume["projected"] as Projected | undefined)?.sources ?? []).some(
    ({ serviceAccountToken }) => serviceAccountToken?.audience === audience,
  );
