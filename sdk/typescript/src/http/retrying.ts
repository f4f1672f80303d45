/** Which requests are sent again after a failure, and how long before. */

import { QuotaReached, Refused, type RequestFailed, Unreachable } from "./errors.js";

/** Before the second try; each further pause is twice as long, less a random part of up to a half. */
export const FIRST_PAUSE_MS = 250;
/** At most between two tries, where the service does not say how long to wait. */
export const LONGEST_BACKOFF_MS = 5_000;
/** Who is told to wait longer is told so, instead of being kept waiting. */
export const LONGEST_PAUSE_MS = 20_000;
const PASSING_STATUSES = new Set([429, 502, 503, 504]);

/** How often a call was tried, and for how long. */
export interface Tries {
  /** Those that were made, from 1. */
  readonly made: number;
  /** Milliseconds since the first one began. */
  readonly passedMs: number;
  /** Milliseconds in which the last one must begin. */
  readonly retryMs: number;
  /** Whether the call does the same when it is carried out twice. */
  readonly repeatable: boolean;
}

/** Milliseconds after which a call is sent again; undefined: the error stands. `random` is from 0 to 1. */
export function pauseBeforeNext(error: RequestFailed, tries: Tries, random: number): number | undefined {
  if (error instanceof QuotaReached) return undefined; // that is for the caller to decide about
  const answered = error instanceof Refused;
  if (answered ? !PASSING_STATUSES.has(error.status) : !(error instanceof Unreachable && error.mayPass)) return undefined;
  const notCarriedOut = answered ? error.status === 429 : !(error as Unreachable).wasSent;
  if (!tries.repeatable && !notCarriedOut) return undefined;
  let pause = Math.min(FIRST_PAUSE_MS * 2 ** (tries.made - 1), LONGEST_BACKOFF_MS) * (1 - random / 2);
  if (answered && error.retryAfterMs !== undefined) {
    if (error.retryAfterMs > LONGEST_PAUSE_MS) return undefined;
    pause += error.retryAfterMs;
  }
  return tries.passedMs + pause > tries.retryMs ? undefined : pause;
}
