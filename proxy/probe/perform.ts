/**
 * Performs a declared probe as a kubelet would: against the pod's own address, with its rules for status, redirects,
 * headers and TLS. The answer is whether it succeeded and one short text; nothing of the application's body is passed on.
 */
import { request as httpRequest } from "node:http";
import type { IncomingMessage, RequestOptions } from "node:http";
import { connect as connectHttp2, constants } from "node:http2";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Ip } from "../../lib/net/address.ts";
import { isIpv6 } from "../../lib/net/address.ts";
import type { Header, ProbeAction } from "./declared.ts";

export type ProbeOutcome = { readonly ok: boolean; readonly text: string };

const failed = (text: string): ProbeOutcome => ({ ok: false, text });
const succeeded = (text: string): ProbeOutcome => ({ ok: true, text });

const userAgent = "kube-probe/tencrypt";
/** Redirects are followed until so many requests have been made. */
const mostRequests = 10;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** As much of a body as a kubelet reads. */
const longestBody = 10 * 1024;

/** `host` is the pod's own address; `gone`: the caller has gone, for whom no request over HTTP is made any more. */
export type Surroundings = { readonly host: Ip; readonly clock: Clock; readonly gone: AbortSignal };

/** Never rejects: what Node refuses to send, like a line break in a header, is a failure too. */
export async function perform(action: ProbeAction, at: Surroundings): Promise<ProbeOutcome> {
  try {
    return await performed(action, at);
  } catch (error) {
    return failed(error instanceof Error ? error.message : String(error));
  }
}

function performed(action: ProbeAction, at: Surroundings): Promise<ProbeOutcome> {
  switch (action.kind) {
    case "http":
      return performHttp(action, at);
    case "tcp":
      return performTcp(action, at);
    case "grpc":
      return performGrpc(action, at);
  }
}

type HttpAction = Extract<ProbeAction, { kind: "http" }>;
type Target = Surroundings & {
  readonly port: number;
  readonly path: string;
  readonly scheme: "http" | "https";
};

const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host);

/** `Host` names what is asked for, unless the probe says otherwise; headers given twice are sent twice. */
function headersOf(headers: readonly Header[], { host, port }: Target): Record<string, string | string[]> {
  const sent: Record<string, string | string[]> = {
    host: `${bracketed(host)}:${port}`,
    "user-agent": userAgent,
    accept: "*/*",
    connection: "close",
  };
  const own = new Map<string, string[]>();
  for (const { name, value } of headers) {
    const key = name.toLowerCase();
    own.set(key, [...(own.get(key) ?? []), octets(value)]);
  }
  for (const [name, values] of own) sent[name] = values.length === 1 || name === "host" ? values[0]! : values;
  return sent;
}

/** A kubelet sends the octets of a value as they are, and escapes what may not stand in a path. */
const octets = (value: string): string => Buffer.from(value).toString("latin1");
const escaped = (path: string): string => path.toWellFormed().replaceAll(/[^\x21-\x7e]/gu, encodeURIComponent);

async function performHttp(action: HttpAction, at: Surroundings): Promise<ProbeOutcome> {
  const { clock } = at;
  const end = clock.monotonic() + action.timeoutMs;
  let target: Target = { ...at, path: action.path, port: action.port, scheme: action.scheme };
  for (let count = 0; count < mostRequests; count++) {
    const answer = await ask(action, target, end - clock.monotonic());
    if (typeof answer === "string") return failed(answer);
    const { status, location } = answer;
    // To another host a kubelet does not follow either: the answer itself is the success.
    const next = location !== null && redirects.has(status) ? resolve(location, target) : null;
    const isGood = action.anyStatus || (status >= 200 && status < 400);
    if (next === null) return isGood ? succeeded(`HTTP ${status}`) : failed(`HTTP ${status}`);
    target = next;
  }
  return failed(`stopped after ${mostRequests} redirects`);
}

type HttpAnswer = { readonly status: number; readonly location: string | null };

