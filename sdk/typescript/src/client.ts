/** The client: submit tasks, follow them, and do what the API can do. */

import { Artifacts } from "./artifacts.js";
import { submitPart } from "./batches.js";
import { type Connection, connectionOf, type Options } from "./connection.js";
import { follow } from "./events.js";
import { type Asked, type Call, type Query, Transport } from "./http/transport.js";
import { Lanes } from "./lanes.js";
import type { Json } from "./http/json.js";
import { asJson, type Given, idOf, pathOf, read, said, type Schemas } from "./reading.js";
import { type Attempt, type Event, type EventDetails, itemsOf, type LogLine, type OutsideEvent, type Run, runOf, type Signal, type Submitted, type Task, taskOf, type TaskStep, type TaskType, type Why } from "./results.js";
import { Schedules } from "./schedules.js";
import { json, newId, partsOf, type Payloads, prepared, type Submission, type TaskOptions, type TypeOf } from "./submissions.js";
import { Triggers } from "./triggers.js";
import { type Handler, type Handlers, Worker, type WorkOptions } from "./work.js";
import { waitForRun, waitForTask, type Waiting } from "./waiting.js";

export type TaskId = string | Task;
export type RunId = string | Run;
type Several<Value> = Value | readonly Value[];
export type Labels = Readonly<Record<string, string>>;

export interface TaskFilters extends Asked {
  readonly status?: Several<Task["status"]> | undefined;
  readonly type?: Several<string> | undefined;
  readonly labels?: Labels | undefined;
  readonly createdAfter?: Date | undefined;
  readonly createdBefore?: Date | undefined;
  /** Words to look for. */
  readonly q?: string | undefined;
}

export interface EventFilters extends Asked {
  readonly status?: Several<Task["status"]> | undefined;
  readonly type?: Several<string> | undefined;
  readonly task?: Several<TaskId> | undefined;
  readonly labels?: Labels | undefined;
  /** Go on after the event with this id; "0": from the first that is kept. Without it, from now on. */
  readonly after?: string | undefined;
}

export interface SendOptions extends Asked {
  /** Events with the same key are applied one at a time, in their order. */
  readonly orderingKey?: string | undefined;
  /** A second call with the same key that says the same within 24 hours tells of nothing new. */
  readonly idempotencyKey?: string | undefined;
}

export interface RunOptions extends Omit<Given<Schemas["StartRun"]>, "input">, Asked {
  /** The id of the run, from `newId`: the same start again with it starts no second run. */
  readonly id?: string | undefined;
}

export interface SignalOptions extends Asked {
  /** The same key again with the same signal sends no second one. */
  readonly key?: string | undefined;
}

/** A Taskledger service. `Types` are the payloads of its task types, where they are known. */
export class Client<Types = Payloads> {
  readonly artifacts: Artifacts;
  readonly schedules: Schedules;
  readonly triggers: Triggers;
  readonly #transport: Transport;
  readonly #lanes: Lanes;

