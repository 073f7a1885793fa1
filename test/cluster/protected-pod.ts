/** The spec of a pod as it looks after injection, as far as ca and directory look at it. */
import type { Json } from "./client.ts";

export const initImage = "localhost/tencrypt/init:test";
export const proxyImage = "localhost/tencrypt/proxy:test";

const tokenMount = { name: "tencrypt-token", mountPath: "/var/run/tencrypt/token", readOnly: true };

export type ProtectedOptions = {
  readonly mode?: string;
  readonly image?: string;
  readonly changes?: Json;
  /** Of tencrypt-init. */
  readonly init?: Json;
};

export function protectedSpec({
  mode = "strict",
  image = proxyImage,
  changes = {},
  init = {},
}: ProtectedOptions = {}): Json {
  return {
    initContainers: [
      { name: "tencrypt-init", image: initImage, ...init },
      {
        name: "tencrypt-proxy",
        image,
        restartPolicy: "Always",
        env: [{ name: "TENCRYPT_MODE", value: mode }],
        volumeMounts: [tokenMount],
      },
    ],
    automountServiceAccountToken: false,
    volumes: [
      {
        name: "tencrypt-token",
        projected: {
          sources: [{ serviceAccountToken: { audience: "tencrypt-ca", expirationSeconds: 3600, path: "token" } }],
        },
      },
    ],
    ...changes,
  };
}
