// @generated from the operations table of the protocol crate, by its test `typescript`; UPDATE_DOCS=1 makes it anew.

/** The protocol that this is about. */
export const PROFILE = "flightdeck.v1";
/** How many of the newest activities a mission carries with it. */
export const RECENT_ACTIVITY = 50;
/** How many of the newest messages a mission carries with it. */
export const RECENT_MESSAGES = 50;

/** A command was carried out, and what follows from it is on disk. */
export interface Ack {
  /** The command's id: the events that follow from it name it as their cause. */
  command: CommandId;
  /** The id of what was made, if something was. */
  id?: string;
  /** The mission. */
  mission: MissionId;
  /** The position of the mission's newest event once the command was carried out. */
  seq: number;
}

/** An entry of a mission's activity log. */
export interface Activity {
  /** When. */
  at: Timestamp;
  /** Who logged it. */
  by: Author;
  /** Anything more, as the author has it. */
  details?: unknown;
  /** Its id. */
  id: ActivityId;
  /** A sentence. */
  message: string;
  /** The position of the event that logged it. */
  seq: number;
  /** The step that it belongs to. */
  step?: StepId;
  /** What kind of thing it tells of. */
  type: ActivityType;
}

/** An activity to log. */
export interface ActivityAdd {
  /** Anything more, 16 KiB of JSON at most, and 64 arrays and objects within each other. */
  details?: unknown;
  /** A sentence of 1 to 4,000 characters. */
  message: string;
  /** The mission. */
  mission: MissionId;
  /** The step that it belongs to. */
  step?: StepId;
  /** What kind of thing it tells of. */
  type?: ActivityType;
}

/** An entry of a mission's activity log. */
export type ActivityId = string;

/** A page of the activity log, newest first. */
export interface ActivityPage {
  /** The entries. A page may hold fewer than asked for and still have a `next`. */
  items: Activity[];
  /** What to give as `before` for the next page; absent on the last. */
  next?: number;
}

/** Which activities to list. */
export interface ActivityQuery {
  /** Those of the author of this name alone. */
  author?: string;
  /** Those before this position: the `next` of the page before. */
  before?: number;
  /** How many at most: 1 to 200, 50 where absent. */
  limit?: number;
  /** The mission. */
  mission: MissionId;
  /** Those of this step alone. */
  step?: StepId;
  /** Those of this type alone. */
  type?: ActivityType;
}

/** What kind of thing an activity tells of. */
export type ActivityType =
  /** Something happened. */
  | "info"
  /** Something was achieved. */
  | "success"
  /** Something is odd and the work goes on. */
  | "warning"
  /** Something went wrong. */
  | "error"
  /** A line that the agent printed without saying what it is. */
  | "log"
  /** What the agent says. */
  | "text";

/** What a mission's agent process is doing. */
export type AgentState =
  /** There is no process. */
  | "stopped"
  /** A process runs. */
  | "running"
  /** The process ended by itself and is started again after a pause. */
  | "restarting";

/** A mission's agent, as people see it. */
export interface AgentView {
  /** When it last saved how far it is. */
  checkpoint_at?: Timestamp;
  /** Which run of it this is, or was: 0 before the first. */
  incarnation: number;
  /** The agent kind, as set up on the server. */
  kind: string;
  /** What its process is doing. */
  state: AgentState;
}

/** Something that an agent asked. */
export interface Approval {
  /** The answer. */
  answer?: ApprovalAnswer;
  /** When it was asked. */
  asked_at: Timestamp;
  /** Who asked. */
  asked_by: Author;
  /** Its id. */
  id: ApprovalId;
  /** The agent's own name for it; asking again under the same key changes nothing. */
  key: string;
  /** What may be chosen; empty where the answer is free text. */
  options?: ApprovalOption[];
  /** What is asked. */
  prompt: string;
  /** Whether an answer is there. */
  status: ApprovalStatus;
}

/** An answer. */
export interface ApprovalAnswer {
  /** When. */
  at: Timestamp;
  /** Who answered. */
  by: Author;
  /** The chosen option. */
  option?: string;
  /** What was written. */
  text?: string;
}

/** A question or an approval that waits for a person. */
export type ApprovalId = string;

/** One of the answers that may be chosen. */
export interface ApprovalOption {
  /** What the answer names it by. */
  id: string;
  /** What people read. */
  label: string;
}

/** An answer to what an agent asked. */
export interface ApprovalReply {
  /** What is answered. */
  approval: ApprovalId;
  /** The mission. */
  mission: MissionId;
  /** The chosen option; needed where there are options. */
  option?: string;
  /** What is written, 16,000 characters at most; needed where there are no options. */
  text?: string;
}

/** Whether an answer is there. */
export type ApprovalStatus =
  /** It waits for an answer. */
  | "pending"
  /** It was answered by a person. */
  | "answered"
  /** The mission ended before anyone answered. */
  | "withdrawn";

/** Who caused an event: a person, one run of an agent, or the server itself. */
export type Author =
  /** A person. */
  | {
    /** Who. */
    id: UserId;
    /** The person's user name at the time. */
    name: string;
    type: "person";
  }
  /** A mission's agent. */
  | {
    /** Which run of the agent: 1 for the first process, one more for each restart. */
    incarnation: number;
    /** The agent kind. */
    kind: string;
    type: "agent";
  }
  /** The server. */
  | { type: "system"; };

/** The command that an event follows from. */
export interface Cause {
  /** The command's id, as its caller was told. */
  command: CommandId;
  /** The operation that was called. */
  operation: string;
}

/** Said before the socket is closed, where there is time for it. */
export interface Closing {
  /** The close code that follows. */
  code: number;
  /** Add a random part of up to this many milliseconds to it. */
  jitter_ms?: number;
  /** Why, in a word or two. */
  reason: string;
  /** When to come back, in milliseconds; absent: do not. */
  reconnect_after_ms?: number;
}

/** One accepted command; the events that follow from it name it as their cause. */
export type CommandId = string;

/** One connection of a client; a sign-in may have many. */
export type ConnectionId = string;

/** The mission is gone. */
export interface Deleted {
  /** What was deleted. */
  mission: MissionId;
  /** The position of its last event. */
  seq: number;
}

/** A document that a mission has: the newest version of the file of that name. */
export interface Document {
  /** When this version came. */
  delivered_at: Timestamp;
  /** Who delivered this version. */
  delivered_by: Author;
  /** Its id, the same for every version. */
  id: DocumentId;
  /** The media type that the content has (not the one that somebody claimed). */
  media_type: string;
  /** The mission that it belongs to. */
  mission: MissionId;
  /** The file's name, unique in the mission, without folders. */
  name: string;
  /** The SHA-256 of the content, in lower-case hex. */
  sha256: string;
  /** The size in bytes. */
  size: number;
  /** Where it came from, as the deliverer says. */
  source?: string;
  /** How far it is. */
  status: DocumentStatus;
  /** 1 for the first bytes delivered under this name, one more for each change of them. */
  version: number;
}

/** A document of a mission. */
export type DocumentId = string;

/** A mission's documents. */
export interface DocumentList {
  /** The documents, in the order in which they first came. */
  items: Document[];
}

/** A document by its id. */
export interface DocumentRef {
  /** The document. */
  document: DocumentId;
}

/** How far a document is. */
export type DocumentStatus =
  /** Its bytes are here, and what the agent claimed of them holds. */
  | "verified"
  /** Its bytes are here, and nothing was claimed of them that could be checked. */
  | "received";

/** The answer of a download is the document's bytes; this describes them. */
export interface Download {
  /** What is given. */
  document: Document;
}

/** Nothing. */
export type Empty = Record<string, never>;

