/**
 * The directory as a stream from the controller: the newest acceptable state, as a view.
 *
 * - What cannot be accepted leaves the view in use; so does a controller that is away, for as long as it takes.
 * - A stream goes on where the last one was; a state that cannot be read is asked for anew as a whole.
 * - With a new certificate the next stream is opened beside the one in use, which answers look-ups until the next one has
 *   brought something: a renewal is no outage. Where the next one fails, the one in use goes on and the next is tried
 *   again; only where the roots are other ones it goes too, for its controller may not be believed any more.
 * - An address that the state does not name is looked up; what was told is remembered (remembered.ts) until the controller
 *   says that it has changed, or the stream through which it would say so is another one.
 * - The last state is kept in a folder, if there is one, and is in use again when the process was started anew.
 */
import type { Clock, Timer } from "../../lib/clock/clock.ts";
import type { Credentials } from "../../lib/enrolment/identity.ts";
import { fromWorkload } from "../../lib/directory/wire.ts";
import type { Log } from "../../lib/log/log.ts";
import { parseIp } from "../../lib/net/address.ts";
import type { Ip } from "../../lib/net/address.ts";
import type { LookupResponse, Update } from "../../lib/proto/gen/tencrypt/directory/v1/directory.ts";
import { accept } from "../route/accept.ts";
import { classify } from "../route/classify.ts";
import { withLearned } from "../route/learned.ts";
import type { Learned } from "../route/learned.ts";
import { buildView } from "../route/policy.ts";
import type { LookUpAnswer, Self, View } from "../route/policy.ts";
import type { Snapshot } from "../route/snapshot.ts";
import type { DirectoryClient, DirectoryClientOptions } from "./client.ts";
import { readKept, writeKept } from "./kept.ts";
import { applyUpdate, readPods, snapshotOf } from "./knowledge.ts";
import type { Knowledge, Refused } from "./knowledge.ts";
import { Remembered } from "./remembered.ts";
import type { DirectoryRefusal, DirectorySource } from "./source.ts";

export type StreamSourceOptions = {
  readonly connect: (options: Pick<DirectoryClientOptions, "credentials">) => Promise<DirectoryClient>;
  /** Null: nothing is kept. */
  readonly stateFolder: string | null;
  readonly self: Self;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** Called with every view that replaces the one before, the first included. */
  readonly onSnapshot: (view: View) => void;
};

const lookUpMs = 2_000;
/** How often an address is asked for whose holder changes meanwhile. */
const mostQuestions = 2;
const firstRetryMs = 200;
const firstUpdateMs = 5_000;
const longestRetryMs = 5_000;
/** A cluster in motion does not write its state more often. */
const keepEveryMs = 2_000;

/** One connection's stream. It has brought something, or it has not yet. */
type Stream = {
  readonly client: DirectoryClient;
  /** Under which its controller was believed. */
  readonly roots: string;
  cancel: () => void;
  live: boolean;
};

const rootsOf = ({ roots }: Credentials): string => roots.join("");
const dialledWith = (credentials: Credentials): string => `${credentials.identity.generation} ${rootsOf(credentials)}`;

/** A look-up that is under way. `overtaken`: the controller has said since that the holder is another now. */
type Asking = { readonly answer: Promise<LookUpAnswer>; overtaken: boolean };

export class StreamSource implements DirectorySource {
  readonly #options: StreamSourceOptions;
  readonly #remembered = new Remembered();
  readonly #asking = new Map<Ip, Asking>();
  #credentials: Credentials | null = null;
  #knowledge: Knowledge | null = null;
  /** The newest accepted snapshot, without what was learned. */
  #base: Snapshot | null = null;
  #view: View | null = null;
  #refusal: DirectoryRefusal | null = null;
  #stream: Stream | null = null;
  /** Has asked for its state, and is to take the place of `#stream`. */
  #next: Stream | null = null;
  /** What the one in use has brought since the next one has asked: of use if the next one fails. */
  #meanwhile: Update[] = [];
  #connecting = 0;
  #attempts = 0;
  #isLost = false;
  #wantsWhole = false;
  #retry: Timer | null = null;
  #keeping: Timer | null = null;
  #kept = false;
  #closed = false;

