/** One attempt in the hands of a remote worker: what its handler sees of it, and what there is to tell of it. */

import type { Json } from "./http/json.js";
import { asJson, type Schemas } from "./reading.js";

const BEATS_IN_A_LEASE = 3;
/** A worker that was not seen for a minute is listed as lost. */
const LONGEST_BEAT_MS = 20_000;
/** Between two beats, where there is something to tell. */
const NEWS_MS = 1_000;
const MOST_LINES = 100;
const MOST_WAITING_LINES = 1_000;
const MOST_FIELDS = 20;
const MOST_CHARACTERS = 2_000;
const MOST_CHECKPOINT_BYTES = 64 * 1024;

/** The beginning of a text without what PostgreSQL cannot keep: NUL characters and lone surrogates. */
export function printable(text: unknown, most: number): string {
  return shown(text).slice(0, most).replace(/\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}

function shown(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "what has no text"; // an object without a prototype
  }
}

/** A value that JSON has, or what it is as text. */
function plainValue(value: unknown): string | number | boolean {
  return typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value)) ? value : printable(value, MOST_CHARACTERS);
}

type Reason = "cancelled" | "lost" | "ends" | "limit";

/** The running attempt as its handler sees it; what it tells goes out with the next heartbeat. */
export class WorkTask {
  readonly id: string;
  readonly type: string;
  readonly payload: unknown;
  /** The number of this attempt; 1 is the first. */
  readonly attempt: number;
  readonly maxRetries: number;
  readonly lease: string;
  #kept: unknown;
  #checkpoint: { readonly value: unknown } | undefined;
  readonly #controller = new AbortController();
  readonly #endsAt: number;
  #leaseMs: number;
  #beatenAt: number;
  #progress: { fraction: number; message: string } | undefined;
  #lines: Json[] = [];
  #why: Reason | undefined;

  constructor(item: Schemas["WorkItem"], claimedAt: number) {
    this.id = item.task_id;
    this.type = item.type;
    this.payload = item.payload;
    this.attempt = item.attempt;
    this.maxRetries = item.max_retries;
    this.lease = item.lease;
    this.#kept = item.checkpoint ?? undefined;
    this.#leaseMs = item.lease_seconds * 1000;
    this.#endsAt = claimedAt + item.timeout_seconds * 1000;
    this.#beatenAt = claimedAt;
  }

  /** Aborted when the handler is to end: its task was cancelled or overran its limit, its lease was lost, or the worker ends. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** When its time limit is reached. */
  get deadline(): Date {
    return new Date(Date.now() + this.#endsAt - performance.now());
  }

  /** Tell how far the task is, 0 to 1; only the newest word is sent, about once a second. */
  progress(fraction: number, message = ""): void {
    // No number at all, as 0 / 0 is, is no progress.
    this.#progress = { fraction: Math.min(1, Math.max(0, fraction || 0)), message: printable(message, MOST_CHARACTERS) };
  }

  /** What this attempt or an earlier one has kept with checkpoint() last; undefined: nothing, so begin at the start. */
  get lastCheckpoint(): unknown {
    return this.#kept;
  }

  /** Keep a value, as JSON of at most 64 KB, that the next attempt of this task can go on from. */
  checkpoint(value: unknown): void {
    const text = asJson(value);
    if (new TextEncoder().encode(text).length > MOST_CHECKPOINT_BYTES) throw new RangeError("a checkpoint has at most 64 KB as JSON");
    this.#kept = JSON.parse(text); // what is changed afterwards is kept the next time
    this.#checkpoint = { value: this.#kept };
  }

  /** @internal What was kept and not told yet, as a field of what is told. */
  takeCheckpoint(): Json {
    const kept = this.#checkpoint;
    this.#checkpoint = undefined;
    return kept ? { checkpoint: kept.value } : {};
  }

  /** Keep a line with the task, for whoever reads it through the API; of its fields the first 20. */
  log(message: string, fields: Readonly<Record<string, string | number | boolean>> = {}): void {
    if (this.#lines.length >= MOST_WAITING_LINES) return;
    const plain = Object.entries(fields).slice(0, MOST_FIELDS).map(([name, value]) => [printable(name, MOST_CHARACTERS), plainValue(value)]);
    this.#lines.push({ message: printable(message, MOST_CHARACTERS) || " ", fields: Object.fromEntries(plain) });
  }

  /** @internal */
  get isLost(): boolean {
    return this.#why === "lost";
  }

  /** @internal Whether its end is nobody's fault. */
  get isToBeReleased(): boolean {
    return this.#why !== undefined && this.#why !== "limit";
  }

  /** @internal */
  nextBeatAt(): number {
    const regular = Math.min(this.#leaseMs / BEATS_IN_A_LEASE, LONGEST_BEAT_MS);
    return this.#beatenAt + (this.#progress || this.#checkpoint || this.#lines.length ? Math.min(regular, NEWS_MS) : regular);
  }

  /** @internal A heartbeat, with the news; they are told once. */
  takeBeat(): Json {
    this.#beatenAt = performance.now();
    const beat: Json = { task_id: this.id, lease: this.lease, ...this.takeCheckpoint() };
    if (this.#progress) {
      beat.progress = this.#progress.fraction;
      beat.message = this.#progress.message || null;
      this.#progress = undefined;
    }
    if (this.#lines.length) beat.log = this.#lines.splice(0, MOST_LINES);
    return beat;
  }

  /** @internal A heartbeat was not sent: its news wait for the next one, unless there are newer ones. */
  giveBack(beat: Json): void {
    if (typeof beat.progress === "number") this.#progress ??= { fraction: beat.progress, message: (beat.message as string | null) ?? "" };
    if ("checkpoint" in beat) this.#checkpoint ??= { value: beat.checkpoint };
    if (beat.log) this.#lines.unshift(...(beat.log as Json[]));
  }

  /** @internal */
  hear(answer: Schemas["HeartbeatState"]): void {
    if (answer.status !== 200) this.#end("lost", "its lease was lost");
    else {
      this.#leaseMs = (answer.lease_seconds ?? 0) * 1000;
      if (answer.cancel_requested) this.#end("cancelled", "it was cancelled");
    }
  }

  /** @internal */
  askToStop(why: string): void {
    this.#end("ends", why);
  }

  /** @internal */
  enforceLimit(now: number): void {
    if (now >= this.#endsAt) this.#end("limit", "its time limit was reached");
  }

  #end(reason: Reason, why: string): void {
    if (this.#why === undefined) {
      this.#why = reason;
      this.#controller.abort(new Error(why));
    } else if (reason === "lost") {
      this.#why = reason;
    }
  }
}
