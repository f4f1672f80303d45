/** `client.triggers`: rules that submit tasks or start runs when something happened elsewhere. */

import type { Asked, Transport } from "./http/transport.js";
import type { Json } from "./http/json.js";
import { asJson, type Given, idOf, pathOf, read, said, type Schemas } from "./reading.js";
import type { Match, Trigger } from "./results.js";
import { json, newId } from "./submissions.js";

type View = Schemas["TriggerView"];
type Rule<Body> = Omit<Given<Body>, "task"> & { readonly task?: Given<Schemas["TriggerTask"]> | undefined };
/** What a trigger says: its `event`, and `task` (a submission of templates) or `workflow`. */
export type NewTrigger = Rule<Schemas["CreateTrigger"]>;
export type TriggerChanges = Rule<Schemas["ChangeTrigger"]>;
export type TriggerId = string | Trigger;

export class Triggers {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Create one; events that came before do not concern it. Throws Invalid with `errors` by path. */
  async create(rule: NewTrigger, asked: Asked = {}): Promise<Trigger> {
    const content = json(asJson(inWords(rule)));
    const { data } = await this.#transport.answer({ method: "POST", path: "/triggers", content, idempotencyKey: newId(), ...asked });
    return read<View>(data);
  }

  /** Read one. Throws NotFound. */
  async get(trigger: TriggerId, asked: Asked = {}): Promise<Trigger> {
    const { data } = await this.#transport.answer({ method: "GET", path: pathOf("triggers", idOf(trigger)), ...asked });
    return read<View>(data);
  }

  /** All, or those of one event, newest first, read page by page. */
  async *list(event?: string, asked: Asked = {}): AsyncGenerator<Trigger, void, undefined> {
    for await (const each of this.#transport.listed("/triggers", { event }, asked)) yield read<View>(each);
  }

  /** What a trigger has matched and started, newest first, read page by page. */
  async *matches(trigger: TriggerId, asked: Asked = {}): AsyncGenerator<Match, void, undefined> {
    const path = pathOf("triggers", idOf(trigger), "matches");
    for await (const each of this.#transport.listed(path, {}, asked)) yield read<Schemas["MatchView"]>(each);
  }

  /** Change what is given; the rest stays. */
  async change(trigger: TriggerId, changes: TriggerChanges, asked: Asked = {}): Promise<Trigger> {
    const content = json(asJson(inWords(changes)));
    const { data } = await this.#transport.answer({ method: "PATCH", path: pathOf("triggers", idOf(trigger)), content, ...asked });
    return read<View>(data);
  }

  /** Delete one; what it has started stays. */
  async delete(trigger: TriggerId, asked: Asked = {}): Promise<void> {
    await this.#transport.answer({ method: "DELETE", path: pathOf("triggers", idOf(trigger)), ...asked });
  }
}

/** A rule in the API's words; so is the task that it has in it. */
function inWords(rule: { readonly task?: object | undefined }): Json {
  return said({ ...rule, task: rule.task && said(rule.task) });
}