/** An event with its place in the mission's history. */
export type EventFrame = {
  /** When it was decided. */
  at: Timestamp;
  /** Who caused it. */
  by: Author;
  /** The command that it follows from, if it follows from one. */
  cause?: Cause;
  /** Its place: from 1, without gaps, the same for everyone and for ever. */
  seq: number;
} & (
  /** The mission was made. Always the first event, and only that. */
  | {
    /** The agent kind that works on it. */
    agent?: string;
    /** When it is expected to end. */
    estimated_at?: Timestamp;
    /** What the agent is given to work with. */
    input: unknown;
    kind: "mission_created";
    /** The organization that it belongs to. */
    organization: OrganizationId;
    /** How urgent it is. */
    priority: Priority;
    /** The template that it was made from. */
    template?: string;
    /** What it is about. */
    title: string;
    /** What sort of mission it is. */
    type: string;
  }
  /** Some of what describes the mission changed: the fields that are present. */
  | {
    /** The new expected end. */
    estimated_at?: Timestamp;
    /** The new input; the agent gets it at its next start. */
    input?: unknown;
    kind: "mission_updated";
    /** The new priority. */
    priority?: Priority;
    /** The new title. */
    title?: string;
    /** The new sort. */
    type?: string;
  }
  /** The mission moved on in its life. */
  | {
    /** Where it was. */
    from: MissionStatus;
    kind: "status_changed";
    /** Why, where that needs saying. */
    reason?: string;
    /** What came of the mission, where it was completed with a result. */
    result?: unknown;
    /** Where it is. */
    to: MissionStatus;
  }
  /** The mission was deleted. Nothing follows. */
  | { kind: "mission_deleted"; }
  /** The agent said how far it is. */
  | {
    kind: "progress_reported";
    /** In percent, 0 to 100. */
    percent: number;
  }
  /** The plan got a step. */
  | {
    /** Who does it. */
    assignee?: string;
    /** The agent's own name for it. */
    key?: string;
    kind: "step_added";
    /** The step that it is a part of. */
    parent?: StepId;
    /** Its place among its siblings, from 0. */
    position: number;
    /** What came of it, where it came with one. */
    result?: string;
    /** How far it is. */
    status: StepStatus;
    /** The step. */
    step: StepId;
    /** What is to be done. */
    title: string;
  }
  /** A step changed: the fields that are present. */
  | {
    /** The new assignee. */
    assignee?: string;
    kind: "step_updated";
    /** The new result. */
    result?: string;
    /** The new status. */
    status?: StepStatus;
    /** The step. */
    step: StepId;
    /** The new title. */
    title?: string;
  }
  /** A step, with everything under it, got another place in the plan. */
  | {
    kind: "step_moved";
    /** The step that it is now a part of; absent at the top. */
    parent?: StepId;
    /** Its place among its new siblings, from 0, counted without itself. */
    position: number;
    /** The step. */
    step: StepId;
  }
  /** A step was removed with everything under it. */
  | {
    kind: "step_removed";
    /** The step. */
    step: StepId;
  }
  /** The activity log got an entry. */
  | {
    /** Its id. */
    activity: ActivityId;
    /** Anything more. */
    details?: unknown;
    kind: "activity_logged";
    /** A sentence. */
    message: string;
    /** The step that it belongs to. */
    step?: StepId;
    /** The stream of live text that this is the whole of, and the end. */
    stream?: string;
    /** What kind of thing it tells of. */
    type: ActivityType;
  }
  /** Somebody wrote to the agent, or the agent to people. */
  | {
    kind: "message_sent";
    /** Its id. */
    message: MessageId;
    /** The text. */
    text: string;
  }
  /** A document came, or a new version of one. */
  | {
    /** Its id. */
    document: DocumentId;
    kind: "document_delivered";
    /** The media type that the content has. */
    media_type: string;
    /** The file's name. */
    name: string;
    /** The SHA-256 of the content, in lower-case hex. */
    sha256: string;
    /** The size in bytes. */
    size: number;
    /** Where it came from. */
    source?: string;
    /** How far it is. */
    status: DocumentStatus;
    /** The version. */
    version: number;
  }
  /** The agent asked something of people. */
  | {
    /** Its id. */
    approval: ApprovalId;
    /** The agent's own name for it. */
    key: string;
    kind: "approval_requested";
    /** What may be chosen. */
    options?: ApprovalOption[];
    /** What is asked. */
    prompt: string;
  }
  /** A person answered. */
  | {
    /** What was answered. */
    approval: ApprovalId;
    kind: "approval_answered";
    /** The chosen option. */
    option?: string;
    /** What was written. */
    text?: string;
  }
  /** Something that was asked needs no answer any more: the mission ended. */
  | {
    /** What was withdrawn. */
    approval: ApprovalId;
    kind: "approval_withdrawn";
  }
  /** Something was used, since the last report. */
  | {
    /** Money, in millionths of a US dollar. */
    cost_micros: number;
    /** Tokens read by models. */
    input_tokens: number;
    kind: "usage_reported";
    /** Tokens written by models. */
    output_tokens: number;
  }
  /** A process of the agent was started. */
  | {
    /** Which run of the agent this is, from 1. */
    incarnation: number;
    kind: "agent_started";
  }
  /** The agent's process ended. */
  | {
    /** Which run of the agent it was. */
    incarnation: number;
    kind: "agent_exited";
    /** How it ended, in a sentence. */
    outcome: string;
    /** In how many milliseconds it is started again; absent where it is not. */
    restart_in_ms?: number;
    /** The last that it wrote to its standard error. */
    stderr?: string;
  }
  /** The agent saved how far it is; a later run of it starts from there. */
  | {
    /** What the agent saved, for itself alone. */
    data: unknown;
    kind: "checkpoint_saved";
  }
);

/** A refused request: the `error` member of a JSON-RPC 2.0 response. */
export interface Fault {
  /** The stable code. */
  code: number;
  /** What a program needs to act on it. */
  data: FaultData;
  /** A sentence that says what is wrong and what to do about it. */
  message: string;
}

/** What goes wrong with a frame. */
export type FaultAction =
  /** It is not sent, and the next one is. */
  | "drop"
  /** It is held back, and everything of the session behind it. */
  | "delay"
  /** It is sent twice. */
  | "duplicate"
  /** The connection ends in its stead, without a goodbye. */
  | "kill";

/** The `data` member of an error. */
export interface FaultData {
  /** What has happened since `if_seq`, where that is why. */
  conflict?: SeqConflict;
  /** The parameter that is at fault. */
  field?: string;
  /** The family of the error. */
  kind: Kind;
  /** The name of the code. */
  name: string;
  /** When to ask again, in milliseconds. */
  retry_after_ms?: number;
  /** Whether the same request may succeed later without a change. */
  temporary: boolean;
}

/** What is to go wrong for those who watch a mission. Replaces the plan before; an empty one ends it. */
export interface FaultPlan {
  /** The faults, 100 at most. */
  faults: PlannedFault[];
  /** The mission. */
  mission: MissionId;
}

/** How both sides know that the other is there. */
export interface Heartbeat {
  /** How often the server sends `session.heartbeat`, in milliseconds. */
  interval_ms: number;
  /** How long a client may be silent before it is dropped, in milliseconds; any frame counts. */
  timeout_ms: number;
}

/** The server is there. */
export interface HeartbeatNotice {
  /** The server's time. */
  at: Timestamp;
}

/** One change of an inbox. */
export type InboxChange =
  /** An item is in the inbox, and looks like this. */
  | {
    /** The item. */
    item: InboxItem;
    op: "put";
  }
  /** An item is not in the inbox any more. */
  | {
    /** The item's id. */
    id: string;
    op: "remove";
  };

/** The watched inbox changed. */
export interface InboxChanged {
  /** What changed. */
  changes: InboxChange[];
  /** True: forget the inbox, the changes make all of it. */
  reset: boolean;
  /** The client's name for the watch. */
  sub: string;
}

/** Which item to take out of the inbox. */
export interface InboxDismiss {
  /** The item. One that asks something goes when it is answered, and not before. */
  item: string;
}

/** Something that waits for a person. */
export interface InboxItem {
  /** Since when it waits. */
  at: Timestamp;
  /** Its id; an approval's item has the approval's. */
  id: string;
  /** What sort of thing it is. */
  kind: InboxKind;
  /** The mission that it is about. */
  mission: MissionId;
  /** What may be chosen; empty where the answer is free text. */
  options?: ApprovalOption[];
  /** What is asked, or why the mission has failed. */
  prompt?: string;
  /** The mission's title. */
  title: string;
}

/** What sort of thing waits. */
export type InboxKind =
  /** An agent asks something. For everyone who may answer, until somebody has. */
  | "approval"
  /** A mission is done. For its owner, until it is dismissed. */
  | "mission_completed"
  /** A mission has failed. For its owner, until it is dismissed. */
  | "mission_failed";

/** A page of the inbox, newest first. */
export interface InboxPage {
  /** The items. */
  items: InboxItem[];
  /** What to give as `before` for the next page; absent on the last. */
  next?: string;
}

/** Which part of the inbox to list. */
export interface InboxQuery {
  /** Those before this item: the `next` of the page before. */
  before?: string;
  /** How many at most: 1 to 200, 50 where absent. */
  limit?: number;
}

