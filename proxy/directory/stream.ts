/**
 * The directory as a stream from the controller: the newest acceptable state, as a view.
 *
 * - What cannot be accepted leaves the view in use; so does a controller that is away, for as long as it takes.
 * - A stream goes on where the last one was (link.ts); a state that cannot be read is asked for anew as a whole.
 * - An address that the state does not name is looked up; what was told is remembered (remembered.ts) until the controller
 *   says that it has changed, or the stream through which it would say so is another one.
 * - The last state is kept in a folder, if there is one, and is in use again when the process was started anew.
 */
import type { Timer } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import { fromWorkload } from "../../lib/directory/wire.ts";
import { parseIp } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { LookupResponse, Update, WatchRequest } from "../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { accept } from "../route/accept.ts";
import { classify } from "../route/classify.ts";
import { withLearned } from "../route/learned.ts";
import type { Learned } from "../route/learned.ts";
import { buildView } from "../route/policy.ts";
import type { LookUpAnswer, Self, View } from "../route/policy.ts";
import type { Snapshot } from "../route/snapshot.ts";
import { readKept, writeKept } from "./kept.ts";
import { applyUpdate, readPods, snapshotOf } from "./knowledge.ts";
import type { Knowledge } from "./knowledge.ts";
import { Link } from "./link.ts";
import type { Follower, LinkOptions } from "./link.ts";
import { Remembered } from "./remembered.ts";
import type { DirectoryRefusal, DirectorySource } from "./source.ts";

export type StreamSourceOptions = LinkOptions & {
  /** Null: nothing is kept. */
  readonly stateFolder: string | null;
  readonly self: Self;
};

const lookUpMs = 2_000;
/** How often an address is asked for whose holder changes meanwhile. */
const mostQuestions = 2;
/** A cluster in motion does not write its state more often. */
const keepEveryMs = 2_000;

/** A look-up that is under way. `overtaken`: the controller has said since that the holder is another now. */
type Asking = { readonly answer: Promise<LookUpAnswer>; overtaken: boolean };

export class StreamSource implements DirectorySource, Follower {
  readonly #options: StreamSourceOptions;
  readonly #link: Link;
  readonly #remembered = new Remembered();
  readonly #asking = new Map<Ip, Asking>();
  #knowledge: Knowledge | null = null;
  /** The newest accepted snapshot, without what was learned. */
  #base: Snapshot | null = null;
  #view: View | null = null;
  #changed: () => void = () => {};
  #refusal: DirectoryRefusal | null = null;
  #wantsWhole = false;
  #keeping: Timer | null = null;
  #kept = false;
  #closed = false;

  private constructor(options: StreamSourceOptions) {
    this.#options = options;
    this.#link = new Link(options, this);
  }

  /** What was kept is in use at once; the stream begins with the first certificate. */
  static async start(options: StreamSourceOptions): Promise<StreamSource> {
    const source = new StreamSource(options);
    await source.#restore();
    return source;
  }

  current(): View | null {
    return this.#view;
  }

  onChange(listener: () => void): void {
    this.#changed = listener;
  }

  refusal(): DirectoryRefusal | null {
    return this.#refusal;
  }

  renew(credentials: Credentials): void {
    this.#link.renew(credentials);
  }

