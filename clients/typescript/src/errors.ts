// Everything that can go wrong for a caller, each as a class of its own.

import type { Fault, FaultData, FaultName, Kind, SeqConflict } from "./generated.js";

/** The parent of all errors of this package. */
export class FlightdeckError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The server refused a request. */
export class Refused extends FlightdeckError {
  /** The stable code. */
  readonly code: number;
  /** The stable name of the code. */
  readonly fault: FaultName | (string & {});
  /** The family of the code. */
  readonly kind: Kind;
  /** Whether the same request may succeed later without a change. */
  readonly temporary: boolean;
  /** When to ask again, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** The parameter that is at fault. */
  readonly field: string | undefined;
  /** What has happened since `if_seq`, where that is why. */
  readonly conflict: SeqConflict | undefined;
  /** All that a program may need to act on it. */
  readonly data: FaultData | undefined;

  constructor(fault: Omit<Fault, "data"> & { data?: FaultData }, what?: string) {
    super(what === undefined ? fault.message : `${what}: ${fault.message}`);
    this.code = fault.code;
    this.data = fault.data;
    this.fault = fault.data?.name ?? "internal";
    this.kind = fault.data?.kind ?? "internal";
    this.temporary = fault.data?.temporary ?? false;
    this.retryAfterMs = fault.data?.retry_after_ms;
    this.field = fault.data?.field;
    this.conflict = fault.data?.conflict;
  }
}

/** The connection ended before the answer came. */
export class Disconnected extends FlightdeckError {
  /** Whether the request was sent: then nobody knows whether it was carried out. */
  readonly sent: boolean;
  /** The close code, as in RFC 6455; 1006 where there was none. */
  readonly code: number;

  constructor(message: string, sent: boolean, code = 1006) {
    super(message);
    this.sent = sent;
    this.code = code;
  }
}

/** Whether a close code says not to come back: 4500 to 4999. */
export function isFinal(code: number): boolean {
  return code >= 4500 && code <= 4999;
}

/** Nothing came in time. Of a request that was sent nobody knows whether it was carried out. */
export class TimedOut extends FlightdeckError {}

/** Too much waits already; nothing was sent. */
export class QueueFull extends FlightdeckError {}

/**
 * Why there will be no connection, or nothing more of a watch. `closed`: this side closed it. `signed_out`: the token
 * callback threw {@link SignedOut}. `refused`: the server let nobody in, for a reason that does not pass, or took none
 * of several tokens in a row. `dismissed`: the server ended the session with a close code that says not to come back.
 * `unsupported`: there is no WebSocket here, or the server speaks another protocol.
 */
export type EndedReason = "closed" | "signed_out" | "refused" | "dismissed" | "unsupported";

/** It is over, and trying again would not help; the error that it ended with, if there is one, is the `cause`. */
export class Ended extends FlightdeckError {
  readonly reason: EndedReason;
  /** The close code, if a server said it. */
  readonly code: number | undefined;

  constructor(reason: EndedReason, message: string, options: ErrorOptions & { code?: number } = {}) {
    super(message, options);
    this.reason = reason;
    this.code = options.code;
  }
}

/** To be thrown by a token callback: there is no token any more, and trying again would not help. */
export class SignedOut extends FlightdeckError {
  constructor(message = "nobody is signed in") {
    super(message);
  }
}

/** Whatever was thrown, as an error of this package. */
export function asError(thrown: unknown, what: string): FlightdeckError {
  if (thrown instanceof FlightdeckError) return thrown;
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new FlightdeckError(`${what}: ${why}`, { cause: thrown });
}
