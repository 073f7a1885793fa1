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

export type Ports = { readonly [name in keyof typeof defaultPorts]: number };
