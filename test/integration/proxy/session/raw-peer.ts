/** A peer's proxy that writes its HTTP/2 by hand, over real TLS and with a good certificate, and a pool of ours that dials it. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { createServer } from "node:tls";
import type { TLSSocket } from "node:tls";
import { manualClock } from "../../../clock/manual-clock.ts";
import type { ManualClock } from "../../../clock/manual-clock.ts";
import { dialling, leafOf, party, pki } from "./pair.ts";
import type { Dialling } from "./pair.ts";

export type RawPeer = Dialling & { readonly clock: ManualClock };

export async function rawPeer(t: TestContext, speak: (socket: TLSSocket) => void): Promise<RawPeer> {
  const leaf = leafOf({ serviceAccount: "server" });
  const server = createServer(
    { cert: leaf.chainPem, key: leaf.keyPem, ca: pki.root.pem, requestCert: true, ALPNProtocols: ["h2"] },
    (socket) => {
      socket.on("error", () => {});
      speak(socket);
    },
  );
  await once(server.listen(0, "127.0.0.1"), "listening");
  const clock = manualClock(Date.now());
  const { port } = server.address() as AddressInfo;
  const own = dialling(port, { credentials: party(clock, "cart").current, clock });
  t.after(() => {
    own.pool.destroy();
    server.close();
  });
  return { ...own, clock };
}
