/**
 * Events of Kubernetes at a pod, so that `kubectl describe pod` says what concerns it. An event has one name for one pod
 * and cause: replicas that see the same write it once, and again only when the API server has let it expire. Writing is
 * best effort and bounded: it never fails or delays what it tells of.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../clock/clock.ts";
import { isStatus } from "./client.ts";
import type { KubeClient } from "./client.ts";
import type { Log } from "../log/log.ts";

export type Regarding = { readonly namespace: string; readonly name: string; readonly uid: string };

export type EventNews = {
  /** `Normal`: as it was meant to be. */
  readonly type: "Normal" | "Warning";
  /** One word, such as `CertificateRefused`. */
  readonly reason: string;
  /** What was being done, one word. */
  readonly action: string;
  /** Tells causes of one reason apart. */
  readonly cause: string;
  readonly note: string;
};

export type EventParts = {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  /** Such as `tencrypt.io/ca`. */
  readonly controller: string;
  /** The replica. */
  readonly instance: string;
};

/** False: too many are being written, and this one is not. */
export type Events = { tell(pod: Regarding, news: EventNews): boolean };

const longestNote = 1_024;
const longestName = 200;
/** What was told is not told again for this long. */
const quietMs = 600_000;
const mostRemembered = 10_000;
const mostUnderWay = 16;

export function createEvents(parts: EventParts): Events {
  const { client, clock, log } = parts;
  const told = new Map<string, number>();
  let underWay = 0;
  const isNews = (name: string): boolean => {
    const now = clock.monotonic();
    if (now - (told.get(name) ?? Number.NEGATIVE_INFINITY) < quietMs) return false;
    const oldest = told.keys().next();
    if (told.size >= mostRemembered && oldest.done !== true) told.delete(oldest.value);
    told.delete(name);
    told.set(name, now);
    return true;
  };
  return {
    tell: (pod, news) => {
      const name = nameOf(pod, news);
      if (underWay >= mostUnderWay) return false;
      if (!isNews(`${pod.namespace}/${name}`)) return true;
      underWay++;
      client
        .create(`/apis/events.k8s.io/v1/namespaces/${pod.namespace}/events`, eventOf(name, { pod, news }, parts))
        .catch((error: unknown) => {
          // Another replica was faster.
          if (!isStatus(error, 409)) log("debug", "event_not_written", { why: (error as Error).message });
        })
        .finally(() => underWay--);
      return true;
    },
  };
}

function nameOf({ name, uid }: Regarding, { reason, cause }: EventNews): string {
  const hash = createHash("sha256").update(`${uid} ${reason} ${cause}`).digest("hex").slice(0, 16);
  // A name that is cut must not end in what no label may end in.
  return `${name.slice(0, longestName).replace(/[.-]+$/, "")}.${hash}`;
}

type Told = { readonly pod: Regarding; readonly news: EventNews };

const eventOf = (name: string, { pod, news }: Told, { clock, controller, instance }: EventParts) => ({
  apiVersion: "events.k8s.io/v1",
  kind: "Event",
  metadata: { name, namespace: pod.namespace },
  // Kubernetes wants microseconds.
  eventTime: new Date(clock.now()).toISOString().replace("Z", "000Z"),
  reportingController: controller,
  reportingInstance: instance,
  action: news.action,
  reason: news.reason,
  regarding: { apiVersion: "v1", kind: "Pod", ...pod },
  note: news.note.slice(0, longestNote),
  type: news.type,
});