/** How to watch the inbox. */
export interface InboxWatch {
  /** The client's own name for this watch, 1 to 64 characters: notifications carry it. */
  sub: string;
}

/** The watch stands; changes follow as `inbox.changed`. */
export interface InboxWatching {
  /** The newest items, newest first: the greatest id is first, also of two of the same moment. */
  items: InboxItem[];
  /** The client's name for the watch. */
  sub: string;
}

/** The family of an error: enough for a client to decide what to do next. */
export type Kind =
  /** Nobody is signed in, or the proof of it is not accepted. */
  | "unauthenticated"
  /** The caller is known and may not do this. */
  | "forbidden"
  /** There is no such thing, or none that the caller may know of. */
  | "not_found"
  /** The thing is not in a state that allows it. */
  | "conflict"
  /** The request is malformed. */
  | "invalid"
  /** The request, or what it would make, is over a size limit. */
  | "too_large"
  /** The caller asks too often. */
  | "rate_limited"
  /** The server is at a limit of its own; ask again later. */
  | "overloaded"
  /** The thing exists and cannot be used now. */
  | "unavailable"
  /** A fault of the server. */
  | "internal";

/** What a session may do at most. */
export interface Limits {
  /** Requests at once from a session that was quiet. */
  command_burst: number;
  /** Requests a second, over time; `session.ping` and notifications of the client count too. */
  commands_per_second: number;
  /**
   * Calls with `idem` of one person that are remembered, each for 24 hours; where there would be more, the
   * oldest are forgotten.
   */
  idem_calls: number;
  /** Missions or items in one live list. */
  list_items: number;
  /** The shortest time between two rolled-up pieces of live text of a mission, in milliseconds. */
  live_interval_ms: number;
  /** The size of a message from the client, in bytes. */
  message_bytes: number;
  /** How long a socket may take to say who it is, in milliseconds. */
  open_timeout_ms: number;
  /** The same at once, after a quiet time. */
  opening_burst: number;
  /** Sockets of all clients that are let in a second, over time. */
  openings_per_second: number;
  /**
   * Bytes of answers that wait for a client that does not read; beyond that, and with more than one of them, the
   * session is closed as too slow (4013). What it watches does not count: that waits where it is kept. Nor do
   * answers to what only reads and the beginnings of watches: they are made as there is room for them.
   */
  outbox_bytes: number;
  /** The same in messages. */
  outbox_messages: number;
  /** Requests that wait for an answer at once. */
  requests_in_flight: number;
  /** The same in bytes, by what the mission's events take on average. */
  resume_bytes: number;
  /** Events in a gap that a resume is given one by one; beyond that it gets a snapshot. */
  resume_events: number;
  /** Live sessions of one person at once. */
  sessions: number;
  /** Watches at once. */
  subscriptions: number;
  /** Sockets of all clients at once that have not said who they are. */
  unnamed_sockets: number;
}

/** What comes first in a list of missions; where two are alike, the newer one. */
export type ListOrder =
  /** The newest. */
  | "newest"
  /** The most urgent. */
  | "priority"
  /** The first by title, letter by letter in lower case. */
  | "title";

/** Something that goes on. */
export type LiveItem =
  /**
   * The agent is saying something. Its text follows on what came before of the stream; in a
   * notice that is whole it is all that was said so far.
   */
  | {
    /** Who. */
    by: Author;
    /** The agent's name for it. */
    stream: string;
    /** The words. */
    text: string;
    type: "text";
  }
  /** What was being said is over: the whole text came as an event, or it broke off. */
  | {
    /** The agent's name for it. */
    stream: string;
    type: "text_end";
  }
  /** Somebody is writing, or no longer. */
  | {
    /** The user name. */
    name: string;
    /** Whether they are. */
    on: boolean;
    type: "typing";
    /** Who. */
    user: UserId;
  }
  /** Somebody points at something. */
  | {
    /** Where, in the clients' own terms; null: nowhere any more. */
    at: unknown;
    /** The user name. */
    name: string;
    type: "cursor";
    /** Who. */
    user: UserId;
  };

/** Who wants to sign in. */
export interface Login {
  /** The password. */
  password: string;
  /** The user name or the e-mail address. */
  username: string;
}

/** Which sign-in to end. */
export interface Logout {
  /** Whether all sign-ins of the person end, on every device. */
  everywhere?: boolean;
  /** Not needed, and not looked at: the sign-in that ends is that of the access token. */
  refresh_token?: string;
}

/** What becomes of log activities while a watch is far behind. */
export type Logs =
  /** All of them are sent, however long it takes. */
  | "every"
  /**
   * With more than 256 events or 256 KiB to come, activities of the types `info` and `log` are left out
   * unless they are among the 50 newest activities, and the frame says which (`skipped`).
   */
  | "coalesced";

/** What a person looks at in a mission; with neither, the mission as such. */
export interface LooksAt {
  /** A document of it. */
  document?: DocumentId;
  /** A step of its plan. */
  step?: StepId;
}

/** A message that somebody wrote into a mission. */
export interface Message {
  /** When. */
  at: Timestamp;
  /** Who wrote it. */
  by: Author;
  /** Its id. */
  id: MessageId;
  /** The position of the event that sent it. */
  seq: number;
  /** The text. */
  text: string;
}

/** A message between a person and a mission's agent. */
export type MessageId = string;

/** A page of messages, newest first. */
export interface MessagePage {
  /** The messages. A page may hold fewer than asked for and still have a `next`. */
  items: Message[];
  /** What to give as `before` for the next page; absent on the last. */
  next?: number;
}

/** Which messages to list. */
export interface MessageQuery {
  /** Those before this position: the `next` of the page before. */
  before?: number;
  /** How many at most: 1 to 200, 50 where absent. */
  limit?: number;
  /** The mission. */
  mission: MissionId;
}

/** A message to send. */
export interface MessageSend {
  /** The mission. */
  mission: MissionId;
  /** The text: 1 to 16,000 characters. */
  text: string;
}

/**
 * A mission, whole: the fold of its events up to `seq`.
 *
 * Lists that grow without end (activity, messages) stand here with their
 * newest entries alone; `activity.list` and `message.list` page through them.
 */
export interface Mission {
  /** The newest entries of the activity log, oldest first. */
  activity: Activity[];
  /** How many entries the activity log has. */
  activity_count: number;
  /** The agent that works on it; absent where people do. */
  agent?: AgentView;
  /** What was asked of people. */
  approvals: Approval[];
  /** When it ended. */
  completed_at?: Timestamp;
  /** When it was made. */
  created_at: Timestamp;
  /** The documents. */
  documents: Document[];
  /** When it is expected to end. */
  estimated_at?: Timestamp;
  /** Its id. */
  id: MissionId;
  /** What the agent is given to work with. */
  input: unknown;
  /** The newest messages, oldest first. */
  messages: Message[];
  /** The organization that it belongs to. */
  organization: OrganizationId;
  /** Who owns it. */
  owner: Author;
  /** The plan. */
  plan: Step[];
  /** How urgent it is. */
  priority: Priority;
  /** How far it is, in percent: from the plan, unless the agent says. */
  progress: number;
  /** Whether the agent said how far it is. */
  progress_reported?: boolean;
  /** What came of it, as the agent or a person says. */
  result?: unknown;
  /** The position of its last event. */
  seq: number;
  /** When it was first started. */
  started_at?: Timestamp;
  /** Where it is in its life. */
  status: MissionStatus;
  /** Why it is there, where that needs saying. */
  status_reason?: string;
  /** The template that it was made from. */
  template?: string;
  /** What it is about. */
  title: string;
  /** What sort of mission it is, in the organization's own words. */
  type: string;
  /** When anything in it last changed. */
  updated_at: Timestamp;
  /** What has been used. */
  usage: Usage;
}

/** A mission to call off. */
export interface MissionCancel {
  /** The mission. */
  mission: MissionId;
  /** Why, in a sentence. */
  reason?: string;
}

/** One change of a list of missions. */
export type MissionChange =
  /** A mission is in the list, and looks like this. */
  | {
    /** The mission. */
    mission: MissionSummary;
    op: "put";
  }
  /** A mission is not in the list any more. */
  | {
    /** The mission. */
    id: MissionId;
    op: "remove";
  };

/** A mission that is done. */
export interface MissionComplete {
  /** The mission. */
  mission: MissionId;
  /** What came of it. */
  result?: unknown;
}

