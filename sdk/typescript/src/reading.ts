/** Between the API's words and those of TypeScript: names in snake_case and camelCase, moments as text and as `Date`. */

import type { components } from "./openapi.js";
import { Unsendable } from "./http/errors.js";
import type { Json } from "./http/json.js";

export type Schemas = components["schemas"];

type Camel<Name extends string> = Name extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : Name;
/** Every moment of the API has a name that ends in `_at`, or is called `at`; a test holds the document to it. */
type Value<Name, Said> = Name extends `${string}_at` | "at" ? (Said extends string ? Date : Said) : Said;

/** An object of the API as it is read: frozen, in camelCase, with moments; `raw` is all that the service said. */
export type Result<View> = {
  readonly [Name in keyof View as Name extends string ? Camel<Name> : never]: Value<Name, View[Name]>;
} & { readonly raw: Readonly<Json> };

/** What the API takes, as it is given: in camelCase, with moments. */
export type Given<Body> = {
  readonly [Name in keyof Body as Name extends string ? Camel<Name> : never]: 
    | Value<Name, Body[Name]>
    | (object extends Pick<Body, Name> ? undefined : never);
};

/** An object of the API as a result. Fields that this release does not know are there, too. */
export function read<View>(said: Json): Result<View> {
  const found: Json = {};
  for (const [name, value] of Object.entries(said)) {
    found[camel(name)] = isMoment(name) && typeof value === "string" ? new Date(value) : value;
  }
  found.raw = said;
  return Object.freeze(found) as Result<View>;
}

/** What was given, in the API's names; what is undefined is left out. Values stay as they are, payloads above all. */
export function said(given: object): Json {
  const found: Json = {};
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined) found[snake(name)] = value;
  }
  return found;
}

/** JSON on one line. Throws Unsendable for what JSON cannot say; elsewhere JSON.stringify would make null of it. */
export function asJson(value: unknown): string {
  try {
    return JSON.stringify(value, function (this: Json, name, now: unknown) {
      const before: unknown = this[name]; // `now` of a Date is text, or null already
      if (typeof before === "number" && !Number.isFinite(before)) throw new TypeError(`${name} is ${before}`);
      if (before instanceof Date && Number.isNaN(before.getTime())) throw new TypeError(`${name} is no moment`);
      return now;
    });
  } catch (error) {
    throw new Unsendable(`This cannot be sent as JSON: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

/** The id of a result, or the id itself. */
export function idOf(thing: string | { readonly id: string }): string {
  return typeof thing === "string" ? thing : thing.id;
}

/** A path below /api/v1; what varies is quoted, so that a name with a slash or a space stays one part. */
export function pathOf(...parts: string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join("");
}

function camel(name: string): string {
  return name.replace(/(?<=.)_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function isMoment(name: string): boolean {
  return name === "at" || name.endsWith("_at");
}
