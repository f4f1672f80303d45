/** The client of Taskledger for Node.js and browsers. */

export type { ArtifactId, Artifacts, Download, Progress, Upload } from "./artifacts.js";
export { Client, type EventFilters, type Labels, type RunId, type RunOptions, type TaskFilters, type TaskId } from "./client.js";
export type { Options } from "./connection.js";
export {
  Conflict, Invalid, NotAuthenticated, NotConfigured, NotFound, NotPermitted, QuotaReached, RateLimited, Refused, RequestFailed,
  TooManyRequests, Unavailable, Unreachable, Unsendable,
} from "./http/errors.js";
export type { Asked } from "./http/transport.js";
export {
  type Artifact, type Attempt, type Event, type LogLine, NotFinished, type Run, type Schedule, type Step, type Submitted, type Task,
  type TaskType, type Why,
} from "./results.js";
export type { NewSchedule, PutSchedule, ScheduleChanges, ScheduleId, Schedules } from "./schedules.js";
export { newId, type Payloads, type Submission, type TaskOptions } from "./submissions.js";
export type { Waiting } from "./waiting.js";
