// Calls that outlive connections: kept in a bounded queue, and asked again where that does no harm.

import { Disconnected, Ended, QueueFull, Refused, TimedOut } from "./errors.js";
import { METHODS, type Method, type Methods } from "./generated.js";
import type { Outcome, Session } from "./session.js";
import { backoff, type Backoff } from "./timing.js";

/** How calls wait. */
export interface CallRules {
  /**
   * Calls that wait at most: for a connection, for room on it, or because the server has no room for them now. One
   * more is refused with {@link QueueFull}; one that was sent, and would wait, ends with what the server said.
   */
  queuedCalls: number;
  /** Characters of their parameters at most. */
  queuedCharacters: number;
  /** How calls that the server refused for now are spread. */
  backoff: Backoff;
  random: () => number;
}

interface Call {
  method: Method;
  params: Methods[Method]["params"];
  size: number;
  /** Whether it may be sent a second time. */
  again: boolean;
  attempts: number;
  settle: (outcome: Outcome<never>) => void;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Stops the request that is under way from being heard. */
  unhear: () => void;
}

/** The calls of a client. */
export class Calls {
  readonly #rules: CallRules;
  /** What is to be sent, in order. */
  readonly #waiting: Call[] = [];
  /** What was sent: as much as the server takes at once. */
  readonly #underWay = new Set<Call>();
  /** What the server had no room for, until it is sent again. */
  readonly #later = new Set<Call>();
  /** Characters of the parameters of what waits. */
  #size = 0;
  #session: Session | undefined;
  #ended: Ended | undefined;

  constructor(rules: CallRules) {
    this.#rules = rules;
  }

  /** Calls that wait. */
  get waiting(): number {
    return this.#waiting.length + this.#later.size;
  }

  /** Calls `method`, now or as soon as there is a connection, within `timeoutMs` from now. */
  call<M extends Method>(method: M, params: Methods[M]["params"], timeoutMs: number): Promise<Methods[M]["result"]> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      const size = JSON.stringify(params).length;
      if (!this.#hasRoom(size)) {
        return reject(new QueueFull(`${this.waiting} calls wait already; ${method} was not sent`));
      }
      const call: Call = {
        method,
        params,
        size,
        again: METHODS[method].reads || "idem" in params,
        attempts: 0,
        settle: (outcome: Outcome<Methods[M]["result"]>) => {
          clearTimeout(call.timer);
          this.#forget(call);
          if ("error" in outcome) reject(outcome.error);
          else resolve(outcome.result);
        },
        timer: undefined,
        unhear: () => undefined,
      };
      call.timer = setTimeout(() => {
        call.unhear();
        call.settle({ error: new TimedOut(`${method} was not answered within ${timeoutMs} ms`) });
      }, timeoutMs);
      this.#wait(call);
      this.pump();
    });
  }

  /** There is a connection: what waits is sent. */
  attach(session: Session): void {
    this.#session = session;
    this.#ended = undefined;
    this.pump();
  }

  /** The connection is gone: what comes now waits for the next. */
  detach(): void {
    this.#session = undefined;
  }

  /** There will be no connection: everyone is told, now and from now on. */
  end(error: Ended): void {
    this.#ended = error;
    for (const call of [...this.#waiting, ...this.#underWay, ...this.#later]) {
      call.unhear();
      call.settle({ error });
    }
  }

  /** There may be a connection again. */
  begin(): void {
    this.#ended = undefined;
  }

  /** Sends what waits, as far as there is room. */
  pump(): void {
    while (this.#session?.roomy) {
      const call = this.#waiting.shift();
      if (call === undefined) return;
      this.#size -= call.size;
      this.#send(call, this.#session);
    }
  }

  #send(call: Call, session: Session): void {
    this.#underWay.add(call);
    call.attempts += 1;
    call.unhear = session.request(call.method, call.params, (outcome) => {
      if (!("error" in outcome)) return call.settle(outcome as Outcome<never>);
      const { error } = outcome;
      if (error instanceof Disconnected && (call.again || !error.sent)) {
        this.#underWay.delete(call);
        return this.#waitFirst(call);
      }
      if (error instanceof Refused && isLater(error, call.again) && this.#hasRoom(call.size)) {
        return this.#sendLater(call, error);
      }
      call.settle({ error });
    });
  }

  /** The server has no room for it now, and did nothing, or may be asked twice. */
  #sendLater(call: Call, refusal: Refused): void {
    const spread = backoff(call.attempts - 1, this.#rules.backoff, this.#rules.random);
    this.#underWay.delete(call);
    this.#later.add(call);
    this.#size += call.size;
    const timer = setTimeout(() => {
      this.#later.delete(call);
      this.#size -= call.size;
      this.#waitFirst(call);
      this.pump();
    }, (refusal.retryAfterMs ?? 0) + spread);
    call.unhear = () => clearTimeout(timer);
  }

  #hasRoom(size: number): boolean {
    const { queuedCalls, queuedCharacters } = this.#rules;
    return this.waiting < queuedCalls && this.#size + size <= queuedCharacters;
  }

  #wait(call: Call): void {
    this.#waiting.push(call);
    this.#size += call.size;
  }

  /** What was sent once goes before what never was. It may be over the bound, by as much as was sent at once. */
  #waitFirst(call: Call): void {
    const place = this.#waiting.findIndex((other) => other.attempts === 0);
    this.#waiting.splice(place < 0 ? this.#waiting.length : place, 0, call);
    this.#size += call.size;
  }

  #forget(call: Call): void {
    this.#underWay.delete(call);
    if (this.#later.delete(call)) this.#size -= call.size;
    const place = this.#waiting.indexOf(call);
    if (place >= 0) {
      this.#waiting.splice(place, 1);
      this.#size -= call.size;
    }
  }
}

/** Whether a refusal says that the same request may be taken a little later. */
function isLater({ temporary, kind }: Refused, again: boolean): boolean {
  // Of these the server says that it did nothing; of the other nobody knows.
  const nothingDone = kind === "overloaded" || kind === "rate_limited";
  return temporary && (nothingDone || (again && kind === "unavailable"));
}
