// A client: keeps a session alive over lost connections, restarts of the server and expired tokens.

import { socketAddress } from "./address.js";
import { Calls } from "./calls.js";
import { Ended, type FlightdeckError } from "./errors.js";
import type { Method, Methods, MissionId, Notifications, SessionOpened } from "./generated.js";
import { guarded } from "./idem.js";
import { Keeper, type KeeperRules, type Kept } from "./keeper.js";
import { Inbox, MissionList, type MissionsQuery } from "./lists.js";
import { Listeners } from "./listeners.js";
import type { Session, SocketConstructor } from "./session.js";
import type { Host, Subscription } from "./subscription.js";
import type { Backoff } from "./timing.js";
import type { TokenSource } from "./tokens.js";
import { MissionWatch, type WatchOptions } from "./watch.js";

/** How a client behaves. All but the first two have sensible defaults; times are in milliseconds. */
export interface ClientOptions {
  /** The server, such as `https://desk.example`. */
  url: string;
  /** Gives access tokens. It may throw, reject, or never settle: it is asked again. */
  token: TokenSource;
  /** Makes sockets; the platform's own where absent. */
  WebSocket?: SocketConstructor;
  /** How long a call may take, from the call to the answer, over however many connections: 30 s. */
  callTimeoutMs?: number;
  /** How long connecting and opening a session may take: 10 s. */
  connectTimeoutMs?: number;
  /** How long the token callback may take: 15 s. */
  tokenTimeoutMs?: number;
  /** The longest silence of this side: 20 s, or a third of what the server allows. */
  pingEveryMs?: number;
  /** The waits before coming back: anything from 0 to a bound that doubles from 0.5 s to 20 s. */
  backoff?: Backoff;
  /** Calls that wait for a connection at most: 256. */
  queuedCalls?: number;
  /** The same in characters of their parameters: 1,048,576. */
  queuedCharacters?: number;
  /** Numbers from 0 to 1, for the jitter. */
  random?: () => number;
}

/** How it is with the connection. */
export type ClientState =
  | { name: "idle" }
  | { name: "connecting" }
  | { name: "open"; session: SessionOpened }
  | { name: "waiting"; why: FlightdeckError; retryInMs: number }
  | { name: "ended"; why: Ended };

/** A live session with a server, for as long as it is wanted. */
export class Client implements Host {
  readonly backoff: Backoff;
  readonly random: () => number;

  readonly #callTimeoutMs: number;
  readonly #calls: Calls;
  readonly #rules: KeeperRules;
  readonly #states = new Listeners<ClientState>();
  readonly #troubles = new Listeners<FlightdeckError>();
  readonly #notices = new Listeners<{ method: string; params: unknown }>();
  readonly #subscriptions = new Set<Subscription>();
  readonly #routes = new Map<string, Subscription>();
  #names = 0;
  #state: ClientState = { name: "idle" };
  #session: Session | undefined;
  #user: SessionOpened["user"] | undefined;
  /** What keeps it connected, while that is wanted. */
  #run: { keeper: Keeper; stop: AbortController } | undefined;

