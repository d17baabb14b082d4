// One connection: calls matched to their answers, heartbeats both ways, and an end that everyone who waits is told of.

import { Disconnected, Ended, type FlightdeckError, Refused, TimedOut, isFinal } from "./errors.js";
import {
  CLOSE_CODES,
  FAULTS,
  PROFILE,
  type Closing,
  type Fault,
  type Heartbeat,
  type Method,
  type Methods,
  type SessionOpened,
} from "./generated.js";

/** As much of a WebSocket as is used here; those of browsers and of Node have it. */
export interface SocketLike {
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** Makes WebSockets. */
export type SocketConstructor = new (address: string) => SocketLike;

/** How a session behaves; times are in milliseconds. */
export interface SessionOptions {
  /** Makes the socket; the one of the platform where absent. */
  WebSocket?: SocketConstructor;
  /** How long connecting and opening may take. */
  connectTimeoutMs: number;
  /** A ping goes out when nothing was heard or said for this long, or for a third of what the server allows. */
  pingEveryMs: number;
}

/** Who hears what comes unasked. Called in the order in which it comes, before anything later is read. */
export interface SessionHandlers {
  notified(method: string, params: unknown): void;
  /** There may be room for another request. */
  roomy(): void;
}

/** How a session ended. */
export interface Closed {
  /** The close code; 1006 where the connection was lost. */
  code: number;
  /** Why, in a few words. */
  reason: string;
  /** Whether the protocol says to come back. */
  comeBack: boolean;
  /** What the server said before, if it had the time. */
  closing?: Closing;
}

/** What came of a request. */
export type Outcome<T> = { result: T } | { error: FlightdeckError };

/** Requests that are kept back of what the server allows, for pings and renewals. */
const RESERVE = 4;
/** The close code of an end without a close frame (RFC 6455, section 7.1.5). */
const LOST = 1006;
/** How long after an error the close event may come, in milliseconds. */
const ERROR_MS = 100;

interface Pending {
  method: Method;
  settle: (outcome: Outcome<never>) => void;
}

/** A live session, opened with a token. */
export class Session {
  /** What the server said when it opened the session. */
  readonly opened: SessionOpened;
  /** Resolves once the session has ended. It never rejects. */
  readonly closed: Promise<Closed>;

  readonly #wire: Wire;

  private constructor(wire: Wire, opened: SessionOpened) {
    this.#wire = wire;
    this.opened = opened;
    this.closed = wire.closed;
  }

