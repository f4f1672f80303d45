/** What a batch said to each of its items, and which refusals concern all of them. */

import {
  NotAuthenticated, NotPermitted, QuotaReached, Refused, refusalOf, RequestFailed, TooManyRequests, Unavailable, Unreachable,
} from "./http/errors.js";
import type { Answer, Call } from "./http/transport.js";
import type { Json } from "./http/json.js";
import type { Submitted } from "./results.js";
import { type Prepared, together } from "./submissions.js";

export type Outcome = Answer | RequestFailed;
type Send = (call: Call) => Promise<Answer>;

/** What a batch said to each of its items. Throws Unreachable for what is no answer to this batch. */
export function outcomesOf(answer: Answer, count: number): Outcome[] {
  const { results } = answer.data;
  if (!Array.isArray(results) || results.length !== count) {
    throw new Unreachable("The answer to a batch does not fit it: is something in between?", { mayPass: false });
  }
  return results.map(({ status, task, problem }: { status: number; task?: Json; problem?: Json }) =>
    task ? { status, data: task, etag: null } : refusalOf(problem ?? {}, status),
  );
}

/** Whether a refusal says nothing of a single submission: each of them would meet the same. */
export function concernsEverybody(error: RequestFailed): boolean {
  if (error instanceof Unavailable) return error.status !== 500; // which one item alone may have caused
  if (error instanceof QuotaReached) return false; // there may be room for some
  if (error instanceof Refused && error.code === "type_not_allowed") return false;
  return [Unreachable, NotAuthenticated, NotPermitted, TooManyRequests].some((kind) => error instanceof kind);
}

/** What became of a part of many, whose first has this index. Throws what concerns all of them. */
export async function submitPart(part: readonly Prepared[], first: number, send: Send): Promise<Submitted[]> {
  const found: Submitted[] = [];
  const pending = [part];
  for (let some = pending.pop(); some; some = pending.pop()) {
    let outcomes: Outcome[];
    try {
      outcomes = outcomesOf(await send(together(some, { Prefer: "return=minimal" })), some.length);
    } catch (error) {
      if (!(error instanceof RequestFailed) || concernsEverybody(error)) throw error;
      if (some.length > 1) {
        // Too large for this service, more than there is room for, or one that spoils the rest.
        const middle = Math.floor(some.length / 2);
        pending.push(some.slice(middle), some.slice(0, middle));
        continue;
      }
      outcomes = [error];
    }
    for (const outcome of outcomes) found.push(submitted(first + found.length, outcome));
  }
  return found;
}

function submitted(index: number, outcome: Outcome): Submitted {
  if (outcome instanceof RequestFailed) return Object.freeze({ index, id: null, isNew: false, error: outcome });
  return Object.freeze({ index, id: String(outcome.data.id), isNew: outcome.status === 201, error: null });
}
