// What all watches have in common: they are asked for on every connection, and stand until someone ends them.

import { Disconnected, Ended, FlightdeckError, Refused } from "./errors.js";
import type { Method, Methods, Notifications, WatchEnded } from "./generated.js";
import { Listeners } from "./listeners.js";
import type { Session } from "./session.js";
import { backoff, type Backoff } from "./timing.js";

/** What a subscription needs of its client. */
export interface Host {
  readonly backoff: Backoff;
  readonly random: () => number;
  /** A name that no watch of this client had before. */
  freshName(): string;
  /** Notifications about `name` go to `subscription`. */
  route(name: string, subscription: Subscription): void;
  /** They go nowhere. */
  unroute(name: string): void;
  /** The subscription is over. */
  forget(subscription: Subscription): void;
  /** Calls an operation over whatever connection there is. */
  call<M extends Method>(method: M, params: Methods[M]["params"]): Promise<Methods[M]["result"]>;
}

/** How long the server has to answer a request for a watch, in milliseconds. */
const ANSWER_MS = 30_000;

/** `waiting`: it is not up to date; `live`: it is; `ended`: nothing follows. */
export type SubscriptionState = "waiting" | "live" | "ended";

/** Something that is watched for as long as it is wanted. */
export abstract class Subscription {
  protected readonly host: Host;
  protected session: Session | undefined;
  #name: string | undefined;
  #state: SubscriptionState = "waiting";
  #error: FlightdeckError | undefined;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #changed = new Listeners<void>();

  constructor(host: Host) {
    this.host = host;
  }

  /** Whether it is up to date. */
  get state(): SubscriptionState {
    return this.#state;
  }

  /** Why it ended, or why it waits, where that is known. */
  get error(): FlightdeckError | undefined {
    return this.#error;
  }

  /** Calls `listener` after every change; what is returned ends that. */
  subscribe(listener: () => void): () => void {
    return this.#changed.add(listener);
  }

  /** Resolves once `ready` holds of this; rejects if it ends before. */
  until(ready: (self: this) => boolean): Promise<this> {
    return new Promise((resolve, reject) => {
      const look = (): boolean => {
        if (ready(this)) resolve(this);
        else if (this.#state === "ended") reject(this.#error);
        else return false;
        return true;
      };
      if (look()) return;
      const stop = this.subscribe(() => {
        if (look()) stop();
      });
    });
  }

  /** Ends it. */
  close(): void {
    const [session, name] = [this.session, this.#name];
    this.#finish(new Ended("closed", "the watch was closed by this side"));
    // Whatever the answer is, nothing more is heard of it.
    if (name !== undefined) session?.request(this.ending, { sub: name }, () => undefined);
  }

  /** There is a connection. */
  attach(session: Session): void {
    this.session = session;
    this.ask();
  }

  /** The connection is gone. */
  detach(): void {
    this.session = undefined;
    clearTimeout(this.#timer);
    this.#unname();
    this.lost();
    this.wait(undefined);
  }

  /** A notification about this. */
  notified<N extends keyof Notifications>(method: N, params: Notifications[N]): void {
    if (method === "watch.ended") {
      const error = new Refused((params as WatchEnded).error);
      if (error.temporary) this.#askLater(error);
      else this.#finish(error);
    } else {
      this.heard(method, params);
    }
  }

  /** The operation that ends it. */
  protected abstract readonly ending: "mission.unwatch" | "missions.unwatch" | "inbox.unwatch";
  /** Sends the request for it under `name`, and gives {@link settled} what comes of it. */
  protected abstract request(session: Session, name: string): void;
  /** Takes what a notification says. */
  protected abstract heard<N extends keyof Notifications>(method: N, params: Notifications[N]): void;
  /** Forgets what is only true while there is a connection. */
  protected abstract lost(): void;

  /** Asks for it on the present connection, under a new name. */
  protected ask(): void {
    clearTimeout(this.#timer);
    if (this.session === undefined || this.#state === "ended") return;
    this.#unname();
    this.#name = this.host.freshName();
    this.host.route(this.#name, this);
    this.#timer = setTimeout(() => this.askAnew(`the watch was not answered within ${ANSWER_MS} ms`), ANSWER_MS);
    this.request(this.session, this.#name);
  }

  /** Asks for it anew, since what came does not fit to what is here. */
  protected askAnew(why: string): void {
    const name = this.#name;
    if (name !== undefined) this.session?.request(this.ending, { sub: name }, () => undefined);
    this.wait(new FlightdeckError(why));
    this.ask();
  }

  /** The server said yes, and `took` it; or no, and it is asked again or over. */
  protected settled<T>(name: string, outcome: { result: T } | { error: FlightdeckError }, took: (result: T) => void): void {
    if (name !== this.#name) return;
    clearTimeout(this.#timer);
    if (!("error" in outcome)) {
      this.#failures = 0;
      this.#error = undefined;
      this.#state = "live";
      took(outcome.result);
      this.#changed.tell();
      return;
    }
    const { error } = outcome;
    // The client asks again by itself on the next connection.
    if (error instanceof Disconnected) return;
    if (error instanceof Refused && !error.temporary) return this.#finish(error);
    this.#askLater(error);
  }

  /** Something of it changed. */
  protected changed(): void {
    this.#changed.tell();
  }

  /** It is not up to date. */
  protected wait(error: FlightdeckError | undefined): void {
    if (this.#state === "ended") return;
    this.#state = "waiting";
    this.#error = error;
    this.#changed.tell();
  }

  #askLater(error: FlightdeckError): void {
    const after = error instanceof Refused ? (error.retryAfterMs ?? 0) : 0;
    this.#unname();
    this.wait(error);
    this.#timer = setTimeout(() => this.ask(), after + backoff(this.#failures++, this.host.backoff, this.host.random));
  }

  #finish(error: FlightdeckError): void {
    if (this.#state === "ended") return;
    clearTimeout(this.#timer);
    this.#unname();
    this.#state = "ended";
    this.#error = error;
    this.lost();
    this.host.forget(this);
    this.#changed.tell();
  }

  #unname(): void {
    if (this.#name !== undefined) this.host.unroute(this.#name);
    this.#name = undefined;
  }
}
