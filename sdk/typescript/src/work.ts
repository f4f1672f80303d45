/** Working off tasks of remote types: claims, heartbeats and outcomes. */

import { sleep } from "./http/deadlines.js";
import { Invalid, Refused, RequestFailed, TooManyRequests, Unavailable, Unreachable, Unsendable } from "./http/errors.js";
import { ANSWER_MS, type Call, type Transport } from "./http/transport.js";
import type { Json } from "./http/json.js";
import { asJson, type Schemas } from "./reading.js";
import { json, newId, type Payloads, type TypeOf } from "./submissions.js";
import { printable, WorkTask } from "./work-task.js";

const CLAIM_WAIT_SECONDS = 20;
const BEAT_TIMEOUT_MS = 10_000;
const LOOK_MS = 100;
const MOST_ITEMS = 200;
/** Of outcomes in one request. */
const MOST_BYTES = 512 * 1024;
/** On a stop, for a claim that just takes tasks: its answer would be lost with them. */
const LAST_CLAIM_MS = 500;
/** For handlers to end that were told so, and for outcomes to be sent. */
const AFTER_STOP_MS = 2_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
/** That a handler may ask for: 30 days. */
const MOST_RETRY_SECONDS = 30 * 24 * 3600;

/** Thrown by a handler: trying again cannot help, so the task fails at once. */
export class PermanentError extends Error {
  override readonly name = "PermanentError";
}

/** Thrown by a handler: try again in so many seconds, whatever the backoff of the type says. */
export class RetryLater extends Error {
  override readonly name = "RetryLater";

  constructor(
    readonly seconds: number,
    message = `asked to be tried again in ${seconds} s`,
  ) {
    super(message);
  }
}

/** Takes the task and its payload; what it returns, or resolves to, is the result. */
export type Handler<Payload = unknown> = (task: WorkTask, payload: Payload) => unknown;
export type Handlers<Types = Payloads> = { readonly [Type in TypeOf<Types>]?: Handler<Types[Type]> };

export interface WorkOptions {
  /** At most so many run at once; 1 unless given. */
  readonly concurrency?: number | undefined;
  /** Ends the work in order: nothing more is claimed, and what runs may end. */
  readonly signal?: AbortSignal | undefined;
  /** How long it may; what still runs then is given back, uncounted. 20,000 unless given. */
  readonly stopMs?: number | undefined;
  /** Unique within the account; made anew unless given. */
  readonly name?: string | undefined;
  /** Where it runs, for people. */
  readonly host?: string | undefined;
  /** Told of what went wrong and is tried again; to the console unless given. */
  readonly warn?: ((text: string) => void) | undefined;
}

interface Ending {
  readonly task: WorkTask;
  readonly body: string;
}

type Beat = readonly [WorkTask, Json];

/**
 * What is sent in place of heartbeats that were refused and always would be; undefined: they are worth another try.
 * Halves of them, until one is alone; that one without what it tells: its lease is worth more.
 */
function smallerBeats(told: readonly Beat[], error: unknown): Beat[][] | undefined {
  if (!(error instanceof Invalid || error instanceof Unsendable)) return undefined;
  const middle = Math.floor(told.length / 2);
  if (middle) return [told.slice(0, middle), told.slice(middle)];
  const [task, beat] = told[0] as Beat;
  for (const kept of [["task_id", "lease", "checkpoint"], ["task_id", "lease"]]) {
    const less = Object.entries(beat).filter(([name]) => kept.includes(name));
    if (less.length < Object.keys(beat).length) return [[[task, Object.fromEntries(less)]]];
  }
  return undefined;
}

/** One run of `Client.work`. */
export class Worker {
  readonly #running = new Set<WorkTask>();
  /** Whose lease is held: also those whose outcome is not sent yet. */
  readonly #held = new Set<WorkTask>();
  #endings: Ending[] = [];
  readonly #name: string;
  readonly #most: number;
  readonly #warn: (text: string) => void;
  readonly #stop = new AbortController();
  /** Gives up the claim that is under way. */
  readonly #lastClaim = new AbortController();
  readonly #over = new AbortController();
  readonly #sleepers = new Set<() => void>();

