/**
 * Asks a pod's proxy for its status, through a port-forward of the API server to the admin port on the pod's loopback:
 * whoever may forward ports of the pod may see it. What does not answer gives the reason.
 */
import { PassThrough } from "node:stream";
import { KubeConfig, PortForward } from "@kubernetes/client-node";
import { defaultPorts } from "../lib/net/ports.ts";
import type { Connection } from "./cluster.ts";

/** As a pod answers it, in which anything may run: only what is known may be shown of it. */
export type ProxyStatus = { readonly mode?: unknown; readonly certificate?: unknown };

export type StatusAnswer =
  | { readonly kind: "status"; readonly status: ProxyStatus }
  | { readonly kind: "no-answer"; readonly why: string };

const patienceMs = 5_000;

/** The API server accepts a port-forward to a node that is away, and says nothing more. */
class ImpatientConfig extends KubeConfig {
  readonly #openingMs: number;

  constructor(openingMs: number) {
    super();
    this.#openingMs = openingMs;
  }

  override async applyToHTTPSOptions(options: Parameters<KubeConfig["applyToHTTPSOptions"]>[0]): Promise<void> {
    await super.applyToHTTPSOptions(options);
    Object.assign(options, { handshakeTimeout: this.#openingMs });
  }
}

export function forwarder({ kubeconfig, context }: Connection, openingMs: number = patienceMs): PortForward {
  const config = new ImpatientConfig(openingMs);
  if (kubeconfig === undefined) config.loadFromDefault();
  else config.loadFromFile(kubeconfig);
  if (context !== undefined) config.setCurrentContext(context);
  return new PortForward(config);
}

export async function askStatus(forward: PortForward, namespace: string, pod: string): Promise<StatusAnswer> {
  const [toPod, fromPod, errors] = [new PassThrough(), new PassThrough(), new PassThrough()];
  let close = (): void => {};
  try {
    const socket = await forward.portForward(namespace, pod, [defaultPorts.admin], fromPod, errors, toPod);
    close = () => (typeof socket === "function" ? socket()?.close() : socket.close());
    toPod.write("GET /status HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    return read(await textOf(fromPod, errors));
  } catch (error) {
    return { kind: "no-answer", why: reasonOf(error) };
  } finally {
    close();
  }
}

/** A WebSocket that could not be opened fails with an event, which is no Error and has its message. */
function reasonOf(error: unknown): string {
  const { message } = (error ?? {}) as { readonly message?: unknown };
  if (typeof message !== "string" || message === "") return "the port-forward failed";
  const [, meaning] = known.find(([says]) => says.test(message)) ?? [];
  // A node may tell it in several lines; it is a cell of a table.
  return meaning ?? message.replaceAll(/[^ -~]+/g, " ");
}

const known: readonly (readonly [says: RegExp, meaning: string])[] = [
  [/handshake has timed out/, "the port-forward was not opened in time"],
  [/server response: 400/, "the pod is on no node yet"],
  [/server response: 403/, "you may not forward ports of this pod (create pods/portforward)"],
  [/server response: 404/, "the pod is gone"],
  [/connection refused/i, "the proxy does not run"],
];

/** A container of the pod may answer in the proxy's place, and go on for ever. */
const longestAnswer = 1_000_000;

function textOf(answer: PassThrough, errors: PassThrough): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const timer = AbortSignal.timeout(patienceMs);
    timer.addEventListener("abort", () => reject(new Error(`no answer within ${patienceMs} ms`)));
    errors.on("data", (chunk: Buffer) => reject(new Error(chunk.toString().trim())));
    answer.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.length > longestAnswer) reject(new Error("what answered is no proxy: it does not stop"));
      const length = Number(/content-length: ([0-9]+)/i.exec(text)?.[1] ?? Number.NaN);
      const body = text.indexOf("\r\n\r\n");
      if (body >= 0 && text.length - body - 4 >= length) resolve(text.slice(body + 4));
    });
    answer.on("end", () => resolve(text.slice(text.indexOf("\r\n\r\n") + 4)));
  });
}

function read(body: string): StatusAnswer {
  const stranger: StatusAnswer = { kind: "no-answer", why: "what answered is no proxy" };
  try {
    const status: unknown = JSON.parse(body);
    return typeof status === "object" && status !== null && !Array.isArray(status)
      ? { kind: "status", status }
      : stranger;
  } catch {
    return stranger;
  }
}
