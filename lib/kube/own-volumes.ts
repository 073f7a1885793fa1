/**
 * What of a pod's volumes is the proxy's alone: the three that injection adds, and every token that the ca would take for
 * the pod's own, whatever the volume with it is called. Who holds such a token can ask for the pod's certificate. Pure.
 */
import { volumes } from "./names.ts";
import type { Container, PodSpec } from "./objects.ts";

export type Volume = NonNullable<PodSpec["volumes"]>[number];

const ownVolumes: readonly string[] = Object.values(volumes).map(({ name }) => name);

export const isOwnVolume = ({ name }: { readonly name: string }): boolean => ownVolumes.includes(name);

export const mountsOwnVolume = ({ volumeMounts = [] }: Container): boolean => volumeMounts.some(isOwnVolume);

type Projected = {
  readonly sources?: readonly { readonly serviceAccountToken?: { readonly audience?: string } }[] | null;
};

/** The volume with a token of this audience that is not the proxy's own. */
export const foreignToken = (
  { volumes: listed = [] }: Pick<PodSpec, "volumes">,
  audience: string,
): Volume | undefined => listed.find((volume) => !isOwnVolume(volume) && holdsToken(volume, audience));

/** Whether a file of the volume is a token of this audience. Only projected volumes have tokens with an audience. */
const holdsToken = (volume: Volume, audience: string): boolean =>
  ((volume["projected"] as Projected | undefined)?.sources ?? []).some(
    ({ serviceAccountToken }) => serviceAccountToken?.audience === audience,
  );
