/** Which service to talk to, and as whom: what is given, and then the environment, where there is one. */

import { baseUrl, checkedKey } from "./http/addresses.js";
import { NotConfigured } from "./http/errors.js";
import type { Connection } from "./http/transport.js";

export type { Connection };

export interface Options {
  /** The service's address; unless given, that of the variable TASKLEDGER_URL. */
  readonly url?: string | undefined;
  /** An API key; unless given, that of the variable TASKLEDGER_API_KEY. */
  readonly key?: string | undefined;
  /** How long what is safe to repeat is repeated; 60,000 unless given. */
  readonly retryMs?: number | undefined;
  /** In place of the global one, such as one that goes over a proxy. */
  readonly fetch?: typeof fetch | undefined;
  /** Let plain http:// go to other machines, where the network is yours alone. */
  readonly allowHttp?: boolean | undefined;
}

export const RETRY_MS = 60_000;

/** Throws NotConfigured. */
export function connectionOf(options: Options): Connection {
  const environment: Record<string, string | undefined> = typeof process === "undefined" ? {} : (process.env ?? {});
  const url = options.url ?? environment.TASKLEDGER_URL;
  if (!url) throw new NotConfigured("There is no address of a service: give url, or set TASKLEDGER_URL.");
  const key = options.key ?? environment.TASKLEDGER_API_KEY;
  const base = baseUrl(url, options.allowHttp ?? false);
  if (!key) throw new NotConfigured(`There is no API key for ${base}: give key, or set TASKLEDGER_API_KEY.`);
  return {
    url: base,
    key: checkedKey(key),
    retryMs: options.retryMs ?? RETRY_MS,
    fetch: options.fetch ?? ((...given) => fetch(...given)), // browsers want it called as a function of theirs
  };
}