function ask(action: HttpAction, target: Target, timeoutMs: number): Promise<HttpAnswer | string> {
  const options: RequestOptions & { rejectUnauthorized?: boolean } = {
    host: target.host,
    port: target.port,
    path: escaped(target.path),
    headers: headersOf(action.headers, target),
    agent: false,
    signal: target.gone,
    // A kubelet does not verify either: a probe asks whether the application lives, not who it is.
    ...(target.scheme === "https" ? { rejectUnauthorized: false } : {}),
  };
  return new Promise((done) => {
    const finish = (answer: HttpAnswer | string): void => {
      clear.cancel();
      done(answer);
      call.destroy();
    };
    const broken = (error: NodeJS.ErrnoException): void => finish(error.code ?? error.message);
    const onAnswer = (answer: IncomingMessage): void => {
      const complete = (): void =>
        finish({ status: answer.statusCode ?? 0, location: answer.headers.location ?? null });
      let length = 0;
      answer.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length > longestBody) complete();
      });
      answer.on("end", complete);
      answer.on("error", broken);
    };
    const call = (target.scheme === "https" ? httpsRequest : httpRequest)(options, onAnswer);
    const clear = target.clock.after(timeoutMs, () => finish("timed out"));
    call.on("error", broken);
    call.end();
  });
}

/** Null for another host. */
function resolve(location: string, target: Target): Target | null {
  const base = `${target.scheme}://${bracketed(target.host)}:${target.port}${target.path}`;
  if (!URL.canParse(location, base)) return null;
  const url = new URL(location, base);
  const scheme = url.protocol === "https:" ? "https" : url.protocol === "http:" ? "http" : null;
  if (scheme === null || url.hostname !== bracketed(target.host)) return null;
  const port = url.port === "" ? (scheme === "https" ? 443 : 80) : Number(url.port);
  return { ...target, port, path: `${url.pathname}${url.search}`, scheme };
}

type TcpAction = Extract<ProbeAction, { kind: "tcp" }>;

function performTcp({ port, timeoutMs }: TcpAction, { host, clock }: Surroundings): Promise<ProbeOutcome> {
  return new Promise((done) => {
    const socket = connect({ host, port, family: isIpv6(host) ? 6 : 4 });
    const finish = (outcome: ProbeOutcome): void => {
      clear.cancel();
      done(outcome);
      socket.destroy();
    };
    const clear = clock.after(timeoutMs, () => finish(failed("timed out")));
    socket.once("connect", () => finish(succeeded("connected")));
    socket.on("error", (error: NodeJS.ErrnoException) => finish(failed(error.code ?? error.message)));
  });
}

/** grpc.health.v1.Health/Check: field 1 of the request is the service's name, of the answer its status; 1 is SERVING. */
type GrpcAction = Extract<ProbeAction, { kind: "grpc" }>;

/** A status takes seven octets. */
const longestAnswer = 1_024;

function performGrpc(action: GrpcAction, { host, clock }: Surroundings): Promise<ProbeOutcome> {
  return new Promise((done) => {
    const session = connectHttp2(`http://${bracketed(host)}:${action.port}`);
    const finish = (outcome: ProbeOutcome): void => {
      clear.cancel();
      done(outcome);
      session.destroy();
    };
    const clear = clock.after(action.timeoutMs, () => finish(failed("timed out")));
    session.on("error", (error: NodeJS.ErrnoException) => finish(failed(error.code ?? error.message)));
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": userAgent,
    });
    let answer = Buffer.alloc(0);
    let code = "";
    const note = (headers: Readonly<Record<string, unknown>>): void => {
      const found = headers["grpc-status"];
      if (typeof found === "string") code = found;
    };
    stream.on("response", note);
    stream.on("trailers", note);
    stream.on("data", (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length > longestAnswer) finish(failed("the answer is too long"));
    });
    stream.on("error", (error: NodeJS.ErrnoException) => finish(failed(error.code ?? error.message)));
    stream.on("close", () => finish(code === "0" ? statusOf(answer) : failed(`gRPC status ${code}`)));
    stream.end(frame(action.service));
  });
}

function frame(service: string): Buffer {
  const name = Buffer.from(service);
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

const serving = 1;
function statusOf(answer: Buffer): ProbeOutcome {
  const status = answer.length >= 7 && answer[5] === 0x08 ? answer[6]! : 0;
  return status === serving ? succeeded("SERVING") : failed(`status ${status}`);
}