  /** Throws NotConfigured where no usable address or key is given, nor in TASKLEDGER_URL and TASKLEDGER_API_KEY. */
  constructor(options: Options = {}) {
    const connection: Connection = connectionOf(options);
    this.#transport = new Transport(connection);
    this.#lanes = new Lanes((call) => this.#transport.answer(call));
    this.artifacts = new Artifacts(this.#transport);
    this.schedules = new Schedules(this.#transport);
    this.triggers = new Triggers(this.#transport);
  }

  /**
   * Submit a task; when this resolves, it is durable. Many at once share requests. Repeated by itself, it makes one task
   * only; with an `id` of yours, so does a second call that says the same, for as long as the task is there.
   */
  async submit<Type extends TypeOf<Types>>(type: Type, payload: Types[Type], options: TaskOptions & Asked = {}): Promise<Task> {
    const { signal, ...rest } = options;
    const answer = await this.#lanes.submit(prepared(type, payload, rest), signal);
    return taskOf(answer.data, { etag: answer.etag, isNew: answer.status === 201 });
  }

  /**
   * Submit any number in batches, as they come; what became of each, in their order. Nothing is sent before the first
   * result is asked for. Throws what concerns all of them: those that were yielded are submitted, and of the batch after
   * them it is not known.
   */
  async *submitMany(
    submissions: Iterable<Submission<Types>> | AsyncIterable<Submission<Types>>,
    { progress, signal }: Asked & { readonly progress?: ((done: number) => void) | undefined } = {},
  ): AsyncGenerator<Submitted, void, undefined> {
    let done = 0;
    for await (const part of partsOf(submissions as Iterable<Submission>)) {
      const results = await submitPart(part, done, (call) => this.#transport.answer({ ...call, signal }));
      done += results.length;
      progress?.(done);
      yield* results;
    }
  }

  /** Read a task. Throws NotFound. */
  async get(task: TaskId, asked: Asked = {}): Promise<Task> {
    const answer = await this.#transport.answer({ method: "GET", path: pathOf("tasks", idOf(task)), ...asked });
    return taskOf(answer.data, answer);
  }

  /** Wait until a task has ended, however it did: see its `status`. Throws NotFinished after `timeoutMs`. */
  async wait(task: TaskId, waiting: Waiting = {}): Promise<Task> {
    return waitForTask(this.#transport, idOf(task), waiting);
  }

  /** Tasks that match all that is given, newest first, read page by page. */
  async *list(filters: TaskFilters = {}): AsyncGenerator<Task, void, undefined> {
    const { status, type, labels, createdAfter, createdBefore, q, signal } = filters;
    const query = {
      status, type, q, label: labelsInQuery(labels), created_after: createdAfter?.toISOString(), created_before: createdBefore?.toISOString(),
    };
    for await (const each of this.#transport.listed("/tasks", query, { signal })) yield taskOf(each);
  }

  /** Change a task that has not started. Throws Conflict: too late, or `unlessChanged` is not its state now. */
  async change(
    task: TaskId,
    changes: Given<Schemas["ChangeTask"]>,
    { unlessChanged, signal }: Asked & { readonly unlessChanged?: Task | undefined } = {},
  ): Promise<Task> {
    const headers = unlessChanged?.etag ? { "If-Match": unlessChanged.etag } : {};
    const content = json(asJson(said(changes)));
    const answer = await this.#transport.answer({ method: "PATCH", path: pathOf("tasks", idOf(task)), content, headers, signal });
    return taskOf(answer.data, answer);
  }

  /** Delete a finished task and its history. Throws Conflict for one that is not finished. */
  async delete(task: TaskId, asked: Asked = {}): Promise<void> {
    await this.#transport.answer({ method: "DELETE", path: pathOf("tasks", idOf(task)), ...asked });
  }

  /** Cancel a task; one that runs is asked to stop. Throws Conflict for one that has ended. */
  async cancel(task: TaskId, asked: Asked = {}): Promise<Task> {
    return taskOf(await this.#done(pathOf("tasks", idOf(task), "cancel"), { isHarmless: true, ...asked }));
  }

  /**
   * Start a FAILED or CANCELLED task over, with another payload or `maxRetries` if given. Throws Conflict. A durable task
   * goes on with what it remembers; `fresh: true` makes it forget that.
   */
  async retry(task: TaskId, changes: Given<Schemas["RetryTask"]> = {}, asked: Asked = {}): Promise<Task> {
    const content = Object.keys(changes).length ? { content: json(asJson(said(changes))) } : {};
    return taskOf(await this.#done(pathOf("tasks", idOf(task), "retry"), { ...content, ...asked }));
  }

  /** What the task's handler wrote, oldest first. */
  async logs(task: TaskId, asked: Asked = {}): Promise<readonly LogLine[]> {
    return itemsOf<Schemas["LogLineView"]>((await this.#read(pathOf("tasks", idOf(task), "logs"), asked)).items);
  }

  /** The task's attempts, oldest first. */
  async attempts(task: TaskId, asked: Asked = {}): Promise<readonly Attempt[]> {
    return itemsOf<Schemas["AttemptView"]>((await this.#read(pathOf("tasks", idOf(task), "attempts"), asked)).items);
  }

  /** Why the task does not run: one cause, its evidence, and what to do. */
  async why(task: TaskId, asked: Asked = {}): Promise<Why> {
    return read<Schemas["WhyView"]>(await this.#read(pathOf("tasks", idOf(task), "why"), asked));
  }

  /**
   * Tell a task what it waits for, or will wait for: `data` is what its wait returns. Repeated by itself, it is sent once;
   * with a `key` of yours, so is a second call that says the same. Throws Conflict: the task has ended, or 100 signals lie
   * untaken; Invalid: the wait does not take this data.
   */
  async signal(task: TaskId, name: string, data: unknown = null, options: SignalOptions = {}): Promise<Signal> {
    return this.#signal(pathOf("tasks", idOf(task), "signals", name), data, options);
  }

  /** The same for a run: the step that waits for it goes on. */
  async signalRun(run: RunId, name: string, data: unknown = null, options: SignalOptions = {}): Promise<Signal> {
    return this.#signal(pathOf("runs", idOf(run), "signals", name), data, options);
  }

  /** What the task was told, newest first, read page by page. */
  async *signals(task: TaskId, asked: Asked = {}): AsyncGenerator<Signal, void, undefined> {
    for await (const each of this.#transport.listed(pathOf("tasks", idOf(task), "signals"), {}, asked)) yield read<Schemas["SignalView"]>(each);
  }

  /** What the handler of a durable task has behind it, in its order, read page by page. */
  async *steps(task: TaskId, asked: Asked = {}): AsyncGenerator<TaskStep, void, undefined> {
    for await (const each of this.#transport.listed(pathOf("tasks", idOf(task), "steps"), {}, asked)) yield read<Schemas["TaskStepView"]>(each);
  }

  /** The task types of the installation, by name. */
  async types(asked: Asked = {}): Promise<readonly TaskType[]> {
    return itemsOf<Schemas["TaskTypeView"]>((await this.#read("/task-types", asked)).items);
  }

  /** Start a run of a workflow. Throws NotFound, Invalid with `errors` by path. */
  async runWorkflow(workflow: string, input: Readonly<Json> = {}, options: RunOptions = {}): Promise<Run> {
    const { id = newId(), signal, ...rest } = options;
    const content = json(asJson({ input, ...said(rest), id }));
    return runOf(await this.#done(pathOf("workflows", workflow, "runs"), { content, isHarmless: true, signal }));
  }

  /** Read a run with its steps. Throws NotFound. */
  async getRun(run: RunId, asked: Asked = {}): Promise<Run> {
    return runOf(await this.#read(pathOf("runs", idOf(run)), asked));
  }

  /** Wait until a run has ended, however it did. Throws NotFinished after `timeoutMs`. */
  async waitRun(run: RunId, waiting: Waiting = {}): Promise<Run> {
    return waitForRun(() => this.getRun(run, { signal: waiting.signal }), waiting);
  }

  /** Cancel a run; what it has completed stays. Throws Conflict for one that has ended. */
  async cancelRun(run: RunId, asked: Asked = {}): Promise<Run> {
    return runOf(await this.#done(pathOf("runs", idOf(run), "cancel"), asked));
  }

  /** Tell of something that happened; your triggers that listen for it start their work, each once. */
  async sendEvent(name: string, data: unknown = null, options: SendOptions = {}): Promise<OutsideEvent> {
    const { idempotencyKey = newId(), orderingKey, signal } = options;
    const content = json(asJson({ name, data, ...said({ orderingKey }) }));
    return read<Schemas["OutsideEventView"]>(await this.#done("/events", { content, idempotencyKey, signal }));
  }

  /** Read an event: what it started, and which triggers did not match and why. Throws NotFound. */
  async getEvent(event: string | OutsideEvent, asked: Asked = {}): Promise<EventDetails> {
    return read<Schemas["OutsideEventDetails"]>(await this.#read(pathOf("events", idOf(event)), asked));
  }

  /**
   * Your events as they happen, each once and without end: leave the loop, or abort the signal. A connection that breaks
   * is made again, and goes on where it was.
   */
  stream(filters: EventFilters = {}): AsyncGenerator<Event, void, undefined> {
    const { status, type, task, labels, after, signal } = filters;
    const tasks = task === undefined ? [] : typeof task === "object" && "length" in task ? task : [task];
    const query: Query = { status, type, task_id: tasks.map(idOf), label: labelsInQuery(labels) };
    return follow(this.#transport, query, after, signal);
  }

  /**
   * Work off tasks of remote types until the signal is aborted: each handler takes the task and its payload, and what it
   * returns is the result. Leases are renewed while it runs, and `task.signal` tells it to end. A handler that throws
   * PermanentError is not tried again, RetryLater says when. Throws RequestFailed where no claim can succeed: the key
   * lacks the scope `work`, or a type is not declared.
   */
  async work(handlers: Handlers<Types>, options: WorkOptions = {}): Promise<void> {
    const once = new Transport({ ...this.#transport.connection, retryMs: 0 });
    await new Worker(once, handlers as Readonly<Record<string, Handler<never> | undefined>>, options).run();
  }

  async #signal(path: string, data: unknown, { key = newId(), signal }: SignalOptions): Promise<Signal> {
    return read<Schemas["SignalView"]>(await this.#done(path, { content: json(asJson({ data })), idempotencyKey: key, signal }));
  }

  async #read(path: string, asked: Asked): Promise<Json> {
    return (await this.#transport.answer({ method: "GET", path, ...asked })).data;
  }

  async #done(path: string, call: Omit<Call, "method" | "path">): Promise<Json> {
    return (await this.#transport.answer({ method: "POST", path, ...call })).data;
  }
}

/** As ?label=key:value, repeated. */
function labelsInQuery(labels: Labels = {}): string[] {
  return Object.entries(labels).map(([key, value]) => `${key}:${value}`);
}
