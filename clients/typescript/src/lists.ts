// Live lists: missions for a dashboard, and what waits for a person.

import type {
  InboxChange,
  InboxChanged,
  InboxItem,
  ListOrder,
  MissionChange,
  MissionsChanged,
  MissionSummary,
  MissionsWatch,
  Notifications,
  Priority,
} from "./generated.js";
import type { Session } from "./session.js";
import { Subscription, type Host } from "./subscription.js";

/** Which missions to watch, and in which order. */
export type MissionsQuery = Omit<MissionsWatch, "sub">;

const URGENCY: Record<Priority, number> = { low: 0, normal: 1, high: 2, urgent: 3 };

/** Sorts as the server does: what comes first in `order`, and where two are alike, the newer one. */
export function inListOrder(order: ListOrder): (a: MissionSummary, b: MissionSummary) => number {
  // Ids are made in the order of time.
  const newer = (a: MissionSummary, b: MissionSummary): number => compare(b.id, a.id);
  switch (order) {
    case "priority":
      return (a, b) => URGENCY[b.priority] - URGENCY[a.priority] || newer(a, b);
    case "title":
      return (a, b) => compareByCharacter(a.title.toLowerCase(), b.title.toLowerCase()) || newer(a, b);
    default:
      return newer;
  }
}

/** A list after changes of it; `list` itself stays as it is. */
export function applyMissionChanges(
  list: readonly MissionSummary[],
  { reset, changes }: { reset: boolean; changes: readonly MissionChange[] },
  order: ListOrder,
): MissionSummary[] {
  const known = new Map((reset ? [] : list).map((mission) => [mission.id, mission]));
  for (const change of changes) {
    if (change.op === "put") known.set(change.mission.id, change.mission);
    else if (change.op === "remove") known.delete(change.id);
  }
  return [...known.values()].sort(inListOrder(order));
}

/** An inbox after changes of it, newest first, as the server sorts it: by ids; `items` itself stays as it is. */
export function applyInboxChanges(
  items: readonly InboxItem[],
  { reset, changes }: { reset: boolean; changes: readonly InboxChange[] },
): InboxItem[] {
  const known = new Map((reset ? [] : items).map((item) => [item.id, item]));
  for (const change of changes) {
    if (change.op === "put") known.set(change.item.id, change.item);
    else if (change.op === "remove") known.delete(change.id);
  }
  // Ids are made in the order of time.
  return [...known.values()].sort((a, b) => compare(b.id, a.id));
}

/** A list of missions, watched until it is closed. */
export class MissionList extends Subscription {
  protected readonly ending = "missions.unwatch";
  readonly #query: MissionsQuery;
  #items: readonly MissionSummary[] | undefined;

  constructor(host: Host, query: MissionsQuery) {
    super(host);
    this.#query = query;
  }

  /** The missions, in order; nothing before the server gave them. */
  get items(): readonly MissionSummary[] | undefined {
    return this.#items;
  }

  protected override request(session: Session, sub: string): void {
    session.request("missions.watch", { ...this.#query, sub }, (outcome) => {
      this.settled(sub, outcome, ({ items }) => (this.#items = items));
    });
  }

  protected override heard<N extends keyof Notifications>(method: N, params: Notifications[N]): void {
    if (method !== "missions.changed" || this.#items === undefined) return;
    this.#items = applyMissionChanges(this.#items, params as MissionsChanged, this.#query.order ?? "newest");
    this.changed();
  }

  protected override lost(): void {}
}

/** What waits for the person, watched until it is closed. */
export class Inbox extends Subscription {
  protected readonly ending = "inbox.unwatch";
  #items: readonly InboxItem[] | undefined;

  /** The items, newest first; nothing before the server gave them. */
  get items(): readonly InboxItem[] | undefined {
    return this.#items;
  }

  protected override request(session: Session, sub: string): void {
    session.request("inbox.watch", { sub }, (outcome) => {
      this.settled(sub, outcome, ({ items }) => (this.#items = items));
    });
  }

  protected override heard<N extends keyof Notifications>(method: N, params: Notifications[N]): void {
    if (method !== "inbox.changed" || this.#items === undefined) return;
    this.#items = applyInboxChanges(this.#items, params as InboxChanged);
    this.changed();
  }

  protected override lost(): void {}
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Whole characters by their numbers, as the server compares them, and not the halves that JavaScript has. */
function compareByCharacter(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  for (let place = 0; place < Math.min(left.length, right.length); place++) {
    const difference = (left[place]?.codePointAt(0) ?? 0) - (right[place]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
