/** A service for tests: it answers as it is told to, and remembers what it was asked. */

import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

import { Client, type Options } from "../../src/index.js";

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}
export interface Said {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly json?: unknown;
  readonly text?: string;
}
/** What is answered; undefined: `how` has written it itself, or never will. */
export type How = (seen: Seen, raw: ServerResponse) => Said | undefined | Promise<Said | undefined>;

export const NOW = "2026-11-29T02:30:00+00:00";

export interface Fake {
  readonly url: string;
  readonly seen: Seen[];
  client(options?: Options): Client;
}

/** Listens on this machine until the test ends. */
export async function fakeService(test: TestContext, how: How): Promise<Fake> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const asked = { method: request.method ?? "", url: request.url ?? "", headers: request.headers, body: Buffer.concat(pieces).toString() };
    seen.push(asked);
    const said = await how(asked, response);
    if (!said) return;
    const headers = { "Content-Type": said.json === undefined ? "text/plain" : "application/json", ...said.headers };
    response.writeHead(said.status ?? 200, headers).end(said.json === undefined ? said.text : JSON.stringify(said.json));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, seen, client: (options = {}) => new Client({ url, key: "tl_secret", ...options }) };
}

/** A task as the API shows it. */
export function task(fields: Record<string, unknown> = {}): Record<string, unknown> {
  return { id: "0190", type: "reverse_string", status: "PENDING", created_at: NOW, scheduled_at: null, max_retries: 3, labels: { a_b: "c" }, ...fields };
}

export function problem(status: number, code: string, more: Record<string, unknown> = {}): Said {
  return { status, json: { type: "about:blank", title: code, status, code, detail: `It is ${code}.`, ...more } };
}

/** The submissions of a request, alone or in a batch. */
export function submissionsOf({ body }: Seen): { payload: unknown; id: string }[] {
  return body.split("\n").map((line) => JSON.parse(line) as { payload: unknown; id: string });
}

/** A batch that accepts all, each task with its payload for an id. */
export function accepted(asked: Seen): Said {
  const results = submissionsOf(asked).map(({ payload }, index) => ({ index, status: 201, task: task({ id: payload, payload }) }));
  return { json: { results, accepted: results.length, refused: 0 } };
}

/** A promise, and what fulfils it. */
export function gate(): { readonly opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}
