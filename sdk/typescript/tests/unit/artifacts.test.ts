/** Files: how they are sent and read, and what is told meanwhile. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, Unreachable } from "../../src/index.js";
import { fakeService, NOW, problem } from "./fake-service.js";

const VIEW = { id: "f", name: "a.csv", media_type: "text/csv", size: 3, created_at: NOW };
const CONTENT = "0123456789".repeat(50_000);

test("a file is sent as a form, with or without somebody who watches", async (t) => {
  const service = await fakeService(t, () => ({ status: 201, json: VIEW }));
  const client = service.client();
  const told: [number, number | null][] = [];
  const progress = (done: number, size: number | null) => told.push([done, size]);
  await client.artifacts.upload(CONTENT, { name: "a.csv", mediaType: "text/csv" });
  const found = await client.artifacts.upload(new File([CONTENT], "a.csv", { type: "text/csv" }), { progress });
  await client.artifacts.upload(new TextEncoder().encode(CONTENT), { name: "a.csv", mediaType: "text/csv", progress });

  assert.deepEqual([found.mediaType, found.createdAt], ["text/csv", new Date(NOW)]);
  for (const { body, headers } of service.seen) {
    assert.match(body, /^--(\S+)\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\nContent-Type: text\/csv\r\n\r\n(\d{500000})\r\n--\1--/);
    assert.match(String(headers["content-type"]), /^multipart\/form-data; boundary=/);
  }
  assert.ok(told.length > 4);
  assert.deepEqual(told.at(-1), [CONTENT.length, CONTENT.length]);
  assert.ok(told.every(([done, size]) => done <= CONTENT.length && size === CONTENT.length));
});

test("a large upload has the time that it takes over a slow line", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let isGivenUp = false;
  const client = new Client({
    url: "http://127.0.0.1:1", key: "tl_key", retryMs: 0,
    fetch: (_, options) => new Promise((_, reject) => options?.signal?.addEventListener("abort", () => {
      isGivenUp = true;
      reject(new TypeError("aborted"));
    })),
  });
  const upload = assert.rejects(client.artifacts.upload(new Uint8Array(5e6)), Unreachable);
  t.mock.timers.tick(300_000);
  assert.equal(isGivenUp, false);
  t.mock.timers.tick(300_000);
  await upload;
});

test("an upload that breaks begins again, with the same key", async (t) => {
  let asked = 0;
  const service = await fakeService(t, () => (asked++ ? { status: 201, json: VIEW } : problem(503, "away")));
  await service.client().artifacts.upload(CONTENT, { progress: () => undefined });
  assert.equal(service.seen.length, 2);
  assert.equal(service.seen[0]?.headers["idempotency-key"], service.seen[1]?.headers["idempotency-key"]);
  assert.ok(service.seen[1]?.body.includes(CONTENT));
});

test("a file is read as a whole, or goes somewhere piece by piece", async (t) => {
  const service = await fakeService(t, () => ({ text: CONTENT, headers: { "Content-Length": String(CONTENT.length) } }));
  const client = service.client();
  assert.equal(new TextDecoder().decode(await client.artifacts.download("f")), CONTENT);

  let length = 0;
  const told: (number | null)[][] = [];
  const to = new WritableStream<Uint8Array>({ write: (piece) => void (length += piece.length) });
  assert.equal((await client.artifacts.download("f", { to, progress: (...all) => told.push(all) })).length, 0);
  assert.equal(length, CONTENT.length);
  assert.deepEqual(told.at(-1), [CONTENT.length, CONTENT.length]);
});

test("a file of which only a part comes is no file", async (t) => {
  const service = await fakeService(t, (_, raw) => {
    raw.writeHead(200, { "Content-Length": "1000" }).write("half", () => setTimeout(() => raw.destroy(), 50));
    return undefined;
  });
  const client = service.client();
  await assert.rejects(client.artifacts.download("f"), Unreachable);
  let aborted: unknown;
  const to = new WritableStream<Uint8Array>({ abort: (reason) => void (aborted = reason) });
  await assert.rejects(client.artifacts.download("f", { to }), Unreachable);
  assert.ok(aborted);
});