  /**
   * Connects to the socket at `address` and opens the session with `token`; `signal` ends it, also half way.
   *
   * @throws {Refused} when the server does not take the token
   * @throws {Disconnected} when there is no connection, or it is lost
   * @throws {TimedOut} when it takes too long
   * @throws {Ended} when the server speaks another protocol, or there is no WebSocket here
   */
  static async open(
    address: string,
    token: string,
    handlers: SessionHandlers,
    options: SessionOptions,
    signal?: AbortSignal,
  ): Promise<Session> {
    const wire = new Wire(address, handlers, options);
    const end = (): void => wire.close();
    signal?.addEventListener("abort", end);
    void wire.closed.then(() => signal?.removeEventListener("abort", end));
    if (signal?.aborted) end();
    const late = setTimeout(() => {
      wire.fail(new TimedOut(`${address} did not open a session within ${options.connectTimeoutMs} ms`));
    }, options.connectTimeoutMs);
    try {
      await wire.connected;
      const opened = await new Promise<SessionOpened>((resolve, reject) => {
        wire.request("session.open", { token }, (outcome) => {
          if ("error" in outcome) return reject(outcome.error);
          const opened: SessionOpened = outcome.result;
          if (opened.profile !== PROFILE) {
            return reject(new Ended("unsupported", `the server speaks ${opened.profile}, and this client ${PROFILE}`));
          }
          wire.adopt(opened);
          resolve(opened);
        });
      });
      return new Session(wire, opened);
    } catch (error) {
      wire.close();
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /** Whether another request may be sent now; if not, it would wait for answers to earlier ones. */
  get roomy(): boolean {
    return this.#wire.roomy;
  }

  /**
   * Sends a request. `settle` is called once: with the answer before anything that came after it is
   * read, or with a {@link Disconnected} when the session ends first. What is returned makes it not be called.
   */
  request<M extends Method>(
    method: M,
    params: Methods[M]["params"],
    settle: (outcome: Outcome<Methods[M]["result"]>) => void,
  ): () => void {
    return this.#wire.request(method, params, settle);
  }

  /** Calls an operation. */
  call<M extends Method>(method: M, params: Methods[M]["params"]): Promise<Methods[M]["result"]> {
    return new Promise((resolve, reject) => {
      this.request(method, params, (outcome) => {
        if ("error" in outcome) reject(outcome.error);
        else resolve(outcome.result);
      });
    });
  }

  /** Ends the session. */
  close(): void {
    this.#wire.close();
  }
}

/**
 * Calls an operation that anyone may call, over a connection of its own that nobody is signed in on: to sign in, for
 * one. Unlike a request by `fetch` it needs no leave for pages that came from elsewhere.
 */
export async function askOnce<M extends Method>(
  address: string,
  method: M,
  params: Methods[M]["params"],
  options: SessionOptions,
): Promise<Methods[M]["result"]> {
  const wire = new Wire(address, { notified: () => undefined, roomy: () => undefined }, options);
  const late = setTimeout(() => {
    wire.fail(new TimedOut(`${method} was not answered within ${options.connectTimeoutMs} ms`));
  }, options.connectTimeoutMs);
  try {
    await wire.connected;
    return await new Promise((resolve, reject) => {
      wire.request(method, params, (outcome) => {
        if ("error" in outcome) reject(outcome.error);
        else resolve(outcome.result);
      });
    });
  } finally {
    clearTimeout(late);
    wire.close();
  }
}

/** The socket and what waits for it. */
class Wire {
  readonly connected: Promise<void>;
  readonly closed: Promise<Closed>;

  readonly #socket: SocketLike;
  readonly #handlers: SessionHandlers;
  readonly #pending = new Map<number, Pending>();
  /** Requests beyond what the server takes at once. Watches alone come here, each with one at a time. */
  readonly #backlog: { text: string; id: number }[] = [];
  #nextId = 1;
  #end: Closed | undefined;
  #closing: Closing | undefined;
  #failed: FlightdeckError | undefined;
  #limits = { message_bytes: 65_536, requests_in_flight: RESERVE + 1 };
  #pace: { pingEveryMs: number; silenceMs: number };
  #heard = Date.now();
  #said = Date.now();
  #beat: ReturnType<typeof setInterval> | undefined;
  #settleConnected!: { resolve: () => void; reject: (error: FlightdeckError) => void };
  #settleClosed!: (closed: Closed) => void;

  constructor(address: string, handlers: SessionHandlers, options: SessionOptions) {
    this.#handlers = handlers;
    this.#pace = { pingEveryMs: options.pingEveryMs, silenceMs: 4 * options.pingEveryMs };
    this.connected = new Promise((resolve, reject) => (this.#settleConnected = { resolve, reject }));
    this.connected.catch(() => undefined);
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve));
    const Socket = options.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined);
    if (Socket === undefined) {
      throw new Ended(
        "unsupported",
        "there is no WebSocket here: give one as the option WebSocket, or use Node 22, or Node 20 with --experimental-websocket",
      );
    }
    this.#socket = new Socket(address);
    this.#socket.onopen = () => this.#settleConnected.resolve();
    this.#socket.onmessage = (event: { data: unknown }) => this.#read(event.data);
    this.#socket.onclose = (event: { code: number; reason: string }) => this.#ended(event.code, event.reason);
    // A close event follows and says more; but older versions of Node give none when there was no connection.
    this.#socket.onerror = () => {
      setTimeout(() => this.#ended(LOST, "there is no connection"), ERROR_MS);
    };
  }

  /** Takes over what the server allows and how often it wants to hear something. */
  adopt(opened: SessionOpened): void {
    this.#limits = opened.limits;
    const { timeout_ms }: Heartbeat = opened.heartbeat;
    this.#pace = { pingEveryMs: Math.min(this.#pace.pingEveryMs, timeout_ms / 3), silenceMs: timeout_ms };
    this.#beat = setInterval(() => this.#listen(), Math.max(20, this.#pace.pingEveryMs / 2));
  }

  get roomy(): boolean {
    const window = Math.max(1, this.#limits.requests_in_flight - RESERVE);
    return this.#end === undefined && this.#pending.size < window;
  }

  request<M extends Method>(
    method: M,
    params: Methods[M]["params"],
    settle: (outcome: Outcome<Methods[M]["result"]>) => void,
  ): () => void {
    if (this.#end !== undefined) {
      settle({ error: new Disconnected(`${method} was not sent: ${this.#end.reason}`, false, this.#end.code) });
      return () => undefined;
    }
    const id = this.#nextId++;
    const text = JSON.stringify({ jsonrpc: "2.0", id, method, params });
    const most = this.#limits.message_bytes;
    if (text.length > most || (text.length > most / 3 && new TextEncoder().encode(text).length > most)) {
      // The server would end the session over it, which would look like a bad connection.
      settle({ error: tooLarge(method, most) });
      return () => undefined;
    }
    const roomy = this.roomy;
    this.#pending.set(id, { method, settle: settle as Pending["settle"] });
    if (roomy) this.#send(text);
    else this.#backlog.push({ text, id });
    return () => {
      const waiting = this.#backlog.findIndex((request) => request.id === id);
      if (waiting >= 0) {
        this.#backlog.splice(waiting, 1);
        this.#pending.delete(id);
      } else if (this.#pending.has(id)) {
        // The server still has it in hand: its place is free when the answer comes.
        this.#pending.set(id, { method, settle: () => undefined });
      }
    };
  }

  close(): void {
    if (this.#end !== undefined) return;
    this.#drop(1000, "closed by this side", true);
  }

  /** Ends it for a reason that this side found. */
  fail(error: FlightdeckError): void {
    this.#failed ??= error;
    this.#drop(LOST, error.message, true);
  }

  #send(text: string): void {
    this.#said = Date.now();
    try {
      this.#socket.send(text);
    } catch (error) {
      this.fail(new Disconnected(`the connection cannot be written to: ${String(error)}`, false));
    }
  }

  #read(data: unknown): void {
    this.#heard = Date.now();
    if (typeof data !== "string") return;
    let message: { id?: unknown; method?: unknown; params?: unknown; result?: unknown; error?: Fault };
    try {
      message = JSON.parse(data);
    } catch {
      this.fail(new Disconnected("the server sent what is no JSON", false));
      return;
    }
    if (typeof message.method === "string") {
      if (message.method === "session.closing") this.#closing = message.params as Closing;
      this.#handlers.notified(message.method, message.params);
      return;
    }
    const pending = typeof message.id === "number" ? this.#pending.get(message.id) : undefined;
    if (pending === undefined) return;
    this.#pending.delete(message.id as number);
    if (message.error !== undefined) pending.settle({ error: new Refused(message.error, pending.method) });
    else pending.settle({ result: message.result as never });
    const next = this.#backlog.shift();
    if (next !== undefined) this.#send(next.text);
    else this.#handlers.roomy();
  }

  /** Looks whether the server is still there, and tells it that this side is. */
  #listen(): void {
    const now = Date.now();
    // A clock that was set back must not make a dead peer look alive for hours.
    this.#heard = Math.min(this.#heard, now);
    this.#said = Math.min(this.#said, now);
    const silent = now - this.#heard;
    if (silent > this.#pace.silenceMs) {
      this.fail(new Disconnected(`nothing was heard from the server for ${silent} ms`, true));
    } else if (silent >= this.#pace.pingEveryMs || now - this.#said >= this.#pace.pingEveryMs) {
      this.#send('{"jsonrpc":"2.0","id":"ping","method":"session.ping","params":{}}');
    }
  }

  #drop(code: number, reason: string, comeBack: boolean): void {
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    try {
      this.#socket.close(1000);
    } catch {
      // It is closed already.
    }
    this.#over({ code, reason, comeBack });
  }

  #ended(code: number, reason: string): void {
    const known = (CLOSE_CODES as Record<number, { reason: string }>)[code];
    const why = reason || known?.reason || "the connection was lost";
    this.#over({ code, reason: why, comeBack: !isFinal(code) });
  }

  #over(closed: Closed): void {
    if (this.#end !== undefined) return;
    if (this.#closing !== undefined) closed.closing = this.#closing;
    this.#end = closed;
    clearInterval(this.#beat);
    const unsent = new Set(this.#backlog.map((request) => request.id));
    const pending = [...this.#pending];
    this.#pending.clear();
    this.#backlog.length = 0;
    this.#settleConnected.reject(this.#failed ?? new Disconnected(closed.reason, false, closed.code));
    this.#settleClosed(closed);
    for (const [id, { method, settle }] of pending) {
      const sent = !unsent.has(id);
      const lost = new Disconnected(`${method}: ${closed.reason}`, sent, closed.code);
      settle({ error: this.#failed instanceof TimedOut ? this.#failed : lost });
    }
  }
}

function tooLarge(method: string, most: number): Refused {
  const { code, kind, temporary } = FAULTS.too_large;
  const message = `the request is over the ${most} bytes that the server takes; it was not sent`;
  return new Refused({ code, message, data: { kind, name: "too_large", temporary } }, method);
}
