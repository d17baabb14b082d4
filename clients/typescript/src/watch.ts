// A mission that is watched: its state is kept up to date over lost connections, and a gap is never overlooked.

import type {
  EventFrame,
  Methods,
  Mission,
  MissionEvents,
  MissionId,
  MissionLive,
  MissionPresence,
  Notifications,
  Position,
  PresenceSet,
  Span,
  Watch,
  Watching,
} from "./generated.js";
import { Refused } from "./errors.js";
import { Listeners } from "./listeners.js";
import { STILL, applyLive, settleLive, type Live } from "./live.js";
import { Optimistic, type CommandMethod, type CommandOptions, type CommandParams } from "./optimistic.js";
import { apply, skip } from "./reducer.js";
import type { Outcome, Session } from "./session.js";
import { Subscription, type Host } from "./subscription.js";

/** What is known of a mission already, such as from an earlier run of the program. */
export interface Known {
  /** The history that `mission.seq` counts in. */
  epoch: string;
  /** The mission as it was. */
  mission: Mission;
}

/** How a mission is watched. */
export interface WatchOptions {
  /** What is known already: then only what came since is asked for. */
  since?: Known;
  /** Whether {@link MissionWatch.live} is wanted; it is where absent. */
  live?: boolean;
  /** Whether {@link MissionWatch.presence} is wanted; it is where absent. */
  presence?: boolean;
  /**
   * `coalesced`: when this side is far behind, old log entries may be left out of {@link MissionWatch.onNews}. The
   * mission is the same: those that it carries with it always come, and all are counted.
   */
  logs?: Watch["logs"];
}

/** What others are to see of the person. */
export type Presenting = Omit<PresenceSet, "mission">;

/** What a watch tells of, besides that something changed. */
export interface WatchNews {
  /** What happened, in order, each event once. Absent with `snapshot`. */
  events?: readonly EventFrame[];
  /** The state was replaced: at first, or for the reason that the server gives. */
  snapshot?: { reason: string | undefined };
}

/** A mission, watched until {@link Subscription.close} is called or the server ends it. */
export class MissionWatch extends Subscription {
  /** The mission's id. */
  readonly id: MissionId;

  protected readonly ending = "mission.unwatch";
  readonly #news = new Listeners<WatchNews>();
  readonly #optimistic: Optimistic;
  #epoch: string | undefined;
  #base: Mission | undefined;
  #head = 0;
  #presence: MissionPresence | undefined;
  #live: Live = STILL;
  /** What others were told to see; told again on a new connection. */
  #presenting: Presenting | undefined;
  /** What of it was not told yet, since the server has not answered to what was told before. */
  #untold: Presenting | undefined;
  /** The telling that is under way. */
  #telling: object | undefined;
  readonly #wishes: Pick<Watch, "live" | "presence" | "logs">;

  constructor(host: Host, id: MissionId, me: () => { id: string; name: string }, options: WatchOptions) {
    super(host);
    this.id = id;
    this.#epoch = options.since?.epoch;
    this.#base = options.since?.mission;
    const { live, presence, logs } = options;
    this.#wishes = { ...(live === false && { live }), ...(presence === false && { presence }), ...(logs && { logs }) };
    this.#optimistic = new Optimistic(host, id, me, () => this.changed());
  }

  /** The mission: what the server confirmed, and on top of it what this side expects of commands under way. */
  get mission(): Mission | undefined {
    return this.#base && this.#optimistic.view(this.#base);
  }

  /** The mission as the server confirmed it. */
  get confirmed(): Mission | undefined {
    return this.#base;
  }

