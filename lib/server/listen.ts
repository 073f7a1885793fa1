/**
 * Binds a server of the control plane. Once it listens no error ends the program: what comes then is that a connection could
 * not be accepted (no descriptor left), and the server goes on by itself.
 */
import type { AddressInfo, Server } from "node:net";
import type { HostPort } from "../net/host-port.ts";

/** Where it is bound: port 0 has become another one. Rejects where it cannot be. */
export async function listen(
  server: Server,
  { host, port }: HostPort,
): Promise<{ readonly address: string; readonly port: number }> {
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject).listen(port, host, resolve);
  await listening;
  server.off("error", reject).on("error", () => {});
  const bound = server.address() as AddressInfo;
  return { address: bound.address, port: bound.port };
}
