/** What the client answers with: frozen, with moments as `Date`; `raw` is all that the service said. */

import { RequestFailed } from "./http/errors.js";
import type { Json } from "./http/json.js";
import { read, type Result, type Schemas } from "./reading.js";

/** A task as it was when the service answered. */
export interface Task extends Result<Schemas["TaskView"]> {
  /** Whether it has ended: COMPLETED, FAILED or CANCELLED. */
  readonly isFinished: boolean;
  /** For `change(task, changes, { unlessChanged: task })`; null for one of a list or a group. */
  readonly etag: string | null;
  /** False when a submission found the task that an earlier one had made. */
  readonly isNew: boolean;
}

/** What became of one submission of `submitMany`: an id, or the refusal. */
export interface Submitted {
  /** Its place, from 0. */
  readonly index: number;
  readonly id: string | null;
  readonly isNew: boolean;
  readonly error: RequestFailed | null;
}

/** One run of a task's handler by a worker. */
export type Attempt = Result<Schemas["AttemptView"]>;
/** A line that a handler wrote with task.log(). */
export type LogLine = Result<Schemas["LogLineView"]>;
/** Why a task does not run: one cause, what it was concluded from, and what to do. */
export type Why = Result<Schemas["WhyView"]>;
/** What a task or a run was told; it lies until a wait takes it. */
export type Signal = Result<Schemas["SignalView"]>;
/** Something that the handler of a durable task has done, or waits for, under a name of its own. */
export type TaskStep = Result<Schemas["TaskStepView"]>;
/** A stored file. */
export type Artifact = Result<Schemas["ArtifactView"]>;
/** A rule that submits tasks or starts runs. */
export type Schedule = Result<Schemas["ScheduleView"]>;
/** A rule that submits tasks or starts runs when something happened elsewhere. */
export type Trigger = Result<Schemas["TriggerView"]>;
/** An event for which a trigger's condition held, and what was started; `reason`: why nothing was. */
export type Match = Result<Schemas["MatchView"]>;
/** Something that happened elsewhere, as it was accepted. */
export type OutsideEvent = Result<Schemas["OutsideEventView"]>;
/** The same with what became of it: what it started, and which triggers did not match and why. */
export type EventDetails = Result<Schemas["OutsideEventDetails"]>;
/** A task type of the installation; `payload` is the JSON Schema of its payload. */
export type TaskType = Result<Schemas["TaskTypeView"]>;
/** A step of a run. */
export type Step = Result<Schemas["StepOfRun"]>;

/** One execution of a workflow as it was when the service answered. */
export interface Run extends Omit<Result<Schemas["RunDetails"]>, "steps"> {
  readonly steps: readonly Step[];
  readonly isFinished: boolean;
}

/** A change of a task's status. */
export interface Event {
  /** The number to go on after. */
  readonly id: string;
  /** Such as task.completed. */
  readonly event: string;
  readonly taskId: string;
  readonly type: string;
  readonly status: string;
  readonly previousStatus: string | null;
  readonly attempt: number;
  readonly at: Date;
  readonly raw: Readonly<Json>;
}

/** The time to wait is over; `last` is the task or run as it was seen last, which goes on. */
export class NotFinished extends RequestFailed {
  constructor(
    readonly last: Task | Run,
    timeoutMs: number,
  ) {
    super(`${last.id} has not finished within ${timeoutMs} ms (it is ${last.status}); it goes on, so wait again or cancel it.`);
  }
}

const FINISHED = new Set(["COMPLETED", "FAILED", "CANCELLED"]);
const UNFINISHED_RUN = new Set(["RUNNING", "PAUSED", "COMPENSATING"]);

export function taskOf(said: Json, more: { etag?: string | null; isNew?: boolean } = {}): Task {
  const found = read<Schemas["TaskView"]>(said);
  return Object.freeze({ ...found, isFinished: FINISHED.has(found.status), etag: more.etag ?? null, isNew: more.isNew ?? true });
}

export function runOf(said: Json): Run {
  const found = read<Schemas["RunDetails"]>(said);
  const steps = Object.freeze(itemsOf<Schemas["StepOfRun"]>(said.steps));
  return Object.freeze({ ...found, steps, isFinished: !UNFINISHED_RUN.has(found.status) });
}

export function eventOf(id: string, event: string, said: Json): Event {
  return Object.freeze({ previousStatus: null, attempt: 0, ...read<Json>(said), id, event }) as unknown as Event;
}

/** The items of a list that has no pages. */
export function itemsOf<View>(items: unknown): Result<View>[] {
  return (items as Json[]).map((each) => read<View>(each));
}
