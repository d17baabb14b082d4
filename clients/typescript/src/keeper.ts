// Keeps a client connected: one connection after the other, each with a token that is good, until that is pointless.

import { Disconnected, Ended, Refused, SignedOut, asError, isFinal, type FlightdeckError } from "./errors.js";
import type { Closing } from "./generated.js";
import { Session, type Closed, type SessionHandlers, type SessionOptions } from "./session.js";
import { backoff, sleep, type Backoff } from "./timing.js";
import { askForToken, keepRenewed, type TokenRequest, type TokenSource } from "./tokens.js";

/** How connections are kept. */
export interface KeeperRules {
  /** The address of the socket. */
  address: string;
  token: TokenSource;
  tokenTimeoutMs: number;
  session: SessionOptions;
  /** How the waits before coming back grow. */
  backoff: Backoff;
  random: () => number;
}

/** Who is told how it is with the connection, besides what comes over it. */
export interface Kept extends SessionHandlers {
  connecting(): void;
  opened(session: Session): void;
  /** The session that was opened is over. */
  lost(): void;
  waiting(why: FlightdeckError, retryInMs: number): void;
  /** Something went wrong, and is tried again without a wait in the connection. */
  trouble(error: FlightdeckError): void;
}

/** A connection that held this long starts the waits over. */
const HELD_MS = 5_000;
/** A token that is not taken is exchanged for another this often in a row. */
const REFUSALS = 5;

/** How one connection went, when the next is to follow. */
interface Over {
  why: FlightdeckError;
  /** When to come back, if the server said so. */
  afterMs?: number;
  /** What to ask for the next token with. */
  next: TokenRequest;
  /** Whether it held for a while. */
  held: boolean;
}

/** Keeps one connection after the other, until it is pointless or `signal` says to stop. */
export class Keeper {
  readonly #rules: KeeperRules;
  readonly #kept: Kept;
  readonly #signal: AbortSignal;
  /** How many tokens in a row the server did not take. */
  #refusals = 0;
  /** Ends the present wait. */
  #hurry: (() => void) | undefined;

  constructor(rules: KeeperRules, kept: Kept, signal: AbortSignal) {
    this.#rules = rules;
    this.#kept = kept;
    this.#signal = signal;
  }

  /** Connects again and again, and gives the reason why no more. It never rejects, and tells nothing after `signal`. */
  async run(): Promise<Ended> {
    let attempt = 0;
    let request: TokenRequest = { reason: "connect" };
    while (!this.#signal.aborted) {
      this.#kept.connecting();
      const over = await this.#connection(request);
      if (over instanceof Ended) return over;
      if (this.#signal.aborted) break;
      if (over.held) attempt = 0;
      // A token that is not taken is exchanged at once, the first time.
      const atOnce = over.next.reason === "refused" && this.#refusals === 1;
      const spread = atOnce ? 0 : backoff(attempt++, this.#rules.backoff, this.#rules.random);
      const retryInMs = Math.round(Math.max(over.afterMs ?? 0, over.held && over.afterMs !== undefined ? 0 : spread));
      request = over.next;
      this.#kept.waiting(over.why, retryInMs);
      await this.#wait(retryInMs);
    }
    return closedHere();
  }

  /** Ends the present wait: the network came back, for one. */
  hurry(): void {
    this.#hurry?.();
  }

  async #wait(ms: number): Promise<void> {
    const wait = new AbortController();
    const stop = (): void => wait.abort();
    this.#hurry = stop;
    this.#signal.addEventListener("abort", stop);
    await sleep(ms, wait.signal);
    this.#signal.removeEventListener("abort", stop);
    this.#hurry = undefined;
  }

  /** One connection, from getting a token to its end. */
  async #connection(request: TokenRequest): Promise<Over | Ended> {
    const { address, token: source, tokenTimeoutMs, session: options } = this.#rules;
    let token: string;
    try {
      token = await askForToken(source, request, tokenTimeoutMs);
    } catch (error) {
      if (error instanceof SignedOut) return signedOut(error);
      return { why: asError(error, "there is no token"), next: request, held: false };
    }
    if (this.#signal.aborted) return closedHere();
    let session: Session;
    try {
      session = await Session.open(address, token, this.#kept, options, this.#signal);
    } catch (error) {
      return this.#refused(asError(error, "there is no session"), token);
    }
    if (this.#signal.aborted) return closedHere();
    this.#refusals = 0;
    const since = Date.now();
    const renewals = new AbortController();
    let end: Ended | undefined;
    const renewal = {
      source,
      timeoutMs: tokenTimeoutMs,
      backoff: this.#rules.backoff,
      random: this.#rules.random,
      renewed: (newer: string) => (token = newer),
      failed: (error: FlightdeckError) => this.#kept.trouble(error),
      signedOut: (error: SignedOut) => {
        end = signedOut(error);
        session.close();
      },
    };
    void keepRenewed(session, token, renewal, renewals.signal);
    this.#kept.opened(session);
    const closed = await session.closed;
    renewals.abort();
    if (this.#signal.aborted) return closedHere();
    this.#kept.lost();
    return end ?? this.#closed(closed, token, Date.now() - since >= HELD_MS);
  }

  /** What to do after a session has ended. */
  #closed(closed: Closed, token: string, held: boolean): Over | Ended {
    const why = new Disconnected(closed.reason, true, closed.code);
    if (isFinal(closed.code)) return dismissed(why);
    const expired = closed.code === 4001;
    const next: TokenRequest = expired ? { reason: "expired", rejected: token } : { reason: "connect" };
    const afterMs = closed.closing && comeBackAfter(closed.closing, this.#rules.random);
    return { why, next, held, ...(afterMs !== undefined && { afterMs }) };
  }

  /** What to do when a session could not be opened with `token`. */
  #refused(why: FlightdeckError, token: string): Over | Ended {
    if (why instanceof Ended) return why;
    if (why instanceof Disconnected && isFinal(why.code)) return dismissed(why);
    const again: Over = { why, next: { reason: "connect" }, held: false };
    if (!(why instanceof Refused)) return again;
    if (why.kind === "unauthenticated" && this.#refusals < REFUSALS) {
      this.#refusals += 1;
      return { ...again, next: { reason: "refused", rejected: token } };
    }
    if (!why.temporary) return new Ended("refused", why.message, { cause: why });
    // Others were told the same.
    const afterMs = why.retryAfterMs && why.retryAfterMs * (1 + this.#rules.random());
    return { ...again, ...(afterMs !== undefined && { afterMs }) };
  }
}

/** When the server said to come back, with a part of chance. */
function comeBackAfter({ reconnect_after_ms, jitter_ms }: Closing, random: () => number): number | undefined {
  return reconnect_after_ms === undefined ? undefined : reconnect_after_ms + random() * (jitter_ms ?? 0);
}

function closedHere(): Ended {
  return new Ended("closed", "the client was closed");
}

function signedOut(error: SignedOut): Ended {
  return new Ended("signed_out", error.message, { cause: error });
}

function dismissed(why: Disconnected): Ended {
  return new Ended("dismissed", why.message, { code: why.code, cause: why });
}
