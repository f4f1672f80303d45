/** Submissions as they are sent: alone, or as lines of a batch. */

import { ANSWER_MS, type Call } from "./http/transport.js";
import { asJson, type Given, said, type Schemas } from "./reading.js";

/** Of a group that is sent together. */
export const MOST_ITEMS = 200;
export const MOST_BYTES = 256 * 1024;
/** What is larger is sent alone. */
export const LARGEST_SHARED = 64 * 1024;
/** Of one request of `submitMany`. */
export const BATCH_ITEMS = 500;
const encoder = new TextEncoder();

/** What a task may be submitted with, besides its type and payload. */
export interface TaskOptions extends Omit<Given<Schemas["Submission"]>, "type" | "payload"> {
  /** The id of the task, from `newId`: the same submission again with it makes no second task. */
  readonly id?: string | undefined;
}

/** The payload of each task type of an installation, for `new Client<Payloads>()`. */
export type Payloads = Record<string, unknown>;
export type TypeOf<Types> = keyof Types & string;

/** A task to be, for `submitMany`. */
export type Submission<Types = Payloads> = {
  [Type in TypeOf<Types>]: TaskOptions & { readonly type: Type; readonly payload: Types[Type] };
}[TypeOf<Types>];

/** A submission in JSON, with the id that makes it the same one however often it is sent. */
export interface Prepared {
  readonly body: string;
  readonly bytes: number;
}

/** A submission as it can be sent. Throws Unsendable. */
export function prepared(type: string, payload: unknown, options: TaskOptions): Prepared {
  const { id = newId(), ...rest } = options;
  const body = asJson({ type, payload, ...said(rest), id });
  return { body, bytes: encoder.encode(body).length };
}

/** The request that submits one. */
export function alone(prepared: Prepared): Call {
  return { method: "POST", path: "/tasks", content: json(prepared.body), isHarmless: true };
}

/** The request that submits several; repeating it is harmless, as each has its id. */
export function together(prepared: readonly Prepared[], headers: Readonly<Record<string, string>> = {}): Call {
  const body = prepared.map(({ body }) => body).join("\n");
  const content = { body, headers: { "Content-Type": "application/x-ndjson" } };
  return { method: "POST", path: "/tasks/batch", content: () => content, headers, isHarmless: true, timeoutMs: ANSWER_MS };
}

/** A body that is JSON already. */
export function json(body: string): () => { body: string; headers: Record<string, string> } {
  return () => ({ body, headers: { "Content-Type": "application/json" } });
}

/** The submissions in parts of a size that the service takes, one after the other as they come. */
export async function* partsOf(
  submissions: Iterable<Submission> | AsyncIterable<Submission>,
): AsyncGenerator<Prepared[], void, undefined> {
  let part: Prepared[] = [];
  let bytes = 0;
  for await (const { type, payload, ...options } of submissions) {
    const item = prepared(type, payload, options);
    if (part.length === BATCH_ITEMS || (part.length > 0 && bytes + item.bytes > MOST_BYTES)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(item);
    bytes += item.bytes;
  }
  if (part.length) yield part;
}

/** A UUID of version 7: its first 48 bits are the milliseconds of now, the rest is random. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const view = new DataView(bytes.buffer);
  const now = Date.now();
  view.setUint32(0, Math.floor(now / 2 ** 16));
  view.setUint16(4, now % 2 ** 16);
  view.setUint8(6, (view.getUint8(6) & 0x0f) | 0x70);
  view.setUint8(8, (view.getUint8(8) & 0x3f) | 0x80);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
