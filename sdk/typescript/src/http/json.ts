/** JSON as it comes and goes. */

export type Json = Record<string, unknown>;

/** The JSON object that a text is; undefined when it is something else. */
export function asObject(content: string): Json | undefined {
  try {
    const found: unknown = JSON.parse(content);
    return isObject(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a value is an object, and no array. */
export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