/** Events of a watched mission, in order; a burst comes as one. */
export interface MissionEvents {
  /** The history that the positions count in. */
  epoch: string;
  /** The events. */
  events: EventFrame[];
  /** The position of the first event. */
  from: number;
  /**
   * What was left out of `events` on the wish of the watch: log entries alone, each range in its place
   * between them. Each counts in a mission's `activity_count`; none is among the activities that a
   * mission carries with it. See [`Logs`](crate::operations::Logs).
   */
  skipped?: Span[];
  /** The client's name for the watch. */
  sub: string;
  /** The position of the last event. */
  to: number;
}

/** A mission. */
export type MissionId = string;

/**
 * What goes on in a watched mission and is never stored. May be rolled up or lost; a loss is
 * always followed by one that is `whole`.
 */
export interface MissionLive {
  /** The items, in order. */
  items: LiveItem[];
  /** The client's name for the watch. */
  sub: string;
  /** True: these items are all there is, forget what was known. False: they come on top. */
  whole: boolean;
}

/** A new mission. */
export interface MissionNew {
  /** The agent kind that is to work on it, as set up on the server; absent where people do the work. */
  agent?: string;
  /** When it is expected to end. */
  estimated_at?: Timestamp;
  /** What the agent is given to work with: a JSON object of 32 KiB and 64 levels at most. Name secrets in it, never write them. */
  input?: unknown;
  /** How urgent it is. */
  priority?: Priority;
  /** The name of the template that it follows, for people to know. */
  template?: string;
  /** What it is about: 1 to 200 characters. */
  title: string;
  /** What sort of mission it is, in your own words, 64 characters at most; `general` where absent. */
  type?: string;
}

/** A page of missions, newest first. */
export interface MissionPage {
  /** The missions. */
  items: MissionSummary[];
  /** What to give as `before` for the next page; absent on the last. */
  next?: MissionId;
}

/** Who watches a mission now. Never stored; each notice replaces the one before. */
export interface MissionPresence {
  /** How many more there are, where there are too many to name. */
  others?: number;
  /** Everyone who is there, each once, however many windows they have open. */
  people: Present[];
  /** The client's name for the watch. */
  sub: string;
}

/** Which missions to list. */
export interface MissionQuery {
  /** Those made before this one: the `next` of the page before. */
  before?: MissionId;
  /** How many at most: 1 to 200, 50 where absent. */
  limit?: number;
  /** Those in this status alone. */
  status?: MissionStatus;
  /** Those of this sort alone. */
  type?: string;
}

/** A mission by its id. */
export interface MissionRef {
  /** The mission. */
  mission: MissionId;
}

/** Where a mission is in its life. */
export type MissionStatus =
  /** Made, and not started. */
  | "pending"
  /** Started, and its agent waits for a place to run. */
  | "queued"
  /** Being worked on. */
  | "running"
  /** Held up until a person answers. */
  | "waiting"
  /** Held up on purpose. */
  | "paused"
  /** Ended: done. */
  | "completed"
  /** Ended: not achieved. */
  | "failed"
  /** Ended: called off by a person. */
  | "cancelled";

/** A mission in a list. */
export interface MissionSummary {
  /** The agent kind that works on it; absent where people do. */
  agent?: string;
  /** When it ended. */
  completed_at?: Timestamp;
  /** When it was made. */
  created_at: Timestamp;
  /** When it is expected to end. */
  estimated_at?: Timestamp;
  /** Its id. */
  id: MissionId;
  /** The organization that it belongs to. */
  organization: OrganizationId;
  /** Who owns it. */
  owner: Author;
  /** How urgent it is. */
  priority: Priority;
  /** How far it is, in percent: from the plan, unless the agent says. */
  progress: number;
  /** The position of the last event that changed this summary. */
  seq: number;
  /** When it was first started. */
  started_at?: Timestamp;
  /** Where it is in its life. */
  status: MissionStatus;
  /** Why it is there, where that needs saying. */
  status_reason?: string;
  /** What it is about. */
  title: string;
  /** What sort of mission it is, in the organization's own words. */
  type: string;
}

/** What to change of a mission: the fields that are present. */
export interface MissionUpdate {
  /** The new expected end. */
  estimated_at?: Timestamp;
  /** The new input; the agent gets it at its next start. */
  input?: unknown;
  /** The mission. */
  mission: MissionId;
  /** The new priority. */
  priority?: Priority;
  /** The new title. */
  title?: string;
  /** The new sort. */
  type?: string;
}

/** A watched list of missions changed. */
export interface MissionsChanged {
  /** What changed. */
  changes: MissionChange[];
  /** True: forget the list, the changes make all of it. */
  reset: boolean;
  /** The client's name for the watch. */
  sub: string;
}

/** Which missions to watch as a list: those that fit among the organization's newest 50,000. */
export interface MissionsWatch {
  /** Those of this agent kind alone. */
  agent?: string;
  /** How many at most, the first in `order`: 1 to 500, 100 where absent. */
  limit?: number;
  /** What comes first. */
  order?: ListOrder;
  /** Those that this person owns alone. */
  owner?: UserId;
  /** Those in one of these statuses alone; all where empty. */
  status?: MissionStatus[];
  /** The client's own name for this watch, 1 to 64 characters: notifications carry it. */
  sub: string;
  /** Those of this sort alone. */
  type?: string;
}

/** The watch stands; changes follow as `missions.changed`. */
export interface MissionsWatching {
  /** The missions, in order. */
  items: MissionSummary[];
  /** The client's name for the watch. */
  sub: string;
}

/** A new account with an organization of its own. */
export interface NewAccount {
  /** The e-mail address, with which one can sign in as well. */
  email?: string;
  /** The name to show; the user name where absent. */
  name?: string;
  /** The name of the new organization, unique on the server; the user name where absent. */
  organization?: string;
  /** The password, of 10 to 256 characters. */
  password: string;
  /** The name to sign in with: 2 to 64 of letters, digits, `.`, `_` and `-`; unique on the server. */
  username: string;
}

/** A new account in the caller's organization. */
export interface NewUser {
  /** The e-mail address, with which one can sign in as well. */
  email?: string;
  /** The name to show; the user name where absent. */
  name?: string;
  /** The password, of 10 to 256 characters. */
  password: string;
  /** What the person may do. */
  role: Role;
  /** The name to sign in with: 2 to 64 of letters, digits, `.`, `_` and `-`; unique on the server. */
  username: string;
}

/** An organization. */
export interface Organization {
  /** Its id. */
  id: OrganizationId;
  /** Its name: unique on the server, compared without case. */
  name: string;
}

/** An organization: people and missions of different ones never meet. */
export type OrganizationId = string;

/** A person with an account. */
export interface Person {
  /** Whether the account may be used; an admin closes and opens it. */
  active?: boolean;
  /** When the account was made. */
  created_at: Timestamp;
  /** The e-mail address, if one is known. */
  email?: string;
  /** The person's id. */
  id: UserId;
  /** The name to show. */
  name: string;
  /** The organization that the person belongs to. */
  organization: Organization;
  /** What the person may do. */
  role: Role;
  /** The name to sign in with: unique on the server, compared without case. */
  username: string;
}

/** The server is there. */
export interface PingReply {
  /** The server's time. */
  at: Timestamp;
}

/** Something that is to go wrong with a `mission.events` frame. Has one of `at_seq` and `at_frame`. */
export interface PlannedFault {
  /** What goes wrong. */
  action: FaultAction;
  /** With this events frame of a watch, counted from 1. */
  at_frame?: number;
  /** With the frame that holds this event. */
  at_seq?: number;
  /** How long it is held back, in milliseconds, 60,000 at most. For `delay`. */
  delay_ms?: number;
  /** How often in all, over all watches; 1 where absent. */
  times?: number;
}

/** A position in a mission's history. */
export interface Position {
  /** The history that `seq` counts in. It changes only when history was lost or replaced. */
  epoch: string;
  /** The last event that the client has; 0 for none. */
  seq: number;
}

/** What others are to see of a person in a mission that the session watches: the fields that are present. */
export interface PresenceSet {
  /** Where the person points, in the clients' own terms, 1 KiB of JSON and 64 levels at most; null for nowhere. */
  cursor?: unknown;
  /** What the person looks at. */
  looks_at?: LooksAt;
  /** The mission. */
  mission: MissionId;
  /** The position up to which the person has seen the mission. It never goes back. */
  seen_seq?: number;
  /** Whether the person is writing. Taken back by itself after 10 seconds. */
  typing?: boolean;
}

