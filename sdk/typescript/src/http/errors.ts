/** What can become of a request that does not succeed, as classes; their texts never hold a credential. */

import { asObject, isObject, type Json } from "./json.js";

/** A request could not be made, was not answered, or was refused. The text says what was wrong, and what to do. */
export class RequestFailed extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** There is no usable address or key to make a request with: nothing was sent. */
export class NotConfigured extends RequestFailed {}

/** What was given cannot be written as JSON: nothing was sent. */
export class Unsendable extends RequestFailed {}

/** No answer came, or one that is not Taskledger's. Whether the request was carried out is not known. */
export class Unreachable extends RequestFailed {
  /** Whether the same request may succeed in a moment. */
  readonly mayPass: boolean;
  /** Whether the service may have carried it out. */
  readonly wasSent: boolean;

  constructor(text: string, options: { mayPass?: boolean; wasSent?: boolean; cause?: unknown } = {}) {
    super(text, { cause: options.cause });
    this.mayPass = options.mayPass ?? true;
    this.wasSent = options.wasSent ?? true;
  }
}

/** The service answered with a problem (RFC 9457). */
export class Refused extends RequestFailed {
  /** Of HTTP. */
  readonly status: number;
  /** Keeps its meaning over releases. */
  readonly code: string;
  /** Messages at the path of each refused field. */
  readonly errors: Readonly<Json>;
  /** Milliseconds to wait, where the service says so. */
  readonly retryAfterMs: number | undefined;
  /** The whole answer. */
  readonly problem: Readonly<Json>;

  constructor(problem: Json, status: number, retryAfterMs?: number) {
    super(String(problem.detail || problem.title || `The service answered with ${status}.`));
    this.status = status;
    this.code = String(problem.code ?? "");
    this.errors = isObject(problem.errors) ? problem.errors : {};
    this.retryAfterMs = retryAfterMs;
    this.problem = problem;
  }

  /** The path of each refused field, such as `payload.language`, with what is wrong there. */
  fieldErrors(): [path: string, message: string][] {
    return [...flat(this.errors, "")];
  }
}

/** 401: no key, or one that is wrong, expired or revoked. */
export class NotAuthenticated extends Refused {}
/** 403: the key does not reach that far. */
export class NotPermitted extends Refused {}
/** 404, 410: there is no such thing, it was deleted, or it is somebody else's. */
export class NotFound extends Refused {}
/** 409, 412: the thing is in a status that does not allow this, or has changed meanwhile. */
export class Conflict extends Refused {}
/** Other statuses of 4xx, mostly 422: the request itself must be corrected. */
export class Invalid extends Refused {}
/** 429: a rate limit, or a quota; `retryAfterMs` may say for how long. */
export class TooManyRequests extends Refused {}
/** `too_many_requests`: too many within a minute; the same one will do after `retryAfterMs`. */
export class RateLimited extends TooManyRequests {}
/** `quota_reached`: too many tasks of the account wait already; there is room when some are done. */
export class QuotaReached extends TooManyRequests {}
/** 5xx: the service cannot answer now. */
export class Unavailable extends Refused {}

const KINDS: Readonly<Record<number, typeof Refused>> = {
  401: NotAuthenticated,
  403: NotPermitted,
  404: NotFound,
  409: Conflict,
  410: NotFound,
  412: Conflict,
  429: TooManyRequests,
};
const KINDS_BY_CODE: Readonly<Record<string, typeof Refused>> = {
  too_many_requests: RateLimited,
  quota_reached: QuotaReached,
};

/** A problem as the class of its code, or else of its status. */
export function refusalOf(problem: Json, status: number, retryAfterMs?: number): Refused {
  const byStatus = KINDS[status] ?? (status >= 500 ? Unavailable : Invalid);
  return new (KINDS_BY_CODE[String(problem.code)] ?? byStatus)(problem, status, retryAfterMs);
}

/** What an answer that is no success means; `url` is the address of the service, for the text. */
export function failureOf(status: number, headers: Headers, content: string, url: string): RequestFailed {
  const problem = asObject(content);
  if (problem && "status" in problem && ("detail" in problem || "code" in problem)) {
    return refusalOf(problem, status, retryAfterMs(headers.get("retry-after")));
  }
  if (status < 400 && status !== 200) {
    const place = headers.get("location") ?? "elsewhere";
    return new Unreachable(`${url} answered ${status || "a redirect"} and points to ${place}: give the address that it points to.`, {
      mayPass: false,
    });
  }
  if (status >= 500) {
    return new Unreachable(`${url} answered ${status}, as a proxy does while the service behind it is away: try again.`);
  }
  return new Unreachable(`${url} answered ${status} with something that is not Taskledger's: is the address right?`, {
    mayPass: false,
  });
}

/** The header Retry-After, which has seconds or a moment, in milliseconds; undefined when it says nothing. */
export function retryAfterMs(text: string | null, now = Date.now()): number | undefined {
  if (text === null) return undefined;
  if (/^\s*\d+\s*$/.test(text)) return Number(text) * 1000;
  const moment = Date.parse(text);
  return Number.isNaN(moment) ? undefined : Math.max(0, moment - now);
}

function* flat(errors: unknown, path: string): Generator<[string, string]> {
  if (Array.isArray(errors)) {
    for (const each of errors) yield* flat(each, path);
  } else if (isObject(errors)) {
    for (const [name, below] of Object.entries(errors)) yield* flat(below, path ? `${path}.${name}` : name);
  } else {
    yield [path, String(errors)];
  }
}
