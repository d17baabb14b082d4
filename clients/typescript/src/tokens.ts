// Access tokens: asked of the program, which may throw, dawdle or give a stale one; and renewed before they expire.

import { FlightdeckError, SignedOut, asError } from "./errors.js";
import type { Session } from "./session.js";
import { backoff, sleep, within, type Backoff } from "./timing.js";

/** Why a token is asked for. */
export interface TokenRequest {
  /**
   * `connect`: for a new connection, and one that is known and still good will do. `refused`: the server did not take
   * `rejected`. `expired`: the session ended because `rejected` ran out. `renew`: `rejected` is about to run out.
   */
  reason: "connect" | "refused" | "expired" | "renew";
  /** The token that will not do. */
  rejected?: string;
}

/** Gives an access token. It throws {@link SignedOut} when there will be none any more; whatever else it throws is temporary. */
export type TokenSource = (request: TokenRequest) => string | PromiseLike<string>;

/** Asks for a token, however the callback behaves. */
export async function askForToken(source: TokenSource, request: TokenRequest, timeoutMs: number): Promise<string> {
  let token: unknown;
  try {
    token = await within(source(request), timeoutMs, "the token callback");
  } catch (error) {
    throw asError(error, "the token callback failed");
  }
  if (typeof token !== "string" || token === "") {
    throw new FlightdeckError("the token callback gave no token");
  }
  return token;
}

/** How renewals go. */
export interface Renewal {
  source: TokenSource;
  timeoutMs: number;
  backoff: Backoff;
  random: () => number;
  /** Told of each token that the session has from now on. */
  renewed(token: string): void;
  /** Told of what went wrong; it is tried again. */
  failed(error: FlightdeckError): void;
  /** Told that there will be no token any more. */
  signedOut(error: SignedOut): void;
}

/** The last part of a token's life in which it is renewed: at most this many milliseconds, and a third of it. */
const MARGIN_MS = 60_000;

/** Keeps `session`, opened with `token`, supplied with tokens until `signal` says to stop. It never rejects. */
export async function keepRenewed(session: Session, token: string, renewal: Renewal, signal: AbortSignal): Promise<void> {
  // Only the server's clock counts: the one here may be wrong.
  const asked = Date.now();
  const ahead = await session.call("session.ping", {}).then(
    ({ at }) => Date.parse(at) - (asked + Date.now()) / 2,
    () => 0,
  );
  let expires = Date.parse(session.opened.expires_at);
  let failures = 0;
  for (;;) {
    const left = expires - (Date.now() + ahead);
    const wait = failures > 0 ? retryAfter(failures, renewal) : left - Math.min(MARGIN_MS, left / 3);
    if (!(await sleep(Math.max(0, wait), signal))) return;
    try {
      const newer = await askForToken(renewal.source, { reason: "renew", rejected: token }, renewal.timeoutMs);
      if (signal.aborted) return;
      const renewed = await session.call("session.renew", { token: newer });
      const later = Date.parse(renewed.expires_at);
      // A callback that gives what it has is asked again, but not in a tight loop.
      failures = later > expires ? 0 : failures + 1;
      [token, expires] = [newer, later];
      renewal.renewed(newer);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof SignedOut) return renewal.signedOut(error);
      failures += 1;
      renewal.failed(asError(error, "the token was not renewed"));
    }
  }
}

/** Never at once, so that a broken callback is not asked in a tight loop. */
function retryAfter(failures: number, { backoff: { firstMs, longestMs }, random }: Renewal): number {
  return firstMs / 2 + backoff(failures - 1, { firstMs, longestMs }, random);
}