/** Somebody who is there. */
export interface Present {
  /** Who. */
  id: UserId;
  /** What the person looks at, where a client said so. */
  looks_at?: LooksAt;
  /** The user name. */
  name: string;
  /** The role. */
  role: Role;
  /** The position up to which the person has seen the mission, where a client said so. */
  seen_seq?: number;
  /** Since when. */
  since: Timestamp;
}

/** How urgent a mission is. */
export type Priority =
  /** When there is time. */
  | "low"
  /** As it comes. */
  | "normal"
  /** Before others. */
  | "high"
  /** Before everything. */
  | "urgent";

/** The refresh token to use up. */
export interface Refresh {
  /** The newest refresh token of the sign-in. */
  refresh_token: string;
}

/** What a person may do; the operations table says which role may call what. */
export type Role =
  /** Everything, people included. */
  | "admin"
  /** Makes missions, runs them and steers them. */
  | "officer"
  /** What an officer does, and deletes missions. */
  | "manager"
  /** Reads, writes to agents, and answers what they ask. */
  | "approver"
  /** Reads. */
  | "viewer";

/** What a caller who gave `if_seq` did not know of. */
export interface SeqConflict {
  /** What happened after `if_seq`, in order: all of it, or the newest part. */
  changes: EventFrame[];
  /** Whether `changes` is all of it. If not, take a snapshot. */
  complete: boolean;
  /** The position of the mission's newest event. */
  seq: number;
}

/** A sign-in, kept over token renewals until it is revoked. */
export type SessionId = string;

/** The live sessions of the organization. */
export interface SessionList {
  /** The sessions, the oldest first. */
  items: SessionView[];
  /** How many more there are, where there are too many to list. */
  others?: number;
}

/** Who opens the session. */
export interface SessionOpen {
  /** An access token. May be left out if the socket came with an `Authorization` header. */
  token?: string;
}

/** The session is open. */
export interface SessionOpened {
  /** This connection, of the sign-in's maybe many. */
  connection: ConnectionId;
  /** When the access token expires; renew before, or the session ends. */
  expires_at: Timestamp;
  /** How both sides know that the other is there. */
  heartbeat: Heartbeat;
  /** What the session may do at most. */
  limits: Limits;
  /** The protocol: `flightdeck.v1`. */
  profile: string;
  /** The server's version. */
  server: string;
  /** The sign-in that the session belongs to. */
  session: SessionId;
  /** Who is signed in. */
  user: Person;
}

/** A newer token. */
export interface SessionRenew {
  /** An access token of the same person. */
  token: string;
}

/** The session goes on. */
export interface SessionRenewed {
  /** When the newer token expires. */
  expires_at: Timestamp;
}

/** A live session, as an admin sees it. */
export interface SessionView {
  /** The connection. */
  connection: ConnectionId;
  /** When anything last came from the client. */
  heard_at: Timestamp;
  /** The user name. */
  name: string;
  /** Since when it is open. */
  opened_at: Timestamp;
  /** The same in bytes. */
  sent_bytes: number;
  /** What was sent since it was opened, in messages. */
  sent_messages: number;
  /** The sign-in that it belongs to. */
  session: SessionId;
  /** Whose it is. */
  user: UserId;
  /** Their size in bytes. */
  waiting_bytes: number;
  /** Answers and notices that wait to be sent. */
  waiting_messages: number;
  /** What it watches. */
  watches: WatchView[];
}

/** A fresh sign-in. */
export interface SignedIn {
  /** For the header `Authorization: Bearer …` and for `session.open`. */
  access_token: string;
  /** When the access token expires. */
  expires_at: Timestamp;
  /** Seconds until the access token expires. */
  expires_in: number;
  /** For `auth.refresh`; good for one use. */
  refresh_token: string;
  /** Always `Bearer` (RFC 6750). */
  token_type: string;
  /** Who signed in. */
  user: Person;
}

/** Some events in a row. */
export interface Span {
  /** The position of the first. */
  from: number;
  /** The position of the last. */
  to: number;
}

/**
 * A step of a plan.
 *
 * A plan is a list of these. The children of a step are those that name it as
 * `parent`; among siblings the order of the list is the order of the plan.
 */
export interface Step {
  /** Who does it, in words; the agent where absent. */
  assignee?: string;
  /** When it last changed. */
  changed_at: Timestamp;
  /** Who last changed it. */
  changed_by: Author;
  /** When it was settled. */
  ended_at?: Timestamp;
  /** The step's id, for as long as the mission lives. */
  id: StepId;
  /** The agent's own name for the step, by which it updates it. */
  key?: string;
  /** The step that it is a part of; absent at the top. */
  parent?: StepId;
  /** What came of it, in a sentence. */
  result?: string;
  /** When work on it began. */
  started_at?: Timestamp;
  /** How far it is. */
  status: StepStatus;
  /** What is to be done. */
  title: string;
}

/** A new step. */
export interface StepAdd {
  /** Who does it. */
  assignee?: string;
  /** The mission. */
  mission: MissionId;
  /** The step that it is a part of; at the top where absent. */
  parent?: StepId;
  /** Its place among its siblings, from 0; last where absent. */
  position?: number;
  /** What is to be done: 1 to 500 characters. */
  title: string;
}

/** A step of a mission's plan. */
export type StepId = string;

/** Where to move a step. */
export interface StepMove {
  /** The mission. */
  mission: MissionId;
  /** The step that it is to be a part of; the top where absent. */
  parent?: StepId;
  /** Its place among its new siblings, from 0, counted without itself; last where absent. */
  position?: number;
  /** The step. */
  step: StepId;
}

/** A step by its id. */
export interface StepRef {
  /** The mission. */
  mission: MissionId;
  /** The step. */
  step: StepId;
}

/** How far a step is. */
export type StepStatus =
  /** Not begun. */
  | "pending"
  /** Being worked on. */
  | "running"
  /** Held up by something outside. */
  | "waiting"
  /** Done. */
  | "completed"
  /** Tried and not achieved. */
  | "failed"
  /** Left out on purpose. */
  | "skipped"
  /** It was being worked on when the agent's process ended: nobody knows how far it came. */
  | "unknown";

/** What to change of a step: the fields that are present. */
export interface StepUpdate {
  /** The new assignee. */
  assignee?: string;
  /** The mission. */
  mission: MissionId;
  /** The new result. */
  result?: string;
  /** The new status. */
  status?: StepStatus;
  /** The step. */
  step: StepId;
  /** The new title. */
  title?: string;
}

/**
 * A moment in UTC with millisecond precision; on the wire an RFC 3339 string
 * such as `2026-01-31T12:00:00.000Z`, always with three digits of a second, so
 * that moments sort as their texts do.
 */
export type Timestamp = string;

/** A pair of tokens. */
export interface TokenPair {
  /** For the header `Authorization: Bearer …` and for `session.open`. */
  access_token: string;
  /** When the access token expires. */
  expires_at: Timestamp;
  /** Seconds until the access token expires. */
  expires_in: number;
  /** For `auth.refresh`; good for one use. */
  refresh_token: string;
  /** Always `Bearer` (RFC 6750). */
  token_type: string;
}

/** Which watch to end. */
export interface Unwatch {
  /** The client's name for the watch. */
  sub: string;
}

/** What a mission has used so far. */
export interface Usage {
  /** Money, in millionths of a US dollar. */
  cost_micros: number;
  /** Tokens read by models. */
  input_tokens: number;
  /** Tokens written by models. */
  output_tokens: number;
}

/** A person. */
export type UserId = string;

/** The people of an organization. */
export interface UserList {
  /** Everyone, by user name. */
  items: Person[];
}

/** What to change of a person's account: the fields that are present. */
export interface UserUpdate {
  /** False closes the account: its sign-ins end, and none is opened until it is true again. */
  active?: boolean;
  /** The new name to show. */
  name?: string;
  /** What the person may do from now on. */
  role?: Role;
  /** The person. */
  user: UserId;
}

/** What to watch. */
export interface Watch {
  /** Whether to send `mission.live`. */
  live?: boolean;
  /** What becomes of the log while the watch is far behind. */
  logs?: Logs;
  /** The mission. */
  mission: MissionId;
  /** Whether to send `mission.presence`. Who watches is seen by others in any case. */
  presence?: boolean;
  /** Where the client is; without it the answer has a snapshot. */
  since?: Position;
  /** The client's own name for this watch, 1 to 64 characters: notifications carry it. */
  sub: string;
}

/** The server ended a watch; nothing follows for it, and the session goes on. */
export interface WatchEnded {
  /** Why. One that is temporary can be watched again. */
  error: Fault;
  /** The client's name for the watch. */
  sub: string;
}

