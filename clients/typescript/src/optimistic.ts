// Commands whose effect is seen at once: expected events on top of the confirmed state, taken back when they do not come.

import type { EventFrame, Method, Methods, Mission, MissionId } from "./generated.js";
import { apply } from "./reducer.js";

/** Operations of a mission that change something. */
export type CommandMethod = {
  [M in Method]: Methods[M]["params"] extends { mission: MissionId } ? M : never;
}[Method] &
  (`mission.${"update" | "delete" | "start" | "pause" | "resume" | "complete" | "cancel"}` | `${"step" | "activity" | "message" | "approval"}.${string}`);

/** The parameters of a command, without what the watch fills in. */
export type CommandParams<M extends CommandMethod> = Omit<Methods[M]["params"], "mission" | "idem" | "if_seq">;

/** An event, without what the server adds to it. */
export type Expected = EventFrame extends infer F
  ? F extends EventFrame
    ? Omit<F, "seq" | "at" | "by" | "cause">
    : never
  : never;

/** How a command is carried out. */
export interface CommandOptions {
  /** The events that the command is expected to cause, given the mission as it is. */
  expect?: (mission: Mission) => readonly Expected[];
  /** Refuse it with `seq_conflict` if anything has happened in the mission that is not here yet. */
  unlessChanged?: boolean;
}

/** What an expected event names what it makes by, until the server has given it an id. */
export const EXPECTED_ID = "expected-";

/** What carries a command out. */
export interface Caller {
  call<M extends Method>(method: M, params: Methods[M]["params"]): Promise<Methods[M]["result"]>;
}

interface Pending {
  /** The events that are still expected. */
  expected: (mission: Mission) => readonly Expected[];
  /** Those of them that came already. */
  arrived: EventFrame[];
  at: string;
  /** Once the command is carried out: its id, and the position by which all its events are there. */
  done?: { command: string | undefined; seq: number };
}

/** The commands of one watch that are under way. */
export class Optimistic {
  readonly #caller: Caller;
  readonly #mission: MissionId;
  readonly #me: () => { id: string; name: string };
  readonly #changed: () => void;
  #pending: Pending[] = [];
  #seen: { base: Mission; view: Mission } | undefined;
  #latest: Mission | undefined;
  #over = false;

  constructor(caller: Caller, mission: MissionId, me: () => { id: string; name: string }, changed: () => void) {
    this.#caller = caller;
    this.#mission = mission;
    this.#me = me;
    this.#changed = changed;
  }

  /** `base` with all that is expected on top of it. */
  view(base: Mission): Mission {
    if (this.#pending.length === 0) return base;
    if (this.#seen?.base !== base) {
      const view = this.#pending.reduce((mission, pending) => this.#foresee(mission, pending), base);
      this.#seen = { base, view };
    }
    return this.#seen.view;
  }

  /** Calls the operation, and shows what is expected of it meanwhile. */
  async command<M extends CommandMethod>(
    method: M,
    params: CommandParams<M>,
    { expect, unlessChanged }: CommandOptions,
    base: Mission | undefined,
  ): Promise<Methods[M]["result"]> {
    const pending: Pending = { expected: expect ?? (() => []), arrived: [], at: new Date().toISOString() };
    if (expect !== undefined && !this.#over) {
      this.#pending.push(pending);
      this.#redraw();
    }
    try {
      const guard = unlessChanged && base ? { if_seq: base.seq } : {};
      const all = { ...params, ...guard, mission: this.#mission } as unknown as Methods[M]["params"];
      const result = await this.#caller.call(method, all);
      const { seq, command } = result as { seq: number; command?: string };
      pending.done = { command, seq };
      if (this.#over || (this.#latest?.seq ?? 0) >= seq) this.#drop(pending);
      return result;
    } catch (error) {
      this.#drop(pending);
      throw error;
    }
  }

  /** The server confirmed `base`, the last part of it by `events`: what was expected of it is no longer. */
  confirmed(base: Mission, events: readonly EventFrame[]): void {
    this.#latest = base;
    this.#seen = undefined;
    this.#pending = this.#pending.filter(({ done }) => {
      if (done === undefined) return true;
      const { seq, command } = done;
      return base.seq < seq && !events.some((event) => command !== undefined && event.cause?.command === command);
    });
    // An event may come before the answer to its command: then it must not be seen twice until that is there.
    const me = this.#me().id;
    for (const event of events) {
      if (event.by.type !== "person" || event.by.id !== me) continue;
      this.#pending.find((pending) => this.#waitsFor(pending, event, base))?.arrived.push(event);
    }
  }

  #waitsFor(pending: Pending, event: EventFrame, base: Mission): boolean {
    const open = this.#expected(base, pending).filter((expected) => isWhatWasExpected(event, expected));
    return open.length > pending.arrived.filter((came) => open.some((expected) => isWhatWasExpected(came, expected))).length;
  }

  /** Nothing more will be confirmed. */
  settleAll(): void {
    this.#over = true;
    this.#pending = [];
    this.#seen = undefined;
  }

  #foresee(mission: Mission, pending: Pending): Mission {
    const arrived = [...pending.arrived];
    let next = mission;
    for (const expected of this.#expected(mission, pending)) {
      const place = arrived.findIndex((event) => isWhatWasExpected(event, expected));
      if (place >= 0) {
        arrived.splice(place, 1);
        continue;
      }
      const { id, name } = this.#me();
      const frame = { ...expected, seq: next.seq, at: pending.at, by: { type: "person", id, name } } as EventFrame;
      next = { ...apply(next, frame), updated_at: mission.updated_at };
    }
    return next;
  }

  /** A mission that has changed may be none that the command's author thought of. */
  #expected(mission: Mission, pending: Pending): readonly Expected[] {
    try {
      return pending.expected(mission);
    } catch {
      return [];
    }
  }

  #drop(pending: Pending): void {
    if (!this.#pending.includes(pending)) return;
    this.#pending = this.#pending.filter((other) => other !== pending);
    this.#redraw();
  }

  #redraw(): void {
    this.#seen = undefined;
    this.#changed();
  }
}

/** Whether all that was expected, but for ids that nobody could know, is in what came. */
function isWhatWasExpected(event: EventFrame, expected: Expected): boolean {
  const came = event as unknown as Record<string, unknown>;
  return Object.entries(expected).every(([name, value]) => {
    const made = typeof value === "string" && value.startsWith(EXPECTED_ID);
    return made || JSON.stringify(came[name]) === JSON.stringify(value);
  });
}