  private constructor(options: StreamSourceOptions) {
    this.#options = options;
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

  refusal(): DirectoryRefusal | null {
    return this.#refusal;
  }

  /**
   * The controller knows us by the certificate of the connection, and we believe it by the roots: others need a new
   * connection. All proxies get a new bundle at once, and what else is new in it must not make them all dial.
   */
  renew(credentials: Credentials): void {
    const before = this.#credentials;
    this.#credentials = credentials;
    if (before === null || dialledWith(before) !== dialledWith(credentials)) void this.#connect();
  }

  async lookUp(ip: Ip, lastWillDo: boolean): Promise<LookUpAnswer> {
    const isFollowed = this.#stream?.live === true;
    if (lastWillDo && isFollowed && this.#remembered.isUnheld(ip, this.#options.clock.monotonic()))
      return "last-unheld";
    const asking = this.#asking.get(ip) ?? this.#ask(ip);
    const answer = await asking.answer;
    return answer === "no-answer" && lastWillDo && this.#remembered.wasUnheld(ip) ? "last-unheld" : answer;
  }

  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
    this.#keeping?.cancel();
    this.#drop();
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

  #drop(): void {
    this.#connecting++;
    end(this.#stream);
    end(this.#next);
    this.#stream = null;
    this.#next = null;
    this.#meanwhile = [];
  }

  /** The newest call counts: what an earlier one still waits for is thrown away. */
  async #connect(): Promise<void> {
    this.#connecting++;
    this.#giveUpNext();
    const credentials = this.#credentials;
    if (this.#closed || credentials === null) return;
    this.#retry?.cancel();
    const turn = this.#connecting;
    try {
      const client = await this.#options.connect({ credentials });
      if (turn !== this.#connecting) return client.close();
      if (this.#stream !== null) await this.#reached(client);
      if (turn !== this.#connecting) return client.close();
      this.#watch(client, rootsOf(credentials));
    } catch (error) {
      if (turn === this.#connecting) this.#nextLost((error as Error).message);
    }
  }

  /** The one in use goes on bringing changes while the next one's controller is dialled. */
  async #reached(client: DirectoryClient): Promise<void> {
    try {
      await client.reached(firstUpdateMs);
    } catch (error) {
      client.close();
      throw error;
    }
  }

  #watch(client: DirectoryClient, roots: string): void {
    const stream: Stream = { client, roots, cancel: () => {}, live: false };
    this.#next = stream;
    const known = this.#knowledge;
    const request = {
      version: known?.version ?? 0n,
      resume: this.#wantsWhole ? "" : (known?.resume ?? ""),
      revisions: [...(known?.revisions ?? [])],
    };
    stream.cancel = client.watch(request, {
      onUpdate: (update) => this.#updated(stream, update),
      onEnd: (why) => this.#ended(stream, why),
    });
    // The state comes at once.
    this.#options.clock.after(firstUpdateMs, () => {
      if (stream === this.#next) this.#nextLost(`no answer within ${firstUpdateMs} ms`);
    });
  }

  /** The one in use goes on where it was. */
  #giveUpNext(): void {
    end(this.#next);
    this.#next = null;
    const missed = this.#meanwhile;
    this.#meanwhile = [];
    for (const update of missed) if (this.#stream !== null) this.#updated(this.#stream, update);
  }

  #nextLost(why: string): void {
    const credentials = this.#credentials;
    if (credentials === null || this.#stream?.roots !== rootsOf(credentials)) return this.#lost(why);
    this.#giveUpNext();
    this.#options.log("info", "directory_next_failed", { why });
    this.#again();
  }

  /** The one in use may end while the next one is on its way. */
  #ended(stream: Stream, why: string): void {
    if (stream === this.#next) return this.#nextLost(why);
    if (this.#next === null) return this.#lost(why);
    end(stream);
    if (stream === this.#stream) this.#stream = null;
  }

  #lost(why: string): void {
    if (this.#closed) return;
    this.#drop();
    // Once for each outage: what fails again and again is one fact.
    if (!this.#isLost)
      this.#options.log("warn", "directory_lost", { why, inUse: this.#view?.snapshot.version ?? null });
    this.#isLost = true;
    this.#again();
  }

  #again(): void {
    const delay = Math.min(longestRetryMs, firstRetryMs * 2 ** this.#attempts) * (0.5 + this.#options.random() / 2);
    this.#attempts++;
    this.#retry?.cancel();
    this.#retry = this.#options.clock.after(delay, () => void this.#connect());
  }

  #updated(stream: Stream, update: Update): void {
    for (const address of update.forget) this.#forget(address);
    // What the next one brings goes on from where it was asked.
    if (stream === this.#stream && this.#next !== null) return void this.#meanwhile.push(update);
    if (stream !== (this.#next ?? this.#stream)) return;
    if (!stream.live) this.#begun(stream);
    const applied = applyUpdate(this.#knowledge, update);
    if (applied.kind === "refused") return this.#unreadable(applied);
    this.#wantsWhole = false;
    this.#attempts = 0;
    this.#take(applied.knowledge, applied.warnings);
    this.#keep();
  }

  /** This stream's server does not know what an earlier one was asked. */
  #begun(stream: Stream): void {
    stream.live = true;
    this.#isLost = false;
    end(this.#stream);
    this.#stream = stream;
    this.#next = null;
    this.#meanwhile = [];
    this.#remembered.clear();
    this.#options.log("info", "directory_connected", {});
  }

  #forget(address: string): void {
    const ip = parseIp(address);
    if (ip === null) return;
    this.#remembered.forget(ip);
    const asking = this.#asking.get(ip);
    if (asking !== undefined) asking.overtaken = true;
  }

  /** What follows would build on what is not there: all of it is asked for again. */
  #unreadable(refused: Refused): void {
    this.#refuse(refused);
    this.#wantsWhole = true;
    this.#lost(refused.reason);
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
    if (isNew)
      this.#options.log("warn", "directory_refused", { reason, problems, inUse: this.#view?.snapshot.version ?? null });
  }

  #show(isFirst: boolean, warnings: readonly string[]): void {
    const { self, log, onSnapshot } = this.#options;
    const before = this.#view?.policy;
    this.#view = buildView(withLearned(this.#base!, this.#remembered.held), self);
    const { mode, dryRun } = this.#view.policy;
    const isNews = isFirst || before?.mode !== mode || before.dryRun !== dryRun || warnings.length > 0;
    const { version } = this.#view.snapshot;
    log(isNews ? "info" : "debug", "directory_accepted", { version, mode, dryRun, warnings });
    onSnapshot(this.#view);
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
        const stream = this.#stream;
        if (stream === null || !stream.live) break;
        const askedAt = this.#options.clock.monotonic();
        const response = await stream.client.lookUp(ip, lookUpMs);
        if (this.#base === null) break;
        // The answer of a connection that is gone would never be taken back.
        if (stream !== this.#stream) continue;
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

function end(stream: Stream | null): void {
  stream?.cancel();
  stream?.client.close();
}

const namesHolder = ({ holders, nodeAddresses, vips, foreignVips }: Snapshot, ip: Ip): boolean =>
  [holders, nodeAddresses, vips, foreignVips].some((named) => named.has(ip));

function learnedOf({ pods, service, node }: LookupResponse): Learned | null {
  if (node !== undefined) return { kind: "node" };
  if (service !== undefined) return { kind: "service", fullName: `${service.project}/${service.name}` };
  const [first, ...more] = readPods((pods?.pods ?? []).map(fromWorkload)) ?? [];
  return first === undefined ? null : { kind: "pods", workloads: [first, ...more] };
}
