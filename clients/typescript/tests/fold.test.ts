// The fold, without a server: what it makes of the stories is what the server's own fold makes of them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { apply, created, skip, type EventFrame, type Mission } from "../src/index.js";
import { PACKAGE } from "./support/server.js";

interface Story {
  name: string;
  id: string;
  frames: EventFrame[];
  states: Mission[];
}

const stories: Story[] = JSON.parse(readFileSync(join(PACKAGE, "tests/fixtures/fold.json"), "utf8"));

for (const { name, id, frames, states } of stories) {
  test(`a mission ${name} is folded as the server folds it, field by field`, () => {
    const due = new Map(states.map((state) => [state.seq, state]));
    let mission = created(id, frames[0]!)!;
    for (const frame of frames) {
      const before = frame.seq === 1 ? undefined : structuredClone(mission);
      const next = frame.seq === 1 ? mission : apply(mission, frame);
      // The fold is pure: whoever holds the state of a moment ago still has it.
      if (before !== undefined) assert.deepStrictEqual(mission, before);
      mission = next;
      const state = due.get(frame.seq);
      if (state !== undefined) assert.deepStrictEqual(mission, state, `after event ${frame.seq}`);
      due.delete(frame.seq);
    }
    assert.equal(due.size, 0);
    assert.ok(states.length > 3 && mission.activity_count > mission.activity.length);
  });
}

test("a kind that this version does not know moves the position and nothing else", () => {
  const { states } = stories[0]!;
  const known = states.at(-1)!;
  const frame = { kind: "from_the_future", seq: known.seq + 1, at: "2030-01-01T00:00:00Z", by: { type: "system" } };
  const next = apply(known, frame as unknown as EventFrame);
  assert.deepStrictEqual(next, { ...known, seq: known.seq + 1, updated_at: "2030-01-01T00:00:00Z" });
});

test("what was left out of the log is counted", () => {
  const known = stories[0]!.states.at(-1)!;
  const next = skip(known, { from: known.seq + 1, to: known.seq + 10 });
  assert.deepStrictEqual(next, { ...known, seq: known.seq + 10, activity_count: known.activity_count + 10 });
});
