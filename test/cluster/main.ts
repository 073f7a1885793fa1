/**
 * `npm run cluster:up [-- NODES]`: a cluster that stays until `npm run cluster:down`, with this tree's images loaded.
 * Standard output can be evaluated: `eval "$(npm run --silent cluster:up)"`. Exit code 77 where this machine cannot.
 * Tests name another one in TENCRYPT_CLUSTER, as `NAME/INDEX`.
 */
import { down, readPlace, up } from "./cluster.ts";
import { cacheFolder, setUp } from "./set-up.ts";

const place = readPlace(process.env["TENCRYPT_CLUSTER"] ?? "dev/250");

async function bringUp(nodes: number): Promise<number> {
  const ready = setUp("node");
  if (ready.kind === "impossible") {
    console.error(ready.why);
    return 77;
  }
  // Standard output is for a shell to evaluate: where the cluster and its tools are.
  process.stderr.write(await up(place, nodes));
  console.log(`export KUBECONFIG=${place.state}/kubeconfig/admin PATH=${cacheFolder()}/bin:$PATH`);
  return 0;
}

const [command = "", nodes = "1"] = process.argv.slice(2);
if (command === "up" && /^[1-9]$/.test(nodes)) process.exitCode = await bringUp(Number(nodes));
else if (command === "down") down(place);
else {
  console.error("usage: npm run cluster:up [-- NODES], npm run cluster:down");
  process.exitCode = 2;
}
