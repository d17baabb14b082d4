// A socket whose other end is written by the test, for what a real server says seldom or never.

import { FAULTS, type SessionOpened, type SocketConstructor, type SocketLike } from "../../src/index.js";

interface Request {
  id: number | string;
  method: string;
  params: Record<string, unknown>;
}

/** The other end of one connection. */
export class FarEnd implements SocketLike {
  onopen: SocketLike["onopen"] = null;
  onmessage: SocketLike["onmessage"] = null;
  onclose: SocketLike["onclose"] = null;
  onerror: SocketLike["onerror"] = null;
  /** What came, in order. */
  readonly requests: Request[] = [];
  /** Whether the client let go of it. */
  closed = false;
  readonly #answers: Answers;

  constructor(answers: Answers) {
    this.#answers = answers;
    queueMicrotask(() => this.onopen?.({}));
  }

  send(text: string): void {
    const request: Request = JSON.parse(text);
    this.requests.push(request);
    const answer = this.#answers[request.method]?.(request.params, this);
    if (answer === undefined) return;
    queueMicrotask(() => this.#say({ id: request.id, ...(answer instanceof No ? { error: answer.fault } : { result: answer }) }));
  }

  /** Answers a request that nothing was given for. */
  reply(id: Request["id"], outcome: { result: unknown } | { error: unknown }): void {
    this.#say({ id, ...outcome });
  }

  /** Says something unasked. */
  notify(method: string, params: unknown): void {
    this.#say({ method, params });
  }

  /** Ends the connection, as a server does. */
  end(code: number, reason = ""): void {
    this.onclose?.({ code, reason });
  }

  close(): void {
    this.closed = true;
    this.onmessage = null;
  }

  #say(message: object): void {
    this.onmessage?.({ data: JSON.stringify({ jsonrpc: "2.0", ...message }) });
  }
}

/** A refusal. */
export class No {
  readonly fault: { code: number; message: string; data: { kind: string; name: string; temporary: boolean; retry_after_ms?: number } };

  constructor(name: keyof typeof FAULTS, retry_after_ms?: number) {
    const { code, kind, temporary } = FAULTS[name];
    this.fault = { code, message: `no: ${name}`, data: { kind, name, temporary, ...(retry_after_ms !== undefined && { retry_after_ms }) } };
  }
}

/** What the other end answers to each method, a {@link No} where it refuses; nothing where nothing is given. */
export type Answers = Record<string, (params: any, far: FarEnd) => unknown>;

/** A maker of sockets whose other ends answer so; and all of them, the newest last. */
export function scripted(answers: Answers): { WebSocket: SocketConstructor; ends: FarEnd[] } {
  const ends: FarEnd[] = [];
  const all = { "session.open": () => OPENED, "session.ping": () => ({ at: new Date().toISOString() }), ...answers };
  class Scripted extends FarEnd {
    constructor(_address: string) {
      super(all);
      ends.push(this);
    }
  }
  return { WebSocket: Scripted, ends };
}

export const OPENED = {
  profile: "flightdeck.v1",
  user: { id: "00000000-0000-7000-8000-000000000001", username: "olga" },
  expires_at: "2100-01-01T00:00:00Z",
  heartbeat: { interval_ms: 15_000, timeout_ms: 45_000 },
  limits: { message_bytes: 65_536, requests_in_flight: 64 },
} as unknown as SessionOpened;