  async lookUp(ip: Ip, lastWillDo: boolean): Promise<LookUpAnswer> {
    const isFollowed = this.#link.client !== null;
    if (lastWillDo && isFollowed && this.#remembered.isUnheld(ip, this.#options.clock.monotonic()))
      return "last-unheld";
    const asking = this.#asking.get(ip) ?? this.#ask(ip);
    const answer = await asking.answer;
    return answer === "no-answer" && lastWillDo && this.#remembered.wasUnheld(ip) ? "last-unheld" : answer;
  }

  close(): void {
    this.#closed = true;
    this.#keeping?.cancel();
    this.#link.close();
  }

  async #restore(): Promise<void> {
    const { stateFolder, log } = this.#options;
    if (stateFolder === null) return;
    const kept = await readKept(stateFolder);
    if (kept.kind === "none") return;
    if (kept.kind === "refused") return log("warn", "directory_not_restored", { problems: kept.problems });
    this.#take(kept.knowledge, kept.warnings);
    log("info", "directory_restored", { version: kept.knowledge.version.toString(), inUse: this.#view !== null });
  }

  /** Of the link, as all that follows down to `inUse`. */
  request(): WatchRequest {
    const known = this.#knowledge;
    return {
      version: known?.version ?? 0n,
      resume: this.#wantsWhole ? "" : (known?.resume ?? ""),
      revisions: [...(known?.revisions ?? [])],
    };
  }

  begun(): void {
    const wasHeld = this.#remembered.held.size > 0;
    this.#remembered.clear();
    if (wasHeld) this.#show(false, []);
  }

  updated(update: Update): string | null {
    const applied = applyUpdate(this.#knowledge, update);
    this.#wantsWhole = applied.kind === "refused";
    if (applied.kind === "refused") {
      this.#refuse(applied);
      return applied.reason;
    }
    this.#take(applied.knowledge, applied.warnings);
    this.#keep();
    return null;
  }

  forget(address: string): void {
    const ip = parseIp(address);
    if (ip === null) return;
    const wasHeld = this.#remembered.held.has(ip);
    this.#remembered.forget(ip);
    // The state that comes with it may be refused, or wait for its turn: what is decided meanwhile must not go by it.
    if (wasHeld) this.#show(false, []);
    const asking = this.#asking.get(ip);
    if (asking !== undefined) asking.overtaken = true;
  }

  inUse(): number | null {
    return this.#view?.snapshot.version ?? null;
  }

  #take(knowledge: Knowledge, warnings: readonly string[]): void {
    this.#knowledge = knowledge;
    const built = snapshotOf(knowledge);
    if (built.kind === "refused") return this.#refuse(built);
    const acceptance = accept(built.snapshot, this.#base, this.#options.self);
    if (acceptance.kind === "refused")
      return this.#refuse({ reason: acceptance.reason, problems: [acceptance.detail] });
    const isFirst = this.#base === null;
    this.#base = built.snapshot;
    this.#remembered.named((ip) => namesHolder(built.snapshot, ip));
    this.#refusal = null;
    this.#show(isFirst, [...warnings, ...built.warnings]);
  }

  #refuse({ reason, problems }: DirectoryRefusal): void {
    const isNew = this.#refusal?.reason !== reason;
    this.#refusal = { reason, problems };
    if (isNew) this.#options.log("warn", "directory_refused", { reason, problems, inUse: this.inUse() });
  }

  #show(isFirst: boolean, warnings: readonly string[]): void {
    const { self, log } = this.#options;
    const before = this.#view?.policy;
    this.#view = buildView(withLearned(this.#base!, this.#remembered.held), self);
    const { mode, dryRun } = this.#view.policy;
    const isNews = isFirst || before?.mode !== mode || before.dryRun !== dryRun || warnings.length > 0;
    const { version } = this.#view.snapshot;
    log(isNews ? "info" : "debug", "directory_accepted", { version, mode, dryRun, warnings });
    this.#changed();
  }

  #ask(ip: Ip): Asking {
    const asking: Asking = { answer: Promise.resolve().then(() => this.#answer(ip, asking)), overtaken: false };
    this.#asking.set(ip, asking);
    return asking;
  }

  async #answer(ip: Ip, asking: Asking): Promise<LookUpAnswer> {
    try {
      for (let count = 0; count < mostQuestions; count++) {
        asking.overtaken = false;
        const { client } = this.#link;
        if (client === null) break;
        const askedAt = this.#options.clock.monotonic();
        const response = await client.lookUp(ip, lookUpMs);
        if (this.#base === null) break;
        // The answer of a connection that is gone would never be taken back.
        if (client !== this.#link.client) continue;
        if (!asking.overtaken) return this.#answered(ip, response, askedAt);
      }
    } catch {
      // As good as no answer.
    } finally {
      this.#asking.delete(ip);
    }
    return "no-answer";
  }

  #answered(ip: Ip, response: LookupResponse, askedAt: number): LookUpAnswer {
    // The stream may have brought it meanwhile.
    if (classify(this.#view!, ip) !== "unknown") return "held";
    if (response.nobody !== undefined) {
      this.#remembered.unhold(ip, askedAt);
      return "unheld";
    }
    const learned = learnedOf(response);
    if (learned === null) return "no-answer";
    this.#remembered.hold(ip, learned);
    this.#show(false, []);
    return "held";
  }

  #keep(): void {
    const { stateFolder, clock, log } = this.#options;
    if (stateFolder === null || this.#keeping !== null) return;
    // The first one at once: a proxy that is ended soon after its start would otherwise leave nothing to its successor.
    this.#keeping = clock.after(this.#kept ? keepEveryMs : 0, () => {
      this.#keeping = null;
      this.#kept = true;
      // Only what was accepted: it has to be of use to a proxy that knows nothing else.
      const knowledge = this.#knowledge;
      if (this.#closed || knowledge === null || this.#refusal !== null) return;
      writeKept(stateFolder, knowledge).catch((error: unknown) =>
        log("warn", "directory_not_kept", { why: (error as Error).message }),
      );
    });
  }
}

const namesHolder = ({ holders, nodeAddresses, vips, foreignVips }: Snapshot, ip: Ip): boolean =>
  [holders, nodeAddresses, vips, foreignVips].some((named) => named.has(ip));

function learnedOf({ pods, service, node }: LookupResponse): Learned | null {
  if (node !== undefined) return { kind: "node" };
  if (service !== undefined) return { kind: "service", fullName: `${service.project}/${service.name}` };
  const [first, ...more] = readPods((pods?.pods ?? []).map(fromWorkload)) ?? [];
  return first === undefined ? null : { kind: "pods", workloads: [first, ...more] };
}