  /** Where in the mission's history this is: with {@link confirmed} all that a later run needs to go on from here. */
  get position(): Position | undefined {
    if (this.#epoch === undefined || this.#base === undefined) return undefined;
    return { epoch: this.#epoch, seq: this.#base.seq };
  }

  /** Whether everything is here that had happened when the watch began on the present connection. */
  get caughtUp(): boolean {
    return this.state === "live" && this.#base !== undefined && this.#base.seq >= this.#head;
  }

  /** Who is there; nothing before the server said so, and while there is no connection. */
  get presence(): MissionPresence | undefined {
    return this.#presence;
  }

  /** What goes on now and is never stored: text as it is being said, who is writing, who points where. */
  get live(): Live {
    return this.#live;
  }

  /**
   * Tells the others who watch what this person looks at, has seen, writes, or points at: the fields that are
   * present. It may be called at every movement: the newest of each field is told as fast as the server takes it.
   * It may be lost, and what lasts is told again on every new connection.
   */
  present(presenting: Presenting): void {
    this.#presenting = { ...this.#presenting, ...presenting };
    this.#untold = { ...this.#untold, ...presenting };
    this.#tellOthers();
  }

  /** Calls `listener` with what happens; what is returned ends that. */
  onNews(listener: (news: WatchNews) => void): () => void {
    return this.#news.add(listener);
  }

  /**
   * Calls an operation of this mission. What it will do, as far as `expect` tells, is seen in {@link mission} at
   * once: until the event that it causes arrives, or the server refuses it. It is carried out once, also when the
   * connection is lost meanwhile.
   */
  command<M extends CommandMethod>(
    method: M,
    params: CommandParams<M>,
    options: CommandOptions = {},
  ): Promise<Methods[M]["result"]> {
    return this.#optimistic.command(method, params, options, this.#base);
  }

  protected override request(session: Session, name: string): void {
    const since = this.position;
    const params = { mission: this.id, sub: name, ...(since && { since }), ...this.#wishes };
    session.request("mission.watch", params, (outcome: Outcome<Watching>) => {
      this.settled(name, outcome, (watching) => this.#begin(watching));
    });
  }

  protected override heard<N extends keyof Notifications>(method: N, params: Notifications[N]): void {
    if (method === "mission.events") {
      this.#happened(params as MissionEvents);
    } else if (method === "mission.presence") {
      this.#presence = params as MissionPresence;
      this.changed();
    } else if (method === "mission.live") {
      this.#live = applyLive(this.#live, params as MissionLive);
      this.changed();
    }
  }

  protected override lost(): void {
    // Who is there, writes, or points is not known while nothing is heard.
    this.#presence = undefined;
    this.#live = { ...STILL, texts: this.#live.texts };
    if (this.state === "ended") this.#optimistic.settleAll();
  }

  /** Tells what is new, one request at a time. */
  #tellOthers(): void {
    const presenting = this.#untold;
    if (presenting === undefined || this.#telling !== undefined || this.state !== "live") return;
    this.#untold = undefined;
    const telling = (this.#telling = {});
    const goOn = (): void => {
      // One of an earlier connection has no say.
      if (this.#telling !== telling) return;
      this.#telling = undefined;
      this.#tellOthers();
    };
    this.session?.request("presence.set", { ...presenting, mission: this.id }, (outcome) => {
      const later = "error" in outcome && outcome.error instanceof Refused ? outcome.error.retryAfterMs : undefined;
      if (later === undefined) return goOn();
      this.#untold = { ...presenting, ...this.#untold };
      setTimeout(goOn, later);
    });
  }

  #begin(watching: Watching): void {
    this.#head = watching.head;
    // A text that broke off while nothing was heard would stand there for ever.
    this.#live = STILL;
    this.#telling = undefined;
    const { typing: _, ...lasting } = this.#presenting ?? {};
    this.#untold = Object.keys(lasting).length > 0 ? lasting : undefined;
    this.#tellOthers();
    if (watching.resumed) return;
    this.#epoch = watching.epoch;
    this.#base = watching.snapshot;
    if (this.#base) this.#optimistic.confirmed(this.#base, []);
    this.#news.tell({ snapshot: { reason: watching.reason } });
  }

  /** Takes what is new of `frame`; if anything is missing before it or in it, asks for that instead. */
  #happened(frame: MissionEvents): void {
    const mission = this.#base;
    // Frames before the answer to the request are about a watch that began elsewhere.
    if (this.state !== "live" || mission === undefined) return;
    if (frame.epoch !== this.#epoch) return this.askAnew("the mission's history was replaced");
    const fresh: EventFrame[] = [];
    let next = mission;
    for (const piece of inOrder(frame.events, frame.skipped ?? [])) {
      const [from, to] = "kind" in piece ? [piece.seq, piece.seq] : [Math.max(piece.from, next.seq + 1), piece.to];
      if (to <= next.seq) continue;
      if (from !== next.seq + 1) break;
      if ("kind" in piece) {
        fresh.push(piece);
        this.#live = settleLive(this.#live, piece);
      }
      next = "kind" in piece ? apply(next, piece) : skip(next, { from, to });
    }
    if (next !== mission) {
      this.#base = next;
      this.#optimistic.confirmed(next, fresh);
      this.#news.tell({ events: fresh });
    }
    if (next.seq < frame.to) {
      return this.askAnew(`events are missing after ${next.seq}, in a frame up to ${frame.to}`);
    }
    if (next !== mission) this.changed();
  }
}

/** Events and ranges that were left out, as they follow each other. */
function inOrder(events: readonly EventFrame[], skipped: readonly Span[]): readonly (EventFrame | Span)[] {
  if (skipped.length === 0) return events;
  const start = (piece: EventFrame | Span): number => ("kind" in piece ? piece.seq : piece.from);
  return [...events, ...skipped].sort((a, b) => start(a) - start(b));
}
