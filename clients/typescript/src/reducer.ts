// The fold: how an event changes a mission. Field by field what `protocol/src/model/apply.rs` does on the server.

import {
  RECENT_ACTIVITY,
  RECENT_MESSAGES,
  type Approval,
  type Document,
  type EventFrame,
  type Mission,
  type MissionId,
  type MissionStatus,
  type Step,
  type StepId,
  type StepStatus,
} from "./generated.js";

/** The largest number that JSON brings over unharmed. */
const MOST = Number.MAX_SAFE_INTEGER;

/** The mission `id` after its first event; nothing where that is not `mission_created`. */
export function created(id: MissionId, frame: EventFrame): Mission | undefined {
  if (frame.kind !== "mission_created") return undefined;
  return compact<Mission>({
    id,
    organization: frame.organization,
    title: frame.title,
    type: frame.type,
    status: "pending",
    priority: frame.priority,
    progress: 0,
    progress_reported: false,
    owner: frame.by,
    template: frame.template,
    input: frame.input,
    agent: frame.agent === undefined ? undefined : { kind: frame.agent, state: "stopped", incarnation: 0 },
    created_at: frame.at,
    estimated_at: frame.estimated_at,
    updated_at: frame.at,
    seq: frame.seq,
    plan: [],
    activity: [],
    activity_count: 0,
    messages: [],
    documents: [],
    approvals: [],
    usage: { input_tokens: 0, output_tokens: 0, cost_micros: 0 },
  });
}

/**
 * The mission after `frame`; `mission` itself stays as it is. An event about something that the mission
 * does not have, or of a kind that this version does not know, changes nothing but the position.
 */
export function apply(mission: Mission, frame: EventFrame): Mission {
  const next: Mission = { ...mission, seq: frame.seq, updated_at: frame.at };
  switch (frame.kind) {
    case "mission_updated":
      if (frame.title !== undefined) next.title = frame.title;
      if (frame.type !== undefined) next.type = frame.type;
      if (frame.priority !== undefined) next.priority = frame.priority;
      if (frame.input !== undefined) next.input = frame.input;
      if (frame.estimated_at !== undefined) next.estimated_at = frame.estimated_at;
      break;
    case "status_changed":
      moveOn(next, frame);
      break;
    case "progress_reported":
      next.progress = Math.min(frame.percent, 100);
      next.progress_reported = true;
      break;
    case "step_added":
    case "step_updated":
    case "step_moved":
    case "step_removed":
      changePlan(next, frame);
      break;
    case "activity_logged": {
      const { activity: id, type, message, details, step, seq, at, by } = frame;
      next.activity_count += 1;
      next.activity = recent(mission.activity, RECENT_ACTIVITY, compact({ id, seq, at, by, type, message, details, step }));
      break;
    }
    case "message_sent": {
      const { message: id, text, seq, at, by } = frame;
      next.messages = recent(mission.messages, RECENT_MESSAGES, { id, seq, at, by, text });
      break;
    }
    case "document_delivered":
      next.documents = deliver(mission.documents, documentOf(mission.id, frame));
      break;
    case "approval_requested":
      next.approvals = [...mission.approvals, approvalOf(frame)];
      break;
    case "approval_answered": {
      const { option, text, at, by } = frame;
      const answer = compact({ option, text, at, by });
      next.approvals = replace(mission.approvals, frame.approval, (asked) => ({ ...asked, status: "answered", answer }));
      break;
    }
    case "approval_withdrawn":
      next.approvals = replace(mission.approvals, frame.approval, (asked) => ({ ...asked, status: "withdrawn" }));
      break;
    case "usage_reported": {
      const { input_tokens, output_tokens, cost_micros } = mission.usage;
      next.usage = {
        input_tokens: Math.min(MOST, input_tokens + frame.input_tokens),
        output_tokens: Math.min(MOST, output_tokens + frame.output_tokens),
        cost_micros: Math.min(MOST, cost_micros + frame.cost_micros),
      };
      break;
    }
    case "agent_started":
      if (mission.agent) next.agent = { ...mission.agent, state: "running", incarnation: frame.incarnation };
      break;
    case "agent_exited":
      if (mission.agent) {
        next.agent = { ...mission.agent, state: frame.restart_in_ms === undefined ? "stopped" : "restarting" };
      }
      break;
    case "checkpoint_saved":
      if (mission.agent) next.agent = { ...mission.agent, checkpoint_at: frame.at };
      break;
    default:
      break;
  }
  return next;
}

/** The mission after a range of old log entries that the server left out: they are counted, and it carries none of them. */
export function skip(mission: Mission, range: { from: number; to: number }): Mission {
  const left = range.to - range.from + 1;
  return { ...mission, seq: Math.max(mission.seq, range.to), activity_count: mission.activity_count + left };
}

/** `step` and everything under it. */
export function subtree(plan: readonly Step[], step: StepId): Set<StepId> {
  const found = new Set([step]);
  for (;;) {
    const before = found.size;
    for (const known of plan) {
      if (known.parent !== undefined && found.has(known.parent)) found.add(known.id);
    }
    if (found.size === before) return found;
  }
}

