/**
 * What abuse must not change: every other client is served meanwhile, and afterwards no proxy, and no process that is named
 * beside them, holds more open files, nor much more memory, than before.
 *
 *     const steady = await watchSteady(mesh, { from: "bystander", to: "server", text: canary });
 *     ...
 *     await steady.end();
 *
 * The bystander's application is its own: what a test says of its echo says nothing of the bystander.
 */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { anonymousMb, filesReturnTo, openFiles, reaches } from "./attempts.ts";
import type { Target } from "./attempts.ts";
import type { Child } from "./child.ts";
import type { Mesh } from "./mesh.ts";

export type Watched = {
  /** Instead of all that run now. */
  readonly proxies?: readonly Child[];
  /** Processes beside the proxies that run now: the ca, a proxy that the abuse is done to. They live until the end. */
  readonly also?: readonly Child[];
};

export type Bystander = Watched & {
  /** Pods: the one that asks, and the one whose application answers. */
  readonly from: string;
  readonly to: string;
  /** A canary: what a bystander says is a secret as well. */
  readonly text: string;
};

export type Bounds = {
  /** More than what two collections may differ by; less than what a leak of the abuse would be. */
  readonly grownMb?: number;
  /** Sessions that the abuse may have opened, and that are kept for a while. */
  readonly moreFiles?: number;
};

export type Steady = {
  /** Ends the bystander's requests, none of which failed, and compares. */
  end(bounds?: Bounds): Promise<void>;
};

const defaultGrownMb = 30;
/** The first requests load code and fill caches, which is no growth. */
const warmUp = 30;
/** Of the bystander, between two requests: it must find the abuse, and leave two cores to it. */
const betweenMs = 25;

type Asked = { requests: number; readonly failures: string[] };

/** Without a bystander: for where the test itself asks all the while. Proxies that have ended since are not looked at. */
export function noteProxies(mesh: Mesh, { proxies = mesh.running, also = [] }: Watched = {}): Steady {
  const before = [...new Set([...proxies, ...also])].map((child) => ({
    child,
    files: openFiles(child.pid),
    megabytes: anonymousMb(child.pid),
  }));
  const end = async ({ grownMb = defaultGrownMb, moreFiles = 0 }: Bounds = {}): Promise<void> => {
    for (const child of also) assert.equal(child.end, null, `${child.name} has ended`);
    for (const { child, files, megabytes } of before.filter((each) => each.child.end === null)) {
      await filesReturnTo(child.pid, files + moreFiles);
      const grown = Math.round(anonymousMb(child.pid) - megabytes);
      assert.ok(grown < grownMb, `${child.name}: ${grown} MB more than ${Math.round(megabytes)} MB before`);
    }
  };
  return { end };
}

/** Until `isOver`, or until the dialer has ended with its mesh. */
async function ask(dialer: Child, target: Target, text: string, isOver: () => boolean): Promise<Asked> {
  const asked: Asked = { requests: 0, failures: [] };
  for (; !isOver() && dialer.end === null; await pause(betweenMs)) {
    asked.requests++;
    await reaches(dialer, target, text).catch((error: unknown) => asked.failures.push(String(error)));
  }
  return asked;
}

export async function watchSteady(mesh: Mesh, { from, to, text, also = [] }: Bystander): Promise<Steady> {
  const pod = mesh.pod(to);
  const [dialer, { port }] = await Promise.all([mesh.pod(from).app("dialer"), pod.serve("echo-server", 0)]);
  for (let count = 0; count < warmUp; count++) await reaches(dialer, { host: pod.ip, port }, text);
  const proxies = noteProxies(mesh, { also });
  let over = false;
  const asking = ask(dialer, { host: pod.ip, port }, text, () => over);
  const end = async (bounds?: Bounds): Promise<void> => {
    over = true;
    const { requests, failures } = await asking;
    assert.deepEqual(failures, [], `${failures.length} of ${requests} requests of the bystander failed`);
    assert.ok(requests > 0, "the bystander asked");
    await proxies.end(bounds);
  };
  return { end };
}
