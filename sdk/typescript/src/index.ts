/** The client of Taskledger for Node.js and browsers. */

export type { ArtifactId, Artifacts, Download, Progress, Upload } from "./artifacts.js";
export { Client, type EventFilters, type Labels, type RunId, type RunOptions, type SendOptions, type SignalOptions, type TaskFilters, type TaskId } from "./client.js";
export type { Options } from "./connection.js";
export {
  Conflict, Invalid, NotAuthenticated, NotConfigured, NotFound, NotPermitted, QuotaReached, RateLimited, Refused, RequestFailed,
  TooManyRequests, Unavailable, Unreachable, Unsendable,
} from "./http/errors.js";
export type { Asked } from "./http/transport.js";
export {
  type Artifact, type Attempt, type Event, type EventDetails, type LogLine, type Match, NotFinished, type OutsideEvent, type Run,
  type Schedule, type Signal, type Step, type Submitted, type Task, type TaskStep, type TaskType, type Trigger, type Why,
} from "./results.js";
export type { NewSchedule, PutSchedule, ScheduleChanges, ScheduleId, Schedules } from "./schedules.js";
export { newId, type Payloads, type Submission, type TaskOptions } from "./submissions.js";
export type { NewTrigger, TriggerChanges, TriggerId, Triggers } from "./triggers.js";
export type { Waiting } from "./waiting.js";
export { type Handler, type Handlers, PermanentError, RetryLater, type WorkOptions } from "./work.js";
export type { WorkTask } from "./work-task.js";