  constructor(options: ClientOptions) {
    this.#callTimeoutMs = options.callTimeoutMs ?? 30_000;
    this.backoff = options.backoff ?? { firstMs: 500, longestMs: 20_000 };
    this.random = options.random ?? Math.random;
    this.#calls = new Calls({
      queuedCalls: options.queuedCalls ?? 256,
      queuedCharacters: options.queuedCharacters ?? 1 << 20,
      backoff: this.backoff,
      random: this.random,
    });
    this.#rules = {
      address: socketAddress(options.url),
      token: options.token,
      tokenTimeoutMs: options.tokenTimeoutMs ?? 15_000,
      session: {
        ...(options.WebSocket && { WebSocket: options.WebSocket }),
        connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
        pingEveryMs: options.pingEveryMs ?? 20_000,
      },
      backoff: this.backoff,
      random: this.random,
    };
  }

  /** How it is with the connection. */
  get state(): ClientState {
    return this.#state;
  }

  /** Who is signed in, once a session was open. */
  get user(): SessionOpened["user"] | undefined {
    return this.#user;
  }

  /** Calls `listener` whenever {@link state} changes; what is returned ends that. */
  onState(listener: (state: ClientState) => void): () => void {
    return this.#states.add(listener);
  }

  /** Calls `listener` with what went wrong and is tried again by itself, such as a renewal of the token. */
  onTrouble(listener: (error: FlightdeckError) => void): () => void {
    return this.#troubles.add(listener);
  }

  /** Calls `listener` with every notification that is not about a watch of this client. */
  onNotification(listener: (notice: { method: string; params: unknown }) => void): () => void {
    return this.#notices.add(listener);
  }

  /** Connects, and stays connected until {@link close}. After an end that was final it begins anew. */
  connect(): this {
    if (this.#run !== undefined) return this;
    const stop = new AbortController();
    const keeper = new Keeper(this.#rules, this.#kept, stop.signal);
    this.#run = { keeper, stop };
    this.#calls.begin();
    globalThis.addEventListener?.("online", this.#online);
    void keeper.run().then((end) => {
      if (!stop.signal.aborted) this.#stop(end);
    });
    return this;
  }

  /** Resolves once a session is open; rejects with an {@link Ended} if there will be none. */
  ready(): Promise<SessionOpened> {
    return new Promise((resolve, reject) => {
      const look = (state: ClientState): boolean => {
        if (state.name === "open") resolve(state.session);
        else if (state.name === "ended") reject(state.why);
        else return false;
        return true;
      };
      if (look(this.#state)) return;
      const stop = this.onState((state) => {
        if (look(state)) stop();
      });
    });
  }

  /** Ends the session, all watches, and all calls that wait. */
  close(): void {
    for (const subscription of [...this.#subscriptions]) subscription.close();
    this.#stop(new Ended("closed", "the client was closed"));
  }

  /**
   * Calls an operation, now or as soon as there is a connection. One that only reads, or that carries `idem` (which
   * is added to all that take it), survives a lost connection: it is asked again, and carried out once.
   *
   * @throws {Refused} when the server refuses
   * @throws {Disconnected} when the connection was lost and asking again could do it twice
   * @throws {TimedOut} when there was no answer in time
   * @throws {QueueFull} when too much waits already
   * @throws {Ended} when there will be no connection
   */
  call<M extends Method>(
    method: M,
    params: Methods[M]["params"],
    options: { timeoutMs?: number } = {},
  ): Promise<Methods[M]["result"]> {
    const timeoutMs = options.timeoutMs ?? this.#callTimeoutMs;
    return this.#calls.call(method, guarded(method, params), timeoutMs);
  }

  /** Watches a mission. */
  watch(mission: MissionId, options: WatchOptions = {}): MissionWatch {
    const me = (): { id: string; name: string } => ({ id: this.#user?.id ?? "", name: this.#user?.username ?? "" });
    return this.#begin(new MissionWatch(this, mission, me, options));
  }

  /** Watches a list of missions. */
  watchMissions(query: MissionsQuery = {}): MissionList {
    return this.#begin(new MissionList(this, query));
  }

  /** Watches what waits for the person. */
  watchInbox(): Inbox {
    return this.#begin(new Inbox(this));
  }

  /** For subscriptions. */
  freshName(): string {
    return `w${++this.#names}`;
  }

  /** For subscriptions. */
  route(name: string, subscription: Subscription): void {
    this.#routes.set(name, subscription);
  }

  /** For subscriptions. */
  unroute(name: string): void {
    this.#routes.delete(name);
  }

  /** For subscriptions. */
  forget(subscription: Subscription): void {
    this.#subscriptions.delete(subscription);
  }

  #begin<S extends Subscription>(subscription: S): S {
    this.#subscriptions.add(subscription);
    if (this.#session !== undefined) subscription.attach(this.#session);
    return subscription;
  }

  #stop(end: Ended): void {
    const run = this.#run;
    this.#run = undefined;
    run?.stop.abort();
    globalThis.removeEventListener?.("online", this.#online);
    this.#detach();
    this.#calls.end(end);
    this.#become({ name: "ended", why: end });
  }

  readonly #kept: Kept = {
    connecting: () => this.#become({ name: "connecting" }),
    opened: (session) => this.#attach(session),
    lost: () => this.#detach(),
    waiting: (why, retryInMs) => this.#become({ name: "waiting", why, retryInMs }),
    notified: (method, params) => this.#notified(method, params),
    roomy: () => this.#calls.pump(),
    trouble: (error) => this.#troubles.tell(error),
  };

  readonly #online = (): void => this.#run?.keeper.hurry();

  #become(state: ClientState): void {
    this.#state = state;
    this.#states.tell(state);
  }

  #attach(session: Session): void {
    this.#session = session;
    this.#user = session.opened.user;
    this.#become({ name: "open", session: session.opened });
    for (const subscription of [...this.#subscriptions]) subscription.attach(session);
    this.#calls.attach(session);
  }

  #detach(): void {
    if (this.#session === undefined) return;
    this.#session = undefined;
    this.#calls.detach();
    for (const subscription of [...this.#subscriptions]) subscription.detach();
    this.#routes.clear();
  }

  #notified(method: string, params: unknown): void {
    const sub = (params as { sub?: unknown } | undefined)?.sub;
    const subscription = typeof sub === "string" ? this.#routes.get(sub) : undefined;
    if (subscription !== undefined) subscription.notified(method as keyof Notifications, params as never);
    // What comes late about a watch that is over is of no interest to anyone.
    else if (sub === undefined) this.#notices.tell({ method, params });
  }
}
