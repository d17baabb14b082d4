// A client: keeps a session alive over lost connections, restarts of the server and expired tokens.

import { socketAddress } from "./address.js";
import { Calls } from "./calls.js";
import { Disconnected, Ended, FlightdeckError, Refused, SignedOut, asError } from "./errors.js";
import type { Closing, Method, Methods, MissionId, Notifications, SessionOpened } from "./generated.js";
import { guarded } from "./idem.js";
import { Inbox, MissionList, type MissionsQuery } from "./lists.js";
import { Listeners } from "./listeners.js";
import { Session, type Closed, type SocketConstructor } from "./session.js";
import type { Host, Subscription } from "./subscription.js";
import { backoff, sleep, type Backoff } from "./timing.js";
import { askForToken, keepRenewed, type TokenRequest, type TokenSource } from "./tokens.js";
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

/** A connection that held this long starts the waits over. */
const HELD_MS = 5_000;

/** How one connection went. */
interface Over {
  why: FlightdeckError;
  comeBack: boolean;
  /** When to come back, if the server said so. */
  afterMs?: number;
  /** What to ask for the next token with. */
  next: TokenRequest;
  /** Whether it held for a while. */
  held: boolean;
}

/** A live session with a server, for as long as it is wanted. */
export class Client implements Host {
  readonly backoff: Backoff;
  readonly random: () => number;

