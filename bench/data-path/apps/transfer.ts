/**
 * One bulk transfer after the other over one connection, until all bytes are through: `transfer.ts down|up HOST PORT MB [PACE]`.
 * With MB 0 it goes on until it is killed. With a pace, what comes down is read at so many MB a second. Says
 * `{"event":"started"}` with the first byte and `{"event":"done"}`.
 */
import { request, Agent } from "node:http";

const [direction = "", host = "", port = "", megabytes = "", pace = "Infinity"] = process.argv.slice(2);
const bytesPerMs = Number(pace) * 1_000;
const say = (event: string): void => console.log(JSON.stringify({ event }));
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const piece = 100_000_000;
const chunk = Buffer.alloc(64 * 1024, 0x2e);
let started = false;

function transfer(bytes: number): Promise<void> {
  const down = direction === "down";
  const options = down
    ? { path: `/bulk?bytes=${bytes}` }
    : { method: "PUT", path: "/sink", headers: { "content-length": bytes } };
  return new Promise((resolve, reject) => {
    const asked = request({ host, port, agent, ...options }, (response) => {
      let received = 0;
      const began = performance.now();
      response.on("data", (data: Buffer) => {
        received += data.length;
        const aheadMs = received / bytesPerMs - (performance.now() - began);
        if (aheadMs > 1) {
          response.pause();
          setTimeout(() => response.resume(), aheadMs);
        }
        if (!started) say("started");
        started = true;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200 && received === (down ? bytes : 0)) return resolve();
        reject(new Error(`status ${response.statusCode}, ${received} bytes`));
      });
    });
    asked.on("error", reject);
    let left = down ? 0 : bytes;
    const more = (): void => {
      while (left > 0) {
        const part = left >= chunk.length ? chunk : chunk.subarray(0, left);
        left -= part.length;
        if (!asked.write(part)) return void asked.once("drain", more);
      }
      asked.end();
    };
    more();
  });
}

const total = Number(megabytes) * 1_000_000;
for (let left = total; total === 0 || left > 0; left -= piece)
  await transfer(total === 0 ? piece : Math.min(left, piece));
say("done");
process.exit(0);
