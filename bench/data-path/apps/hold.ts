/** Opens COUNT connections, makes one request on each, and keeps them: `hold.ts HOST PORT COUNT`, then `{"event":"holding"}`. */
import { connect } from "node:net";

const [host = "", port = "", count = ""] = process.argv.slice(2);
const width = 20;

function open(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) }, () =>
      socket.write("GET /small HTTP/1.1\r\nhost: bench\r\n\r\n"),
    );
    let received = 0;
    socket.on("data", (data) => {
      received += data.length;
      if (received > 1024) resolve();
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed")));
  });
}

for (let opened = 0; opened < Number(count); opened += width) await Promise.all(Array.from({ length: width }, open));
console.log(JSON.stringify({ event: "holding" }));