  readonly #options: ClientOptions;
  readonly #address: string;
  readonly #calls: Calls;
  readonly #states = new Listeners<ClientState>();
  readonly #troubles = new Listeners<FlightdeckError>();
  readonly #notices = new Listeners<{ method: string; params: unknown }>();
  readonly #subscriptions = new Set<Subscription>();
  readonly #routes = new Map<string, Subscription>();
  #names = 0;
  #state: ClientState = { name: "idle" };
  #session: Session | undefined;
  #user: SessionOpened["user"] | undefined;
  #run: AbortController | undefined;
  /** Ends the present wait. */
  #hurry: (() => void) | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#address = socketAddress(options.url);
    this.backoff = options.backoff ?? { firstMs: 500, longestMs: 20_000 };
    this.random = options.random ?? Math.random;
    this.#calls = new Calls({
      queuedCalls: options.queuedCalls ?? 256,
      queuedCharacters: options.queuedCharacters ?? 1 << 20,
      backoff: this.backoff,
      random: this.random,
    });
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
    const run = new AbortController();
    this.#run = run;
    this.#calls.begin();
    globalThis.addEventListener?.("online", this.#online);
    void this.#stay(run.signal).then((end) => {
      if (run.signal.aborted || end === undefined) return;
      this.#stop(end);
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
    this.#stop(new Ended("the client was closed"));
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
    const timeoutMs = options.timeoutMs ?? this.#options.callTimeoutMs ?? 30_000;
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
    run?.abort();
    globalThis.removeEventListener?.("online", this.#online);
    this.#detach();
    this.#calls.end(end);
    this.#become({ name: "ended", why: end });
  }

  readonly #online = (): void => this.#hurry?.();

  #become(state: ClientState): void {
    this.#state = state;
    this.#states.tell(state);
  }

  /** One connection after the other, until it is over for good. */
  async #stay(signal: AbortSignal): Promise<Ended | undefined> {
    let attempt = 0;
    let request: TokenRequest = { reason: "connect" };
    while (!signal.aborted) {
      this.#become({ name: "connecting" });
      const over = await this.#connection(request, signal);
      if (signal.aborted) return undefined;
      if (!over.comeBack) {
        const code = over.why instanceof Disconnected ? over.why.code : undefined;
        return new Ended(over.why.message, code, { cause: over.why });
      }
      if (over.held) attempt = 0;
      // A token that is not taken is exchanged at once, the first time.
      const atOnce = over.next.reason === "refused" && request.reason !== "refused";
      const spread = atOnce ? 0 : backoff(attempt++, this.backoff, this.random);
      const retryInMs = Math.round(Math.max(over.afterMs ?? 0, over.held && over.afterMs !== undefined ? 0 : spread));
      request = over.next;
      this.#become({ name: "waiting", why: over.why, retryInMs });
      await this.#wait(retryInMs, signal);
    }
    return undefined;
  }

  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    const wait = new AbortController();
    const stop = (): void => wait.abort();
    this.#hurry = stop;
    signal.addEventListener("abort", stop);
    await sleep(ms, wait.signal);
    signal.removeEventListener("abort", stop);
    this.#hurry = undefined;
  }

  /** One connection, from getting a token to its end. It never rejects. */
  async #connection(request: TokenRequest, signal: AbortSignal): Promise<Over> {
    const { source, timeoutMs } = { source: this.#options.token, timeoutMs: this.#options.tokenTimeoutMs ?? 15_000 };
    let token: string;
    try {
      token = await askForToken(source, request, timeoutMs);
    } catch (error) {
      const why = asError(error, "there is no token");
      return { why, comeBack: !(error instanceof SignedOut), next: request, held: false };
    }
    if (signal.aborted) return { why: new Ended("the client was closed"), comeBack: false, next: request, held: false };
    let session: Session;
    try {
      session = await this.#open(token, signal);
    } catch (error) {
      return refused(asError(error, "there is no session"), token);
    }
    const since = Date.now();
    const renewals = new AbortController();
    const renewal = {
      source,
      timeoutMs,
      backoff: this.backoff,
      random: this.random,
      renewed: (newer: string) => (token = newer),
      failed: (error: FlightdeckError) => this.#troubles.tell(error),
      signedOut: (error: SignedOut) => this.#stop(new Ended(error.message, undefined, { cause: error })),
    };
    void keepRenewed(session, token, renewal, renewals.signal);
    this.#attach(session);
    const closed = await session.closed;
    renewals.abort();
    if (!signal.aborted) this.#detach();
    return this.#ended(closed, token, Date.now() - since >= HELD_MS);
  }

  async #open(token: string, signal: AbortSignal): Promise<Session> {
    const session = await Session.open(
      this.#address,
      token,
      { notified: (method, params) => this.#notified(method, params), roomy: () => this.#calls.pump() },
      {
        ...(this.#options.WebSocket && { WebSocket: this.#options.WebSocket }),
        connectTimeoutMs: this.#options.connectTimeoutMs ?? 10_000,
        pingEveryMs: this.#options.pingEveryMs ?? 20_000,
      },
    );
    const end = (): void => session.close();
    signal.addEventListener("abort", end);
    void session.closed.then(() => signal.removeEventListener("abort", end));
    if (signal.aborted) end();
    return session;
  }

  #ended(closed: Closed, token: string, held: boolean): Over {
    const why = new Disconnected(closed.reason, true, closed.code);
    const expired = closed.code === 4001;
    const next: TokenRequest = expired ? { reason: "expired", rejected: token } : { reason: "connect" };
    const afterMs = closed.closing && comeBackAfter(closed.closing, this.random);
    return { why, comeBack: closed.comeBack, next, held, ...(afterMs !== undefined && { afterMs }) };
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

/** When the server said to come back, with a part of chance. */
function comeBackAfter({ reconnect_after_ms, jitter_ms }: Closing, random: () => number): number | undefined {
  return reconnect_after_ms === undefined ? undefined : reconnect_after_ms + random() * (jitter_ms ?? 0);
}

/** What to do when a session could not be opened with `token`. */
function refused(why: FlightdeckError, token: string): Over {
  const stale = why instanceof Refused && why.kind === "unauthenticated";
  const next: TokenRequest = stale ? { reason: "refused", rejected: token } : { reason: "connect" };
  const afterMs = why instanceof Refused ? why.retryAfterMs : undefined;
  const comeBack = !(why instanceof Disconnected) || why.code < 4500 || why.code > 4999;
  return { why, comeBack, next, held: false, ...(afterMs !== undefined && { afterMs }) };
}