  constructor(
    private readonly transport: Transport,
    private readonly handlers: Readonly<Record<string, Handler<never> | undefined>>,
    private readonly options: WorkOptions,
  ) {
    this.#most = options.concurrency ?? 1;
    if (Object.keys(handlers).length === 0) throw new TypeError("work() takes the types that it works on, each with its handler: { resize }");
    if (!(this.#most >= 1)) throw new TypeError(`concurrency is ${this.#most}: give at least 1`);
    this.#name = options.name ?? `worker-${newId().slice(-12)}`;
    this.#warn = options.warn ?? ((text) => console.warn(text));
  }

  /** Work until the signal is aborted. Throws RequestFailed where no claim can succeed. */
  async run(): Promise<void> {
    const { signal } = this.options;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = () => {
      this.#stop.abort();
      timer = setTimeout(() => this.#lastClaim.abort(), LAST_CLAIM_MS);
    };
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    const beats = this.#beat();
    const told = this.#tell();
    try {
      await this.#claim();
    } finally {
      clearTimeout(timer);
      await this.#end();
      this.#over.abort();
      this.#wake();
      signal?.removeEventListener("abort", stop);
      await Promise.all([beats, told]);
    }
  }

  async #end(): Promise<void> {
    await this.#until(() => this.#running.size === 0, this.options.stopMs ?? 20_000);
    for (const task of this.#running) task.askToStop("the worker ends");
    await this.#until(() => this.#running.size === 0, AFTER_STOP_MS);
    for (const task of this.#running) {
      this.#warn(`released task ${task.id}: its handler did not end in time`);
      this.#endings.push(ending(task, { outcome: "release", ...task.takeCheckpoint() }));
    }
    this.#running.clear();
    this.#wake();
    await this.#until(() => this.#held.size === 0, AFTER_STOP_MS);
    await this.#send("/work/leave", { worker: this.#name }, BEAT_TIMEOUT_MS).catch(() => {});
  }

  async #until(isSo: () => boolean, ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (!isSo() && performance.now() < until) await sleep(Math.min(LOOK_MS / 10, Math.max(0, until - performance.now())));
  }

  #freePlaces(): number {
    return Math.min(this.#most - this.#running.size, 4 * this.#most - this.#held.size);
  }

  async #claim(): Promise<void> {
    const { signal } = this.#stop;
    let failures = 0;
    let claim: string | undefined;
    while (!signal.aborted) {
      const free = this.#freePlaces();
      if (free <= 0) {
        await this.#pause(LOOK_MS);
        continue;
      }
      claim ??= newId(); // sent again after a failure: it may have taken tasks, and then gets these
      let answer: Schemas["WorkItems"];
      try {
        answer = (await this.#claimOnce(free, claim)) as unknown as Schemas["WorkItems"];
      } catch (error) {
        if (signal.aborted) return;
        if (!isPassing(error)) throw error;
        this.#warn(`no claim could be made (${(error as Error).message}); trying again`);
        await sleep(pauseAfter(++failures), signal).catch(() => {});
        continue;
      }
      failures = 0;
      claim = undefined;
      const claimedAt = performance.now();
      for (const item of answer.items) this.#begin(new WorkTask(item, claimedAt));
      if (answer.retry_after && answer.items.length === 0) {
        await sleep(answer.retry_after * 1000 * (0.5 + Math.random()), signal).catch(() => {});
      }
    }
  }

  #claimOnce(free: number, claim: string): Promise<Json> {
    const body = {
      types: Object.keys(this.handlers).sort(), worker: this.#name, max: Math.min(free, MOST_ITEMS), wait: CLAIM_WAIT_SECONDS, claim,
      concurrency: this.#most, version: "@taskledger/client", ...(this.options.host ? { host: this.options.host } : {}),
    };
    return this.#send("/work/claim", body, CLAIM_WAIT_SECONDS * 1000 + ANSWER_MS, this.#lastClaim.signal);
  }

  #begin(task: WorkTask): void {
    this.#held.add(task);
    if (this.#stop.signal.aborted) {
      this.#endings.push(ending(task, { outcome: "release" })); // it came too late
      this.#wake();
      return;
    }
    this.#running.add(task);
    void this.#attempt(task);
  }

  async #attempt(task: WorkTask): Promise<void> {
    let made: Ending;
    try {
      const handler = this.handlers[task.type] as Handler;
      made = completed(task, await handler(task, task.payload));
    } catch (error) {
      made = failed(task, error);
    }
    if (!this.#running.delete(task)) return; // it was given back meanwhile
    this.#endings.push(made);
    this.#wake();
  }

