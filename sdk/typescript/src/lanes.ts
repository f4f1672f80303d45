/**
 * Group commit over two lanes, without a time window: who finds a lane free goes at once. What comes while both are busy
 * waits, and goes together with the next lane that is free. There is no timer, and nothing is left unsent.
 */

import { concernsEverybody, type Outcome, outcomesOf } from "./batches.js";
import { RequestFailed } from "./http/errors.js";
import type { Answer, Call } from "./http/transport.js";
import { alone, LARGEST_SHARED, MOST_BYTES, MOST_ITEMS, type Prepared, together } from "./submissions.js";

const LANES = 2;

/** A submission between its caller and the answer. */
class Entry {
  readonly since = performance.now();
  readonly answer: Promise<Answer>;
  group: Group | undefined;
  isSettled = false;
  #resolve!: (answer: Answer) => void;
  #reject!: (error: unknown) => void;

  constructor(readonly prepared: Prepared) {
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  settle(outcome: Outcome): void {
    if (outcome instanceof RequestFailed) this.fail(outcome);
    else {
      this.isSettled = true;
      this.#resolve(outcome);
    }
  }

  fail(error: unknown): void {
    this.isSettled = true;
    this.#reject(error);
  }
}

/** Submissions that go together; given up when nobody waits for them any more. */
class Group {
  readonly #controller = new AbortController();

  constructor(private readonly entries: readonly Entry[]) {
    for (const entry of entries) entry.group = this;
  }

  /** Somebody has gone. */
  giveUp(): void {
    if (this.entries.every((entry) => entry.isSettled)) this.#controller.abort();
  }

  /** Submit them, and settle each; never throws. */
  async submit(send: (call: Call) => Promise<Answer>): Promise<void> {
    const patient = { signal: this.#controller.signal, since: Math.min(...this.entries.map((entry) => entry.since)) };
    const carriedOut = (call: Call) => send({ ...call, ...patient });
    try {
      if (this.entries.length > 1 && (await this.#together(carriedOut))) return;
      for (const entry of this.entries) {
        if (!entry.isSettled && !(await this.#alone(entry, carriedOut))) return;
      }
    } catch (error) {
      for (const entry of this.entries) entry.fail(error);
    }
  }

  /** Whether that has settled all of them. */
  async #together(send: (call: Call) => Promise<Answer>): Promise<boolean> {
    try {
      const answer = await send(together(this.entries.map((entry) => entry.prepared)));
      const outcomes = outcomesOf(answer, this.entries.length);
      this.entries.forEach((entry, place) => entry.settle(outcomes[place] as Outcome));
      return true;
    } catch (error) {
      if (error instanceof RequestFailed && !concernsEverybody(error)) return false;
      throw error;
    }
  }

  /** Whether the next one is worth a request. */
  async #alone(entry: Entry, send: (call: Call) => Promise<Answer>): Promise<boolean> {
    try {
      entry.settle(await send(alone(entry.prepared)));
    } catch (error) {
      if (!(error instanceof RequestFailed) || concernsEverybody(error)) throw error;
      entry.settle(error);
    }
    return true;
  }
}

export class Lanes {
  #busy = 0;
  #waiting: Entry[] = [];

  constructor(private readonly send: (call: Call) => Promise<Answer>) {}

  /** The answer to this one submission. Throws RequestFailed, or the signal's reason. */
  async submit(prepared: Prepared, signal?: AbortSignal): Promise<Answer> {
    signal?.throwIfAborted();
    const entry = new Entry(prepared);
    const leave = () => this.#leave(entry, signal?.reason);
    signal?.addEventListener("abort", leave, { once: true });
    if (this.#busy < LANES) void this.#drive([entry]);
    else this.#waiting.push(entry);
    try {
      return await entry.answer;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }

  /** Keep a lane busy until nothing waits. */
  async #drive(first: Entry[]): Promise<void> {
    this.#busy++;
    for (let some = first; some.length; some = this.#next()) await new Group(some).submit(this.send);
    this.#busy--;
  }

  #leave(entry: Entry, reason: unknown): void {
    if (entry.isSettled) return;
    entry.fail(reason);
    if (entry.group) entry.group.giveUp();
    else this.#waiting.splice(this.#waiting.indexOf(entry), 1);
  }

  #next(): Entry[] {
    let count = 0;
    let bytes = 0;
    for (const { prepared } of this.#waiting.slice(0, MOST_ITEMS)) {
      if (count && (prepared.bytes > LARGEST_SHARED || bytes + prepared.bytes > MOST_BYTES)) break;
      count++;
      bytes += prepared.bytes;
      if (prepared.bytes > LARGEST_SHARED) break;
    }
    return this.#waiting.splice(0, count);
  }
}
