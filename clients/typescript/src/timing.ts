// Waiting: bounded, interruptible, and with a part of chance where many wait for the same.

import { TimedOut } from "./errors.js";

/** The longest time that one timer is set for, in milliseconds; longer ones overflow. */
const LONGEST_TIMER = 3_600_000;

/** How the waits between tries grow. */
export interface Backoff {
  /** The bound of the first wait, in milliseconds. */
  firstMs: number;
  /** The bound of the longest wait, in milliseconds. */
  longestMs: number;
}

/** A wait with full jitter: anything from nothing to a bound that doubles with each attempt, from 0. */
export function backoff(attempt: number, { firstMs, longestMs }: Backoff, random: () => number): number {
  return random() * Math.min(longestMs, firstMs * 2 ** Math.min(attempt, 30));
}

/** Waits `ms` milliseconds, or until `signal` says to stop; true if the time is over. */
export async function sleep(ms: number, signal: AbortSignal): Promise<boolean> {
  const until = Date.now() + ms;
  while (!signal.aborted) {
    const left = until - Date.now();
    if (left <= 0) return true;
    await nap(Math.min(left, LONGEST_TIMER), signal);
  }
  return false;
}

function nap(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

/** What `promise` gives, if it does so within `ms` milliseconds. What it gives later is dropped. */
export function within<T>(promise: PromiseLike<T> | T, ms: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new TimedOut(`${what} took more than ${ms} ms`)), ms);
    Promise.resolve(promise).then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
