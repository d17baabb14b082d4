// The commands that people give most, with what is expected of each.

import type { Ack, ApprovalId, Mission, MissionStatus, MissionSummary, StepId, StepUpdate } from "./generated.js";
import { EXPECTED_ID, type Expected } from "./optimistic.js";
import type { MissionWatch } from "./watch.js";

let made = 0;

/** Writes to the mission's agent, for everyone who watches to see. */
export function sendMessage(watch: MissionWatch, text: string): Promise<Ack> {
  const message = `${EXPECTED_ID}${++made}`;
  return watch.command("message.send", { text }, { expect: () => [{ kind: "message_sent", message, text }] });
}

/** Changes a step: the fields that are present. */
export function updateStep(watch: MissionWatch, step: StepId, change: Omit<StepUpdate, "mission" | "step" | "idem" | "if_seq">): Promise<Ack> {
  const { title, status, assignee, result } = change;
  return watch.command("step.update", { step, ...change }, {
    expect: () => [{ kind: "step_updated", step, ...defined({ title, status, assignee, result }) }],
  });
}

/** Moves a step with everything under it: `position` of its new siblings come before it. */
export function moveStep(watch: MissionWatch, step: StepId, position: number, parent?: StepId): Promise<Ack> {
  const place = { step, position, ...defined({ parent }) };
  return watch.command("step.move", place, { expect: () => [{ kind: "step_moved", ...place }] });
}

/** Removes a step with everything under it. */
export function removeStep(watch: MissionWatch, step: StepId): Promise<Ack> {
  return watch.command("step.remove", { step }, { expect: () => [{ kind: "step_removed", step }] });
}

/** Answers what the agent asked. */
export function answer(watch: MissionWatch, approval: ApprovalId, reply: { option?: string; text?: string }): Promise<Ack> {
  const given = { approval, ...defined(reply) };
  return watch.command("approval.answer", given, { expect: () => [{ kind: "approval_answered", ...given }] });
}

/** Holds the mission. */
export function pause(watch: MissionWatch): Promise<MissionSummary> {
  return watch.command("mission.pause", {}, { expect: (mission) => statusOf(mission, "paused") });
}

/** Calls the mission off. */
export function cancel(watch: MissionWatch, reason?: string): Promise<MissionSummary> {
  return watch.command("mission.cancel", defined({ reason }), {
    expect: (mission) => statusOf(mission, "cancelled", reason),
  });
}

function statusOf(mission: Mission, to: MissionStatus, reason?: string): Expected[] {
  return mission.status === to ? [] : [{ kind: "status_changed", from: mission.status, to, ...defined({ reason }) }];
}

function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
