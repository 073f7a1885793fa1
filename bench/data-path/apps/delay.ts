/**
 * Stands between two proxies and passes on what comes after a while: `delay.ts PORT HOST PORT MS`. What is far away is then
 * the other proxy, for TLS and HTTP/2; TCP ends here, with a window that is never full.
 */
import { connect, createServer } from "node:net";
import type { Socket } from "node:net";

const [port = "", host = "", to = "", ms = ""] = process.argv.slice(2);

/** Timers of one duration fire in the order in which they were set; the shortest is 1 ms. */
const later = (work: () => void): void => {
  if (Number(ms) === 0) work();
  else setTimeout(work, Number(ms));
};

function pass(from: Socket, into: Socket): void {
  from.on("data", (chunk: Buffer) => later(() => into.write(chunk)));
  from.on("end", () => later(() => into.end()));
  from.on("error", () => into.destroy());
  from.on("close", () => later(() => into.destroy()));
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
  const far = connect({ host, port: Number(to), allowHalfOpen: true, noDelay: true });
  pass(near, far);
  pass(far, near);
});
server.listen(Number(port), "0.0.0.0", () => console.log('{"event":"listening"}'));