/** What a watch is of. */
export type WatchKind =
  /** One mission. */
  | "mission"
  /** A list of missions. */
  | "missions"
  /** The person's inbox. */
  | "inbox";

/** A watch of a live session, as an admin sees it. */
export interface WatchView {
  /** How many events, or changes of a list, the client has yet to be sent. */
  behind: number;
  /** What is watched. */
  kind: WatchKind;
  /** The mission, where it is one. */
  mission?: MissionId;
  /** The client's name for it. */
  sub: string;
}

/** The watch stands. Every event after `seq` follows, in order, each once. */
export interface Watching {
  /** The history that `seq` counts in. */
  epoch: string;
  /** The position of the mission's newest event now. */
  head: number;
  /** The mission. */
  mission: MissionId;
  /** Why it could not go on from `since`: `epoch_changed`, `ahead_of_history`, `gap_too_long` (in events) or `gap_too_large` (in bytes). */
  reason?: string;
  /** Whether it goes on from `since`. */
  resumed: boolean;
  /** The position of the snapshot, or that of `since` when it resumed. */
  seq: number;
  /** The mission at `seq`, unless it resumed. */
  snapshot?: Mission;
  /** The client's name for the watch. */
  sub: string;
}

/** A parameter that guards a change. */
export interface Idem {
  /** Your own name for this call, of 1 to 128 characters: repeated by the same person within 24 hours, and among the newest `limits.idem_calls`, it is not carried out again and gets the first answer. */
  idem?: string;
}

/** A parameter that guards a change. */
export interface IfSeq {
  /** The position up to which you know the mission: if anything has happened in it since, the call is refused with what did. */
  if_seq?: number;
}

/** Every operation: what it takes and what it gives. */
export interface Methods {
  /** Opens the session for the owner of an access token. First message of a socket that came without an `Authorization` header. May be refused with `token_invalid`, `token_expired`, `token_revoked`, `account_closed`, `already_open`. */
  "session.open": { params: SessionOpen; result: SessionOpened };
  /** Gives the session a newer access token of the same person, so that it goes on without a reconnect. May be refused with `token_invalid`, `token_expired`, `token_revoked`, `account_closed`, `already_open`. */
  "session.renew": { params: SessionRenew; result: SessionRenewed };
  /** Tells the server that the client is there, and the client what time it is. */
  "session.ping": { params: Empty; result: PingReply };
  /** Makes an account in a new organization of its own, with the role admin, and signs it in. May be refused with `signup_closed`, `name_taken`, `invalid_value`, `overloaded`. */
  "auth.signup": { params: NewAccount; result: SignedIn };
  /** Signs a person in: an access token for 15 minutes, and a refresh token to get the next one with. May be refused with `bad_login`, `account_closed`, `overloaded`. */
  "auth.login": { params: Login; result: SignedIn };
  /** Gives a new pair of tokens for a refresh token, which is used up. Using one twice ends the sign-in. May be refused with `token_invalid`, `token_expired`, `token_revoked`, `account_closed`, `refresh_reused`. */
  "auth.refresh": { params: Refresh; result: TokenPair };
  /** Ends the caller's sign-in, or all of the caller's: the tokens are worth nothing from now on, and the live sessions end. */
  "auth.logout": { params: Logout; result: Empty };
  /** Says who the caller is. */
  "auth.user": { params: Empty; result: Person };
  /** Makes an account in the caller's organization. May be refused with `name_taken`, `invalid_value`, `overloaded`, `idem_reused`. */
  "user.create": { params: NewUser & Idem; result: Person };
  /** Changes a person's account: the fields that are present. A new role holds at once, also in live sessions. May be refused with `user_not_found`, `last_admin`, `invalid_value`, `overloaded`, `idem_reused`. */
  "user.update": { params: UserUpdate & Idem; result: Person };
  /** Lists the people of the caller's organization. */
  "user.list": { params: Empty; result: UserList };
  /** Lists the organization's live sessions, what each watches, and how much waits to be sent to it. May be refused with `overloaded`. */
  "session.list": { params: Empty; result: SessionList };
  /** Makes a mission. It waits until it is started. May be refused with `invalid_value`, `too_large`, `agent_unknown`, `overloaded`, `idem_reused`. */
  "mission.create": { params: MissionNew & Idem; result: MissionSummary };
  /** Lists the organization's missions, newest first, a page at a time. May be refused with `invalid_value`. */
  "mission.list": { params: MissionQuery; result: MissionPage };
  /** Gives a mission, whole. May be refused with `mission_not_found`, `mission_quarantined`. */
  "mission.get": { params: MissionRef; result: Mission };
  /** Changes what describes a mission: the fields that are present. May be refused with `mission_not_found`, `mission_quarantined`, `invalid_value`, `too_large`, `illegal_transition`, `seq_conflict`, `idem_reused`. */
  "mission.update": { params: MissionUpdate & Idem & IfSeq; result: MissionSummary };
  /** Deletes a mission that is not under way. May be refused with `mission_not_found`, `mission_quarantined`, `illegal_transition`, `seq_conflict`, `idem_reused`. */
  "mission.delete": { params: MissionRef & Idem & IfSeq; result: Deleted };
  /** Starts a mission: its agent is queued, and runs as soon as there is a place. May be refused with `mission_not_found`, `mission_quarantined`, `illegal_transition`, `seq_conflict`, `idem_reused`. */
  "mission.start": { params: MissionRef & Idem & IfSeq; result: MissionSummary };
  /** Holds a mission: its agent is told, and its processes are frozen a little later. May be refused with `mission_not_found`, `mission_quarantined`, `illegal_transition`, `seq_conflict`, `idem_reused`. */
  "mission.pause": { params: MissionRef & Idem & IfSeq; result: MissionSummary };
  /** Lets a held mission go on. May be refused with `mission_not_found`, `mission_quarantined`, `illegal_transition`, `seq_conflict`, `idem_reused`. */
  "mission.resume": { params: MissionRef & Idem & IfSeq; result: MissionSummary };
  /** Ends a mission as done, by a person's word. Its agent is stopped. May be refused with `mission_not_found`, `mission_quarantined`, `illegal_transition`, `too_large`, `seq_conflict`, `idem_reused`. */
  "mission.complete": { params: MissionComplete & Idem & IfSeq; result: MissionSummary };
  /** Calls a mission off. Its agent is stopped. May be refused with `mission_not_found`, `mission_quarantined`, `illegal_transition`, `too_large`, `seq_conflict`, `idem_reused`. */
  "mission.cancel": { params: MissionCancel & Idem & IfSeq; result: MissionSummary };
  /** Watches a mission: its state now, or what came since a known position, and then every event as it happens. May be refused with `mission_not_found`, `mission_quarantined`, `subscription_taken`, `unwatched`, `limit_reached`, `invalid_value`. */
  "mission.watch": { params: Watch; result: Watching };
  /** Ends a watch. Nothing is sent for it after the answer; one that did not stand yet is refused with `unwatched`. May be refused with `subscription_not_found`. */
  "mission.unwatch": { params: Unwatch; result: Empty };
  /** Tells those who watch a mission what the caller, who watches it too, looks at, has seen, writes, or points at. May be refused with `mission_not_found`, `subscription_not_found`, `step_not_found`, `document_not_found`, `invalid_value`, `too_large`. */
  "presence.set": { params: PresenceSet; result: Empty };
  /** Watches the organization's missions as a list: those that fit, in order, and every change of it. May be refused with `subscription_taken`, `unwatched`, `limit_reached`, `invalid_value`. */
  "missions.watch": { params: MissionsWatch; result: MissionsWatching };
  /** Ends the watch of a list of missions. Nothing is sent for it after the answer; one that did not stand yet is refused with `unwatched`. May be refused with `subscription_not_found`. */
  "missions.unwatch": { params: Unwatch; result: Empty };
  /** Lists what waits for the caller: questions of agents, and ends of missions, newest first, a page at a time. May be refused with `invalid_value`. */
  "inbox.list": { params: InboxQuery; result: InboxPage };
  /** Watches what waits for the caller, and every change of it. May be refused with `subscription_taken`, `unwatched`, `limit_reached`, `invalid_value`. */
  "inbox.watch": { params: InboxWatch; result: InboxWatching };
  /** Ends the watch of the inbox. Nothing is sent for it after the answer; one that did not stand yet is refused with `unwatched`. May be refused with `subscription_not_found`. */
  "inbox.unwatch": { params: Unwatch; result: Empty };
  /** Takes an item out of the caller's inbox. May be refused with `item_not_found`, `invalid_value`, `idem_reused`. */
  "inbox.dismiss": { params: InboxDismiss & Idem; result: Empty };
  /** Adds a step to a plan. May be refused with `mission_not_found`, `mission_quarantined`, `step_not_found`, `invalid_value`, `limit_reached`, `illegal_transition`, `seq_conflict`, `idem_reused`. */
  "step.add": { params: StepAdd & Idem & IfSeq; result: Ack };
  /** Changes a step: the fields that are present. May be refused with `mission_not_found`, `mission_quarantined`, `step_not_found`, `invalid_value`, `illegal_transition`, `seq_conflict`, `idem_reused`. */
  "step.update": { params: StepUpdate & Idem & IfSeq; result: Ack };
  /** Moves a step, with everything under it, to another place in the plan. May be refused with `mission_not_found`, `mission_quarantined`, `step_not_found`, `step_cycle`, `illegal_transition`, `limit_reached`, `seq_conflict`, `idem_reused`. */
  "step.move": { params: StepMove & Idem & IfSeq; result: Ack };
  /** Removes a step with everything under it. May be refused with `mission_not_found`, `mission_quarantined`, `step_not_found`, `illegal_transition`, `seq_conflict`, `idem_reused`. */
  "step.remove": { params: StepRef & Idem & IfSeq; result: Ack };
  /** Logs an activity by hand. May be refused with `mission_not_found`, `mission_quarantined`, `step_not_found`, `invalid_value`, `too_large`, `seq_conflict`, `idem_reused`. */
  "activity.add": { params: ActivityAdd & Idem & IfSeq; result: Ack };
  /** Pages through a mission's activity log, newest first. May be refused with `mission_not_found`, `mission_quarantined`, `invalid_value`. */
  "activity.list": { params: ActivityQuery; result: ActivityPage };
  /** Writes to a mission's agent, for everyone who watches to see. May be refused with `mission_not_found`, `mission_quarantined`, `invalid_value`, `too_large`, `illegal_transition`, `seq_conflict`, `idem_reused`. */
  "message.send": { params: MessageSend & Idem & IfSeq; result: Ack };
  /** Pages through a mission's messages, newest first. May be refused with `mission_not_found`, `mission_quarantined`, `invalid_value`. */
  "message.list": { params: MessageQuery; result: MessagePage };
  /** Answers what an agent asked. The first answer counts. May be refused with `mission_not_found`, `mission_quarantined`, `approval_not_found`, `already_answered`, `invalid_value`, `too_large`, `seq_conflict`, `idem_reused`. */
  "approval.answer": { params: ApprovalReply & Idem & IfSeq; result: Ack };
  /** Lists a mission's documents. May be refused with `mission_not_found`, `mission_quarantined`. */
  "document.list": { params: MissionRef; result: DocumentList };
  /** Describes a document. May be refused with `document_not_found`. */
  "document.get": { params: DocumentRef; result: Document };
  /** Gives a document's bytes, whole or the range that is asked for (RFC 9110). May be refused with `document_not_found`, `wrong_transport`. */
  "document.download": { params: DocumentRef; result: Download };
  /** Plans what goes wrong for those who watch a mission, to see clients cope. Refused unless the server was started with `faults`. May be refused with `faults_off`, `mission_not_found`, `mission_quarantined`, `invalid_value`. */
  "fault.plan": { params: FaultPlan; result: Empty };
  /** Makes the actor of a mission panic, to see it come back. For drills: refused unless the server was started with `drills`. May be refused with `drills_off`, `mission_not_found`, `mission_quarantined`, `mission_restarting`. */
  "drill.panic": { params: MissionRef; result: Empty };
}

