/** What is repeated, for how long, and what becomes of broken connections. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { NotFound, QuotaReached, RateLimited, Unavailable, Unreachable } from "../../src/index.js";
import { retryAfterMs } from "../../src/http/errors.js";
import { pauseBeforeNext } from "../../src/http/retrying.js";
import { refusalOf } from "../../src/http/errors.js";
import { fakeService, type How, problem, task } from "./fake-service.js";

/** Fails as told at first, and then answers. */
const afterwards = (...failures: How[]): How => {
  let asked = 0;
  return (seen, raw) => (failures[asked++] ?? (() => ({ status: 201, json: task() })))(seen, raw);
};
const broken: How = (_, raw) => {
  raw.destroy();
  return undefined;
};
const away: How = () => problem(503, "database_unavailable");

test("a submission is sent again with the same id", async (t) => {
  const service = await fakeService(t, afterwards(broken, away, () => ({ status: 502, text: "<html>" })));
  await service.client().submit("reverse_string", "x");
  assert.equal(service.seen.length, 4);
  assert.equal(new Set(service.seen.map(({ body }) => body)).size, 1);
});

test("what may have been done and is not safe to repeat is not sent again", async (t) => {
  const service = await fakeService(t, afterwards(broken, away));
  const client = service.client();
  await assert.rejects(client.retry("0190"), Unreachable);
  await assert.rejects(client.retry("0190"), Unavailable);
  assert.equal(service.seen.length, 2);
});

test("who is told to slow down waits as long as he is told", async (t) => {
  const service = await fakeService(t, afterwards(() => ({ ...problem(429, "too_many_requests"), headers: { "Retry-After": "1" } })));
  const began = performance.now();
  await service.client().retry("0190");
  assert.ok(performance.now() - began >= 1000);
});

test("a quota and a refusal stand at once, and the time to repeat ends", async (t) => {
  const service = await fakeService(t, afterwards(() => problem(429, "quota_reached"), () => problem(404, "not_found"), away, away, away, away));
  const client = service.client({ retryMs: 400 });
  await assert.rejects(client.submit("reverse_string", "x"), QuotaReached);
  await assert.rejects(client.get("0190"), NotFound);
  assert.equal(service.seen.length, 2);
  await assert.rejects(client.get("0190"), Unavailable);
  assert.ok(service.seen.length <= 5);
});

test("pauses grow, have a random part, and end with the time", () => {
  const tries = { made: 1, passedMs: 0, retryMs: 60_000, repeatable: true };
  const away = refusalOf({}, 503);
  assert.deepEqual([1, 2, 3, 9].map((made) => pauseBeforeNext(away, { ...tries, made }, 0)), [250, 500, 1000, 5000]);
  assert.equal(pauseBeforeNext(away, tries, 1), 125);
  assert.equal(pauseBeforeNext(away, { ...tries, passedMs: 59_800 }, 0), undefined);
  assert.equal(pauseBeforeNext(new RateLimited({}, 429, 21_000), tries, 0), undefined);
  assert.equal(pauseBeforeNext(new RateLimited({}, 429, 2_000), { ...tries, repeatable: false }, 0), 2_250);
  assert.equal(pauseBeforeNext(refusalOf({}, 500), tries, 0), undefined);
});

test("Retry-After has seconds or a moment", () => {
  const now = Date.parse("2026-11-29T02:30:00Z");
  assert.deepEqual(["7", "Sun, 29 Nov 2026 02:30:05 GMT", "Sun, 29 Nov 2026 02:00:00 GMT", "soon", null].map((text) => retryAfterMs(text, now)), [7000, 5000, 0, undefined, undefined]);
});

test("a redirect is not followed, and what is not Taskledger's is said to be", async (t) => {
  const service = await fakeService(t, ({ url }) => (url.includes("moved") ? { status: 302, headers: { Location: "https://b" } } : { text: "hello" }));
  const client = service.client();
  await assert.rejects(client.get("moved"), /points to https:\/\/b/);
  await assert.rejects(client.get("other"), /is the address right/);
  assert.equal(service.seen.length, 2);
});

test("nobody listens: it was not sent, so that even a retry is tried again", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  const { Client } = await import("../../src/index.js");
  const began = performance.now();
  const client = new Client({ url: `http://127.0.0.1:${port}`, key: "tl_secret", retryMs: 600 });
  await assert.rejects(client.retry("0190"), (error) => error instanceof Unreachable && !error.wasSent && !error.message.includes("secret"));
  assert.ok(performance.now() - began > 100);
});

test("a signal gives up requests, pauses and bodies, with its reason", async (t) => {
  const service = await fakeService(t, ({ url }, raw) => {
    if (url.includes("half")) raw.writeHead(200).write('{"id":');
    return url.includes("away") ? problem(503, "away") : undefined;
  });
  const client = service.client();
  for (const id of ["never", "half", "away"]) {
    const reason = new Error("I have other things to do");
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 100);
    await assert.rejects(client.get(id, { signal: controller.signal }), (error) => error === reason);
  }
  await assert.rejects(client.get("never", { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.ok(service.seen.length >= 3);
});