  async #beat(): Promise<void> {
    while (!this.#over.signal.aborted) {
      await sleep(LOOK_MS, this.#over.signal).catch(() => {});
      const now = performance.now();
      for (const task of this.#running) task.enforceLimit(now);
      const due = [...this.#held].filter((task) => !task.isLost && task.nextBeatAt() <= now).slice(0, MOST_ITEMS);
      if (due.length) await this.#beatFor(due);
    }
  }

  async #beatFor(tasks: readonly WorkTask[]): Promise<void> {
    await this.#sendBeats(tasks.map((task) => [task, task.takeBeat()]));
  }

  async #sendBeats(told: readonly Beat[]): Promise<void> {
    try {
      const answer = await this.#send("/work/heartbeats", { items: told.map(([, beat]) => beat) }, BEAT_TIMEOUT_MS);
      const items = answer.items as Schemas["HeartbeatState"][];
      told.forEach(([task], index) => task.hear(items[index] as Schemas["HeartbeatState"]));
    } catch (error) {
      const smaller = smallerBeats(told, error);
      for (const some of smaller ?? []) await this.#sendBeats(some);
      if (smaller) return;
      this.#warn(`leases were not renewed (${(error as Error).message}); trying again`);
      for (const [task, beat] of told) task.giveBack(beat);
      await sleep(1_000, this.#over.signal).catch(() => {});
    }
  }

  async #tell(): Promise<void> {
    let failures = 0;
    for (;;) {
      const part = partOf(this.#endings);
      if (part.length === 0) {
        if (this.#over.signal.aborted) return;
        await this.#pause(LOOK_MS);
        continue;
      }
      try {
        await this.#tellOf(part);
        failures = 0;
      } catch (error) {
        if (this.#over.signal.aborted) return;
        if (isPassing(error)) {
          this.#warn(`outcomes were not sent (${(error as Error).message}); trying again`);
          await sleep(pauseAfter(++failures), this.#over.signal).catch(() => {});
        } else {
          await this.#tellEach(part, error as Error);
        }
      }
    }
  }

  /** Of several that were refused together, each by itself. */
  async #tellEach(part: readonly Ending[], error: Error): Promise<void> {
    for (const each of part) {
      try {
        if (part.length === 1) throw error;
        await this.#tellOf([each]);
      } catch (refusal) {
        if (isPassing(refusal)) continue;
        const why = new PermanentError(`how it ended was refused by the service: ${(refusal as Error).message}`);
        this.#endings[this.#endings.indexOf(each)] = failed(each.task, why);
      }
    }
  }

  async #tellOf(part: readonly Ending[]): Promise<void> {
    const body = `{"items":[${part.map(({ body }) => body).join(",")}]}`;
    const answer = await this.#answer({ method: "POST", path: "/work/outcomes", content: json(body) });
    (answer.items as Schemas["OutcomeState"][]).forEach(({ status }, index) => {
      if (status !== 200) this.#warn(`what came of task ${part[index]?.task.id} counts for nothing: its lease was lost`);
    });
    this.#endings = this.#endings.filter((each) => !part.includes(each));
    for (const { task } of part) this.#held.delete(task);
    this.#wake();
  }

  /** Until something has changed, or for so long. */
  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#sleepers.add(wake);
    });
  }

  #wake(): void {
    for (const wake of this.#sleepers) wake();
  }

  #send(path: string, body: Json, timeoutMs: number, signal?: AbortSignal): Promise<Json> {
    return this.#answer({ method: "POST", path, content: json(asJson(body)), timeoutMs, signal });
  }

  async #answer(call: Call): Promise<Json> {
    return (await this.transport.answer(call)).data;
  }
}

function completed(task: WorkTask, result: unknown): Ending {
  try {
    return ending(task, { outcome: "complete", result: result ?? null });
  } catch (error) {
    return failed(task, new PermanentError(`the handler returned what cannot be sent: ${(error as Error).message}`));
  }
}

function failed(task: WorkTask, error: unknown): Ending {
  // Whoever was asked to stop throws that, or whatever came of it: a request that was aborted, for one.
  if (task.isToBeReleased) return ending(task, { outcome: "release", ...task.takeCheckpoint() });
  const known = error instanceof Error ? error : new Error(printable(error, 10_000));
  const type = printable(known.name || "Error", 200);
  return ending(task, {
    outcome: "fail",
    type,
    message: printable(known.message, 10_000) || type,
    traceback: printable(known.stack ?? "", 50_000) || null,
    permanent: error instanceof PermanentError,
    ...(error instanceof RetryLater ? retryIn(error.seconds) : {}),
    ...task.takeCheckpoint(),
  });
}

/** What is no number of seconds, such as a header that was no number, leaves the pause to the type. */
function retryIn(seconds: number): Json {
  return Number.isNaN(Number(seconds)) ? {} : { retry_in: Math.min(Math.max(0, seconds), MOST_RETRY_SECONDS) };
}

function ending(task: WorkTask, told: Json): Ending {
  return { task, body: asJson({ task_id: task.id, lease: task.lease, ...told }) };
}

function partOf(endings: readonly Ending[]): Ending[] {
  const part: Ending[] = [];
  let size = 0;
  for (const each of endings.slice(0, MOST_ITEMS)) {
    size += each.body.length;
    if (part.length && size > MOST_BYTES) break;
    part.push(each);
  }
  return part;
}

/** Whether the same request may succeed in a while. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof RequestFailed)) return false;
  if (error instanceof Refused) return error instanceof Unavailable || error instanceof TooManyRequests;
  return error instanceof Unreachable && error.mayPass;
}

function pauseAfter(failures: number): number {
  return Math.min(FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 10), LONGEST_PAUSE_MS) * (1 - Math.random() / 2);
}
