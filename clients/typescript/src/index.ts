// The client of Flightdeck's live protocol.

export { Client, type ClientOptions, type ClientState } from "./client.js";
export * from "./commands.js";
export { Disconnected, Ended, FlightdeckError, QueueFull, Refused, SignedOut, TimedOut, type EndedReason } from "./errors.js";
export * from "./generated.js";
export { freshIdem } from "./idem.js";
export { Inbox, MissionList, applyInboxChanges, applyMissionChanges, inListOrder, type MissionsQuery } from "./lists.js";
export { STILL, applyLive, settleLive, type Live } from "./live.js";
export { EXPECTED_ID, type CommandMethod, type CommandOptions, type CommandParams, type Expected } from "./optimistic.js";
export { apply, created, skip, subtree } from "./reducer.js";
export { SignIn, type SignInOptions, type Tokens } from "./sign_in.js";
export { Session, type Closed, type Outcome, type SessionHandlers, type SessionOptions, type SocketConstructor, type SocketLike } from "./session.js";
export { Subscription, type SubscriptionState } from "./subscription.js";
export type { Backoff } from "./timing.js";
export type { TokenRequest, TokenSource } from "./tokens.js";
export { MissionWatch, type Known, type Presenting, type WatchNews, type WatchOptions } from "./watch.js";
