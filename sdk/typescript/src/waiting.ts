/** Waiting for the end of a task or a run. */

import { sleep } from "./http/deadlines.js";
import { ANSWER_MS, type Asked, type Transport } from "./http/transport.js";
import { pathOf } from "./reading.js";
import { NotFinished, type Run, type Task, taskOf } from "./results.js";

const LONG_POLL_MS = 30_000;
/** Between two looks: the service answers at once where too many wait already, and runs have no long poll. */
const SHORTEST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 2_000;

export interface Waiting extends Asked {
  /** How long to wait; without it, without end. */
  readonly timeoutMs?: number | undefined;
}

/** A task when it has ended; asks with long polls. */
export async function waitForTask(transport: Transport, id: string, { timeoutMs = Infinity, signal }: Waiting): Promise<Task> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const began = performance.now();
    const left = Math.max(0, Math.min(LONG_POLL_MS, until - began));
    const query = left ? { wait: (left / 1000).toFixed(3) } : {};
    const since = began + left; // it waits on purpose: a connection that breaks meanwhile has cost none of the patience
    const answer = await transport.answer({ method: "GET", path: pathOf("tasks", id), query, timeoutMs: ANSWER_MS + left, since, signal });
    const found = taskOf(answer.data, answer);
    if (found.isFinished) return found;
    const now = performance.now();
    if (now >= until) throw new NotFinished(found, timeoutMs);
    if (now - began < SHORTEST_PAUSE_MS) await sleep(Math.min(SHORTEST_PAUSE_MS, until - now), signal);
  }
}

/** A run when it has ended; looks again and again, more and more rarely. */
export async function waitForRun(look: () => Promise<Run>, { timeoutMs = Infinity, signal }: Waiting): Promise<Run> {
  const until = performance.now() + timeoutMs;
  for (let pause = SHORTEST_PAUSE_MS; ; pause = Math.min(LONGEST_PAUSE_MS, 1.2 * pause)) {
    const found = await look();
    if (found.isFinished) return found;
    const left = until - performance.now();
    if (left <= 0) throw new NotFinished(found, timeoutMs);
    await sleep(Math.min(pause, left), signal);
  }
}