/** The name of an operation. */
export type Method = keyof Methods;

/** What a client has to know of an operation to call it. */
export interface MethodFacts {
  /** Who may call it: roles, or `signed_in`, or `anyone`. */
  readonly who: "anyone" | "signed_in" | readonly Role[];
  /** By what it can be called: `socket` is about the session itself, `download` is by its route alone. */
  readonly over: "any" | "socket" | "download";
  /** Whether it only reads, so that it can be asked again without harm. */
  readonly reads: boolean;
  /** Whether it takes `idem`: a name by which a repeat gets the first answer. */
  readonly idem: boolean;
  /** Whether it takes `if_seq`: the position after which nothing may have happened. */
  readonly ifSeq: boolean;
}

/** What a client has to know of each operation. */
export const METHODS = {
  "session.open": { who: "anyone", over: "socket", reads: false, idem: false, ifSeq: false },
  "session.renew": { who: "signed_in", over: "socket", reads: false, idem: false, ifSeq: false },
  "session.ping": { who: "anyone", over: "socket", reads: false, idem: false, ifSeq: false },
  "auth.signup": { who: "anyone", over: "any", reads: false, idem: false, ifSeq: false },
  "auth.login": { who: "anyone", over: "any", reads: false, idem: false, ifSeq: false },
  "auth.refresh": { who: "anyone", over: "any", reads: false, idem: false, ifSeq: false },
  "auth.logout": { who: "signed_in", over: "any", reads: false, idem: false, ifSeq: false },
  "auth.user": { who: "signed_in", over: "any", reads: true, idem: false, ifSeq: false },
  "user.create": { who: ["admin"], over: "any", reads: false, idem: true, ifSeq: false },
  "user.update": { who: ["admin"], over: "any", reads: false, idem: true, ifSeq: false },
  "user.list": { who: ["admin", "manager"], over: "any", reads: true, idem: false, ifSeq: false },
  "session.list": { who: ["admin"], over: "any", reads: true, idem: false, ifSeq: false },
  "mission.create": { who: ["admin", "officer", "manager"], over: "any", reads: false, idem: true, ifSeq: false },
  "mission.list": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "any", reads: true, idem: false, ifSeq: false },
  "mission.get": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "any", reads: true, idem: false, ifSeq: false },
  "mission.update": { who: ["admin", "officer", "manager"], over: "any", reads: false, idem: true, ifSeq: true },
  "mission.delete": { who: ["admin", "manager"], over: "any", reads: false, idem: true, ifSeq: true },
  "mission.start": { who: ["admin", "officer", "manager"], over: "any", reads: false, idem: true, ifSeq: true },
  "mission.pause": { who: ["admin", "officer", "manager"], over: "any", reads: false, idem: true, ifSeq: true },
  "mission.resume": { who: ["admin", "officer", "manager"], over: "any", reads: false, idem: true, ifSeq: true },
  "mission.complete": { who: ["admin", "officer", "manager"], over: "any", reads: false, idem: true, ifSeq: true },
  "mission.cancel": { who: ["admin", "officer", "manager"], over: "any", reads: false, idem: true, ifSeq: true },
  "mission.watch": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "socket", reads: false, idem: false, ifSeq: false },
  "mission.unwatch": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "socket", reads: false, idem: false, ifSeq: false },
  "presence.set": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "socket", reads: false, idem: false, ifSeq: false },
  "missions.watch": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "socket", reads: false, idem: false, ifSeq: false },
  "missions.unwatch": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "socket", reads: false, idem: false, ifSeq: false },
  "inbox.list": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "any", reads: true, idem: false, ifSeq: false },
  "inbox.watch": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "socket", reads: false, idem: false, ifSeq: false },
  "inbox.unwatch": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "socket", reads: false, idem: false, ifSeq: false },
  "inbox.dismiss": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "any", reads: false, idem: true, ifSeq: false },
  "step.add": { who: ["admin", "officer", "manager"], over: "any", reads: false, idem: true, ifSeq: true },
  "step.update": { who: ["admin", "officer", "manager"], over: "any", reads: false, idem: true, ifSeq: true },
  "step.move": { who: ["admin", "officer", "manager"], over: "any", reads: false, idem: true, ifSeq: true },
  "step.remove": { who: ["admin", "officer", "manager"], over: "any", reads: false, idem: true, ifSeq: true },
  "activity.add": { who: ["admin", "officer", "manager", "approver"], over: "any", reads: false, idem: true, ifSeq: true },
  "activity.list": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "any", reads: true, idem: false, ifSeq: false },
  "message.send": { who: ["admin", "officer", "manager", "approver"], over: "any", reads: false, idem: true, ifSeq: true },
  "message.list": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "any", reads: true, idem: false, ifSeq: false },
  "approval.answer": { who: ["admin", "officer", "manager", "approver"], over: "any", reads: false, idem: true, ifSeq: true },
  "document.list": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "any", reads: true, idem: false, ifSeq: false },
  "document.get": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "any", reads: true, idem: false, ifSeq: false },
  "document.download": { who: ["admin", "officer", "manager", "approver", "viewer"], over: "download", reads: true, idem: false, ifSeq: false },
  "fault.plan": { who: ["admin"], over: "any", reads: false, idem: false, ifSeq: false },
  "drill.panic": { who: ["admin"], over: "any", reads: false, idem: false, ifSeq: false },
} as const satisfies Record<Method, MethodFacts>;

