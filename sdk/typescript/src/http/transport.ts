/** Requests to one service with one key: sent, repeated where that is safe, and read. */

import type { Json } from "./json.js";
import { API } from "./addresses.js";
import { Deadline, sleep } from "./deadlines.js";
import { failureOf, RequestFailed, Unreachable } from "./errors.js";
import { asObject } from "./json.js";
import { pauseBeforeNext } from "./retrying.js";

export const ANSWER_MS = 30_000;
export const LARGEST_PAGE = 200;
const NEVER_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT"]);

/** What every method takes. */
export interface Asked {
  /** Gives the call up; the promise is rejected with its reason. */
  readonly signal?: AbortSignal | undefined;
}

type Simple = string | number | boolean;
export type Query = Readonly<Record<string, Simple | readonly Simple[] | null | undefined>>;

/** What fetch takes for a body, with the headers that belong to it. */
export interface Content {
  readonly body: string | FormData | ReadableStream<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request; the path is below /api/v1. Of the query, what is undefined is left out and a list is repeated. */
export interface Call extends Asked {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Query;
  /** Made anew for each try. */
  readonly content?: () => Content;
  readonly headers?: Readonly<Record<string, string>>;
  readonly idempotencyKey?: string | undefined;
  /** How long the service may take to answer. */
  readonly timeoutMs?: number;
  /** Whether a second time changes nothing, although the method alone does not say so. */
  readonly isHarmless?: boolean;
  /** The moment of performance.now() from which its patience counts, where that is not its first try. */
  readonly since?: number;
}

/** What the service said: a status of 2xx, and an object, which is {} where it has no content. */
export interface Answer {
  readonly status: number;
  readonly data: Json;
  readonly etag: string | null;
}

/** An answer whose content has not been read. */
export interface Opened {
  readonly answer: Response;
  /** What a failure to read it means; others stay as they are. */
  readonly failure: (error: unknown) => unknown;
  /** The time that it may be silent begins anew. */
  readonly renew: () => void;
  readonly end: () => void;
}

export interface Connection {
  readonly url: string;
  readonly key: string;
  readonly retryMs: number;
  readonly fetch: typeof fetch;
  readonly random?: () => number;
}

export class Transport {
  constructor(readonly connection: Connection) {}

  /** The answer to a call. Throws RequestFailed, or the reason of the call's signal. */
  async answer(call: Call): Promise<Answer> {
    const since = call.since ?? performance.now();
    for (let made = 1; ; made++) {
      try {
        return await this.#once(call);
      } catch (error) {
        if (!(error instanceof RequestFailed)) throw error;
        const { retryMs, random = Math.random } = this.connection;
        const tries = { made, passedMs: performance.now() - since, retryMs, repeatable: isRepeatable(call) };
        const pause = pauseBeforeNext(error, tries, random());
        if (pause === undefined) throw error;
        await sleep(pause, call.signal);
      }
    }
  }

  /** An answer whose content is read as it comes; not repeated. End it. */
  async open(call: Call): Promise<Opened> {
    const deadline = new Deadline(call.timeoutMs ?? ANSWER_MS, call.signal);
    const failure = (error: unknown) => this.#failure(error, call, deadline);
    try {
      const answer = await this.#fetched(call, deadline);
      if (!answer.ok) throw failureOf(answer.status, answer.headers, await answer.text(), this.connection.url);
      return { answer, failure, renew: () => deadline.renew(), end: () => deadline.end() };
    } catch (error) {
      deadline.end();
      throw failure(error);
    }
  }

  /** Items of a list, read page by page. */
  async *listed(path: string, query: Query, asked: Asked): AsyncGenerator<Json, void, undefined> {
    let cursor: string | null = null;
    do {
      const { data } = await this.answer({ method: "GET", path, query: { ...query, limit: LARGEST_PAGE, cursor }, ...asked });
      yield* data.items as Json[];
      cursor = (data.next as string | null | undefined) ?? null;
    } while (cursor !== null);
  }

  /** A failure of fetch, in words that hold nothing of what was sent; others stay as they are. */
  #failure(error: unknown, call: Call, deadline: Deadline): unknown {
    if (call.signal?.aborted) return call.signal.reason;
    if (error instanceof RequestFailed) return error;
    const { url } = this.connection;
    if (deadline.hasPassed) {
      return new Unreachable(`${url} did not answer in time: is the service running there, and is it overloaded?`, { cause: error });
    }
    if (!(error instanceof TypeError)) return error; // somebody else's: a callback's, a file's
    const cause = error.cause as { code?: string; message?: string } | undefined;
    const why = cause?.message || cause?.code || error.message;
    const wasSent = !NEVER_SENT.has(cause?.code ?? "");
    return new Unreachable(`${url} cannot be reached (${why}): is the service running there?`, { cause: error, wasSent });
  }

  async #once(call: Call): Promise<Answer> {
    const { answer, failure, end } = await this.open(call);
    try {
      const content = await answer.text();
      const data = content ? asObject(content) : {};
      if (!data) throw failureOf(answer.status, answer.headers, content, this.connection.url);
      return { status: answer.status, data, etag: answer.headers.get("etag") };
    } catch (error) {
      throw failure(error);
    } finally {
      end();
    }
  }

  #fetched(call: Call, deadline: Deadline): Promise<Response> {
    const { url, key, fetch } = this.connection;
    const content = call.content?.();
    const headers: Record<string, string> = { Accept: "application/json", ...call.headers, ...content?.headers, Authorization: `Bearer ${key}` };
    if (call.idempotencyKey !== undefined) headers["Idempotency-Key"] = call.idempotencyKey;
    return fetch(`${url}${API}${call.path}${queryOf(call.query ?? {})}`, {
      method: call.method,
      headers,
      signal: deadline.signal,
      redirect: "manual", // a key goes to the address that it was given for, and nowhere else
      credentials: "omit",
      cache: "no-store",
      ...(content && { body: content.body }),
      ...(content?.body instanceof ReadableStream && { duplex: "half" }),
    });
  }
}

function isRepeatable(call: Call): boolean {
  return call.method === "GET" || call.method === "PUT" || call.idempotencyKey !== undefined || call.isHarmless === true;
}

function queryOf(query: Query): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? (value as readonly Simple[]) : [value as Simple | null | undefined]) {
      if (each !== undefined && each !== null) found.append(name, String(each));
    }
  }
  const text = found.toString();
  return text && `?${text}`;
}
