/** Events as they happen, over server-sent events; after a broken connection it goes on where it was. */

import { sleep } from "./http/deadlines.js";
import { Refused, RequestFailed, TooManyRequests, Unavailable, Unreachable } from "./http/errors.js";
import { asObject } from "./http/json.js";
import { messages } from "./http/messages.js";
import type { Call, Query, Transport } from "./http/transport.js";
import { type Event, eventOf } from "./results.js";

/** A stream says something every 15 seconds; one that is silent for so long is broken. */
const SILENT_MS = 45_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

/** Events without end, each once, from the number `after` on, or else from now on. */
export async function* follow(
  transport: Transport,
  query: Query,
  after: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Event, never, undefined> {
  let pause = FIRST_PAUSE_MS;
  let hasConnected = false;
  for (;;) {
    let told = 0;
    try {
      const headers = { Accept: "text/event-stream", ...(after !== undefined && { "Last-Event-ID": after }) };
      const call: Call = { method: "GET", path: "/events/stream", query, headers, timeoutMs: SILENT_MS, signal };
      for await (const { id, event, data } of connection(transport, call)) {
        hasConnected = true;
        pause = FIRST_PAUSE_MS;
        if (data) {
          const said = asObject(data);
          if (!said) throw new Unreachable("The stream said something that is no event: is a proxy in between?");
          yield eventOf(id, event, said);
        }
        after = id || after;
      }
    } catch (error) {
      if (!hasConnected || !mayPass(error)) throw error;
      told = (error instanceof Refused && error.retryAfterMs) || 0;
    }
    await sleep(Math.max(pause, told), signal);
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
}

/** The messages of one connection. */
async function* connection(transport: Transport, call: Call) {
  const { answer, failure, renew, end } = await transport.open(call);
  try {
    if (answer.body) yield* messages(answer.body, renew);
  } catch (error) {
    throw failure(error);
  } finally {
    end();
  }
}

function mayPass(error: unknown): boolean {
  return error instanceof RequestFailed && [Unreachable, Unavailable, TooManyRequests].some((kind) => error instanceof kind);
}