/** Every notification that a server sends, and what it holds. */
export interface Notifications {
  /** The session was opened by the socket's `Authorization` header. */
  "session.opened": SessionOpened;
  /** The server is there. */
  "session.heartbeat": HeartbeatNotice;
  /** The server is about to close the socket. */
  "session.closing": Closing;
  /** The mission in the socket's path is watched now. */
  "mission.watching": Watching;
  /** Something happened in a watched mission. */
  "mission.events": MissionEvents;
  /** Who is in a watched mission; each replaces the one before. */
  "mission.presence": MissionPresence;
  /** Something goes on in a watched mission that is never stored; a loss is always followed by one that is whole. */
  "mission.live": MissionLive;
  /** A watched list of missions changed. */
  "missions.changed": MissionsChanged;
  /** The watched inbox changed. */
  "inbox.changed": InboxChanged;
  /** The server ended a watch of whatever kind; the session goes on. */
  "watch.ended": WatchEnded;
}

/** Every code that a request may be refused with, by its name. */
export const FAULTS = {
  /** The message is not valid JSON. */
  parse_error: { code: -32700, kind: "invalid", temporary: false },
  /** The message is JSON and not a JSON-RPC 2.0 request. */
  invalid_request: { code: -32600, kind: "invalid", temporary: false },
  /** There is no such method. */
  method_not_found: { code: -32601, kind: "not_found", temporary: false },
  /** A parameter is missing, unknown, or of the wrong type. */
  invalid_params: { code: -32602, kind: "invalid", temporary: false },
  /** The server failed; the log of the server has the details. */
  internal: { code: -32603, kind: "internal", temporary: true },
  /** A queue of the server is full; nothing was done. */
  overloaded: { code: -32001, kind: "overloaded", temporary: true },
  /** Nobody is signed in on this connection or request. */
  unauthenticated: { code: 1000, kind: "unauthenticated", temporary: false },
  /** The token was not made by this server, or was changed. */
  token_invalid: { code: 1001, kind: "unauthenticated", temporary: false },
  /** The token is past its time. */
  token_expired: { code: 1002, kind: "unauthenticated", temporary: false },
  /** The sign-in that the token belongs to has ended. */
  token_revoked: { code: 1003, kind: "unauthenticated", temporary: false },
  /** The name or the password is wrong. */
  bad_login: { code: 1004, kind: "unauthenticated", temporary: false },
  /** The refresh token was used before; the whole sign-in is revoked. */
  refresh_reused: { code: 1005, kind: "unauthenticated", temporary: false },
  /** The account was closed by an admin. */
  account_closed: { code: 1006, kind: "unauthenticated", temporary: false },
  /** The caller's role does not allow this operation. */
  forbidden: { code: 1100, kind: "forbidden", temporary: false },
  /** This server does not take sign-ups. */
  signup_closed: { code: 1101, kind: "forbidden", temporary: false },
  /** There is no such route. */
  route_not_found: { code: 1200, kind: "not_found", temporary: false },
  /** There is no such mission in the caller's organization. */
  mission_not_found: { code: 1201, kind: "not_found", temporary: false },
  /** The mission has no such step. */
  step_not_found: { code: 1202, kind: "not_found", temporary: false },
  /** There is no such document in the caller's organization. */
  document_not_found: { code: 1203, kind: "not_found", temporary: false },
  /** The mission has no such question or approval. */
  approval_not_found: { code: 1204, kind: "not_found", temporary: false },
  /** The session watches nothing under this name. */
  subscription_not_found: { code: 1205, kind: "not_found", temporary: false },
  /** The organization has no such person. */
  user_not_found: { code: 1206, kind: "not_found", temporary: false },
  /** The caller's inbox has no such item. */
  item_not_found: { code: 1207, kind: "not_found", temporary: false },
  /** The mission's status does not allow it. */
  illegal_transition: { code: 1300, kind: "conflict", temporary: false },
  /** A step cannot stand under itself or under one of its own children. */
  step_cycle: { code: 1301, kind: "conflict", temporary: false },
  /** The name is taken. */
  name_taken: { code: 1302, kind: "conflict", temporary: false },
  /** The session is open for somebody else already. */
  already_open: { code: 1303, kind: "conflict", temporary: false },
  /** The session watches something under this name already. */
  subscription_taken: { code: 1304, kind: "conflict", temporary: false },
  /** Somebody has answered already. */
  already_answered: { code: 1305, kind: "conflict", temporary: false },
  /** An agent of this name is not set up on this server. */
  agent_unknown: { code: 1306, kind: "conflict", temporary: false },
  /** The mission has moved on since `if_seq`; `data.conflict` has what changed. */
  seq_conflict: { code: 1307, kind: "conflict", temporary: false },
  /** The value of `idem` was used for another call. */
  idem_reused: { code: 1308, kind: "conflict", temporary: false },
  /** An organization needs an admin whose account is active. */
  last_admin: { code: 1309, kind: "conflict", temporary: false },
  /** The watch was ended with an unwatch before it stood. */
  unwatched: { code: 1310, kind: "conflict", temporary: false },
  /** The message or a value in it is over its size limit. */
  too_large: { code: 1400, kind: "too_large", temporary: false },
  /** The mission, or the session, has as many of these as it may have. */
  limit_reached: { code: 1401, kind: "too_large", temporary: false },
  /** The caller asks too often. */
  rate_limited: { code: 1500, kind: "rate_limited", temporary: true },
  /** The person has as many live sessions as one may have. */
  too_many_sessions: { code: 1501, kind: "rate_limited", temporary: true },
  /** The mission is being restarted; whether the command was carried out is not known. */
  mission_restarting: { code: 1600, kind: "unavailable", temporary: true },
  /** The mission's stored history cannot be read; it is set aside and nothing was changed. */
  mission_quarantined: { code: 1601, kind: "unavailable", temporary: false },
  /** The store cannot be written now; nothing was changed. */
  store_unavailable: { code: 1602, kind: "unavailable", temporary: true },
  /** The operation needs another transport than the one it came by. */
  wrong_transport: { code: 1603, kind: "invalid", temporary: false },
  /** The operation is for drills, and this server does not allow them. */
  drills_off: { code: 1604, kind: "forbidden", temporary: false },
  /** The server stops and takes nothing new; its next run, or its successor, does. */
  server_restarting: { code: 1605, kind: "unavailable", temporary: true },
  /** The operation plans faults, and this server does not allow them. */
  faults_off: { code: 1606, kind: "forbidden", temporary: false },
  /** A value is not acceptable. */
  invalid_value: { code: 1700, kind: "invalid", temporary: false },
  /** The session takes text frames alone. */
  binary_frame: { code: 1701, kind: "invalid", temporary: false },
} as const satisfies Record<string, { code: number; kind: Kind; temporary: boolean }>;

/** The name of a code. */
export type FaultName = keyof typeof FAULTS;

/** Every code that the server closes a socket with: whether to come back. */
export const CLOSE_CODES = {
  /** The server stops; its next run, or its successor, goes on. */
  4000: { reason: "server restarting", comeBack: true },
  /** The access token ran out; get another and come back. */
  4001: { reason: "token expired", comeBack: true },
  /** Nothing was heard from the client for too long. */
  4008: { reason: "silent for too long", comeBack: true },
  /** The client does not read what it asked for. */
  4013: { reason: "too slow", comeBack: true },
  /** No valid `session.open` came in time. */
  4508: { reason: "not opened in time", comeBack: false },
  /** The sign-in has ended, or its owner may not be here any more. */
  4501: { reason: "sign-in ended", comeBack: false },
  /** The client sent what is no text of the WebSocket protocol. */
  4502: { reason: "malformed frame", comeBack: false },
  /** A message was over the limit that the opening reply states. */
  4509: { reason: "message too large", comeBack: false },
} as const satisfies Record<number, { reason: string; comeBack: boolean }>;