type Kind<K extends EventFrame["kind"]> = Extract<EventFrame, { kind: K }>;

function moveOn(next: Mission, frame: Kind<"status_changed">): void {
  next.status = frame.to;
  assign(next, "status_reason", frame.reason);
  if (isActive(frame.to)) next.started_at ??= frame.at;
  if (isEnded(frame.to)) {
    next.completed_at = frame.at;
    assign(next, "result", frame.result);
  }
  if (frame.to === "completed") next.progress = 100;
  // A restart that was due does not happen any more.
  if (!isActive(frame.to) && next.agent?.state === "restarting") next.agent = { ...next.agent, state: "stopped" };
}

function changePlan(next: Mission, frame: Kind<"step_added" | "step_updated" | "step_moved" | "step_removed">): void {
  const index = next.plan.findIndex((step) => step.id === frame.step);
  const known = next.plan[index];
  const changed = { changed_at: frame.at, changed_by: frame.by };
  if (frame.kind === "step_added") {
    const { step: id, parent, key, title, assignee, result } = frame;
    const added = compact<Step>({ id, parent, key, title, status: "pending", assignee, result, ...changed });
    next.plan = insert(next.plan, withStatus(added, frame.status, frame.at), frame.position);
  } else if (frame.kind === "step_removed") {
    const doomed = subtree(next.plan, frame.step);
    next.plan = next.plan.filter((step) => !doomed.has(step.id));
  } else if (known === undefined) {
    return;
  } else if (frame.kind === "step_updated") {
    const { title, assignee, result } = frame;
    const fields = { ...known, ...compact<Partial<Step>>({ title, assignee, result }), ...changed };
    next.plan = [...next.plan];
    next.plan[index] = frame.status === undefined ? fields : withStatus(fields, frame.status, frame.at);
  } else {
    const moved: Step = { ...known, ...changed };
    assign(moved, "parent", frame.parent);
    next.plan = insert(next.plan.filter((step) => step !== known), moved, frame.position);
  }
  measureProgress(next);
}

/** Puts `step` among its siblings, `position` of them before it. */
function insert(plan: readonly Step[], step: Step, position: number): Step[] {
  const siblings = plan.filter((known) => known.parent === step.parent);
  const after = siblings[position];
  const place = after === undefined ? plan.length : plan.indexOf(after);
  return [...plan.slice(0, place), step, ...plan.slice(place)];
}

function withStatus(step: Step, status: StepStatus, at: string): Step {
  const next = { ...step, status };
  if (status === "running") next.started_at ??= at;
  assign(next, "ended_at", ["completed", "failed", "skipped"].includes(status) ? at : undefined);
  return next;
}

/** Progress is the part of the leaves of the plan that is settled. */
function measureProgress(next: Mission): void {
  if (next.progress_reported || isEnded(next.status)) return;
  const parents = new Set(next.plan.map((step) => step.parent));
  const leaves = next.plan.filter((step) => !parents.has(step.id));
  const settled = leaves.filter((step) => step.status === "completed" || step.status === "skipped").length;
  next.progress = leaves.length === 0 ? 0 : Math.floor((settled * 100) / leaves.length);
}

function documentOf(mission: MissionId, frame: Kind<"document_delivered">): Document {
  const { document: id, name, version, media_type, size, sha256, source, status, at, by } = frame;
  const kept = { id, mission, name, version, media_type, size, sha256, source, status, delivered_at: at, delivered_by: by };
  return compact<Document>(kept);
}

function deliver(documents: readonly Document[], delivered: Document): Document[] {
  const known = documents.some((document) => document.id === delivered.id);
  return known ? replace(documents, delivered.id, () => delivered) : [...documents, delivered];
}

function approvalOf(frame: Kind<"approval_requested">): Approval {
  const { approval: id, key, prompt, options, at, by } = frame;
  const shown = options?.length ? options : undefined;
  return compact<Approval>({ id, key, prompt, options: shown, status: "pending", asked_at: at, asked_by: by });
}

function isActive(status: MissionStatus): boolean {
  return status === "queued" || status === "running" || status === "waiting";
}

function isEnded(status: MissionStatus): boolean {
  return status === "completed" || status === "failed" || status === "cancelled";
}

/** The list with the entry `id` changed. */
function replace<T extends { id: string }>(list: readonly T[], id: string, change: (entry: T) => T): T[] {
  return list.map((entry) => (entry.id === id ? change(entry) : entry));
}

/** The newest `bound` of the list and `entry`. */
function recent<T>(list: readonly T[], bound: number, entry: T): T[] {
  return [...list.slice(Math.max(0, list.length - bound + 1)), entry];
}

/** Sets a field that is absent rather than undefined, as it is on the wire. */
function assign<T, K extends keyof T>(target: T, key: K, value: T[K] | undefined): void {
  if (value === undefined) delete target[key];
  else target[key] = value;
}

/** The object without what is undefined. */
function compact<T extends object>(object: { [K in keyof T]: T[K] | undefined }): T {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as T;
}
