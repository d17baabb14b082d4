// The small folds, without a server: what is never stored, lists of missions, and the inbox.

import assert from "node:assert/strict";
import test from "node:test";
import {
  STILL,
  applyInboxChanges,
  applyLive,
  applyMissionChanges,
  settleLive,
  type EventFrame,
  type InboxItem,
  type LiveItem,
  type MissionSummary,
  type Priority,
} from "../src/index.js";

const agent = { type: "agent", kind: "draft", incarnation: 1 } as const;

function say(stream: string, text: string): LiveItem {
  return { type: "text", stream, by: agent, text };
}

test("live text grows, is replaced by what is whole, and ends with its event", () => {
  const first = applyLive(STILL, { whole: false, items: [say("a", "De"), say("b", "x"), say("a", "ar")] });
  assert.deepEqual(first.texts.map(({ stream, text }) => [stream, text]), [["a", "Dear"], ["b", "x"]]);
  const whole = applyLive(first, { whole: true, items: [say("a", "Dear Sir")] });
  assert.deepEqual(whole.texts.map(({ text }) => text), ["Dear Sir"]);
  const event = { kind: "activity_logged", stream: "a", seq: 7, at: "", by: agent, activity: "", type: "text", message: "Dear Sir," };
  assert.deepEqual(settleLive(whole, event as EventFrame), STILL);
  assert.deepEqual(applyLive(whole, { whole: false, items: [{ type: "text_end", stream: "a" }] }), STILL);
  assert.equal(STILL.texts.length, 0, "nobody's state was changed");
});

test("who writes and points is there once, until they stop", () => {
  const typing = (user: string, on: boolean): LiveItem => ({ type: "typing", user, name: user, on });
  const cursor = (user: string, at: unknown): LiveItem => ({ type: "cursor", user, name: user, at });
  const items = [typing("vera", true), typing("max", true), typing("vera", true), cursor("vera", { line: 1 }), cursor("vera", { line: 2 })];
  const live = applyLive(STILL, { whole: false, items });
  assert.deepEqual(live.typing.map(({ user }) => user), ["max", "vera"]);
  assert.deepEqual(live.cursors, [{ user: "vera", name: "vera", at: { line: 2 } }]);
  const still = applyLive(live, { whole: false, items: [typing("max", false), typing("vera", false), cursor("vera", null)] });
  assert.deepEqual(still, STILL);
});

test("what a later version adds is let be", () => {
  const item = { type: "from_the_future" } as unknown as LiveItem;
  assert.deepEqual(applyLive(STILL, { whole: false, items: [item] }), STILL);
});

/** Missions whose ids are in the order of time. */
function summary(n: number, title: string, priority: Priority = "normal"): MissionSummary {
  const id = `00000000-0000-7000-8000-00000000000${n}`;
  const by = { type: "system" } as const;
  return { id, organization: "", title, type: "general", status: "pending", priority, progress: 0, owner: by, created_at: "", seq: 1 };
}

test("a list of missions stays in the order of the server", () => {
  const all = [summary(1, "beta", "high"), summary(2, "Alpha"), summary(3, "alpha", "urgent"), summary(4, "\u{1f680}"), summary(5, "\ufb00")];
  const changes = all.map((mission) => ({ op: "put" as const, mission }));
  const ids = (order: "newest" | "priority" | "title"): number[] =>
    applyMissionChanges([], { reset: true, changes }, order).map(({ id }) => Number(id.at(-1)));
  assert.deepEqual(ids("newest"), [5, 4, 3, 2, 1]);
  assert.deepEqual(ids("priority"), [3, 1, 5, 4, 2]);
  // By characters, and not by the halves of which JavaScript makes some: a rocket comes after a ligature.
  assert.deepEqual(ids("title"), [3, 2, 1, 5, 4]);
});

test("changes put, replace and remove, and a reset forgets", () => {
  const list = [summary(2, "two"), summary(1, "one")];
  const changed = applyMissionChanges(
    list,
    { reset: false, changes: [{ op: "put", mission: summary(1, "uno") }, { op: "remove", id: summary(2, "").id }, { op: "put", mission: summary(3, "three") }] },
    "newest",
  );
  assert.deepEqual(changed.map(({ title }) => title), ["three", "uno"]);
  assert.deepEqual(applyMissionChanges(list, { reset: true, changes: [] }, "newest"), []);
  assert.deepEqual(list.map(({ title }) => title), ["two", "one"]);
});

test("an inbox has the newest first, by ids, as the server sorts it", () => {
  const at = "2026-01-31T12:00:00.000Z";
  const item = (n: number, at: string): InboxItem => ({ id: `${n}`, kind: "approval", mission: "", title: "", at });
  // Whose moment is the later one does not count: the list that the server gives does not change its order.
  const changes = [item(1, "2026-01-31T12:00:00.001Z"), item(3, at), item(2, at)].map((item) => ({ op: "put" as const, item }));
  const items = applyInboxChanges([], { reset: false, changes });
  assert.deepEqual(items.map(({ id }) => id), ["3", "2", "1"]);
  assert.deepEqual(applyInboxChanges(items, { reset: false, changes: [{ op: "remove", id: "2" }] }).map(({ id }) => id), ["3", "1"]);
});
