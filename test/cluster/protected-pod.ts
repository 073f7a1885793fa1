/** The spec of a pod as it looks after injection, as far as ca and directory look at it. */
import type { Json } from "./client.ts";

export const proxyImage = "localhost/tencrypt/proxy:test";

const tokenMount = { name: "tencrypt-token", mountPath: "/var/run/tencrypt/token", readOnly: true };

export type ProtectedOptions = { readonly mode?: string; readonly image?: string; readonly changes?: Json };

export function protectedSpec({ mode = "strict", image = proxyImage, changes = {} }: ProtectedOptions = {}): Json {
  return {
    initContainers: [
      { name: "tencrypt-init", image: "localhost/tencrypt/init:test" },
      {
        name: "tencrypt-proxy",
        image,
        restartPolicy: "Always",
        env: [{ name: "TENCRYPT_MODE", value: mode }],
        volumeMounts: [tokenMount],
      },
    ],
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
