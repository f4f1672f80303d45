/** `client.schedules`: rules that submit tasks or start runs, once or by cron. */

import type { Asked, Transport } from "./http/transport.js";
import type { Json } from "./http/json.js";
import { asJson, type Given, idOf, pathOf, read, said, type Schemas } from "./reading.js";
import type { Schedule } from "./results.js";
import { json, newId } from "./submissions.js";

type View = Schemas["ScheduleView"];
type Rule<Body> = Omit<Given<Body>, "task"> & { readonly task?: Given<Schemas["TaskTemplate"]> | undefined };
/** What a schedule says: `cron` or `runAt`, and `task` (as a submission) or `workflow`. */
export type NewSchedule = Rule<Schemas["CreateSchedule"]>;
export type PutSchedule = Omit<Rule<Schemas["PutSchedule"]>, "name">;
export type ScheduleChanges = Rule<Schemas["ChangeSchedule"]>;
export type ScheduleId = string | Schedule;

export class Schedules {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Make one. */
  async create(rule: NewSchedule, asked: Asked = {}): Promise<Schedule> {
    const content = json(asJson(inWords(rule)));
    const { data } = await this.#transport.answer({ method: "POST", path: "/schedules", content, idempotencyKey: newId(), ...asked });
    return read<View>(data);
  }

  /**
   * Make your schedule of this name, or replace it as a whole; the same again changes nothing. Without `enabled`, one
   * that a person has paused stays paused.
   */
  async put(name: string, rule: PutSchedule, asked: Asked = {}): Promise<Schedule> {
    const content = json(asJson(inWords(rule)));
    const { data } = await this.#transport.answer({ method: "PUT", path: pathOf("schedules", name), content, ...asked });
    return read<View>(data);
  }

  /** Read one. Throws NotFound. */
  async get(schedule: ScheduleId, asked: Asked = {}): Promise<Schedule> {
    const { data } = await this.#transport.answer({ method: "GET", path: pathOf("schedules", idOf(schedule)), ...asked });
    return read<View>(data);
  }

  /** All, newest first, read page by page. */
  async *list(asked: Asked = {}): AsyncGenerator<Schedule, void, undefined> {
    for await (const each of this.#transport.listed("/schedules", {}, asked)) yield read<View>(each);
  }

  /** Change what is given; the rest stays. */
  async change(schedule: ScheduleId, changes: ScheduleChanges, asked: Asked = {}): Promise<Schedule> {
    const path = pathOf("schedules", idOf(schedule));
    const content = json(asJson(inWords(changes)));
    const { data } = await this.#transport.answer({ method: "PATCH", path, content, ...asked });
    return read<View>(data);
  }

  /** Delete one; what it has submitted stays. */
  async delete(schedule: ScheduleId, asked: Asked = {}): Promise<void> {
    await this.#transport.answer({ method: "DELETE", path: pathOf("schedules", idOf(schedule)), ...asked });
  }
}

/** A rule in the API's words; so is the task that it has in it. */
function inWords(rule: { readonly task?: object | undefined }): Json {
  return said({ ...rule, task: rule.task && said(rule.task) });
}
