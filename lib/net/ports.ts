/** The ports of a proxy, where its settings name no others: what it listens on, what rules name and others dial. Pure. */

export const defaultPorts = {
  outbound: 15_001,
  inbound: 15_006,
  tunnel: 15_008,
  admin: 15_000,
  metrics: 15_020,
  health: 15_021,
} as const;

/** The setting that names another one. */
export const portSetting = (name: keyof typeof defaultPorts): string => `TENCRYPT_${name.toUpperCase()}_PORT`;

/** Something of each port. */
export const ofEachPort = <T>(make: (name: keyof typeof defaultPorts) => T): PerPort<T> => ({
  outbound: make("outbound"),
  inbound: make("inbound"),
  tunnel: make("tunnel"),
  admin: make("admin"),
  metrics: make("metrics"),
  health: make("health"),
});

type PerPort<T> = { readonly [name in keyof typeof defaultPorts]: T };
export type Ports = PerPort<number>;
