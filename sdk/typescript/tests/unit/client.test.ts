/** What the methods ask, and how they read the answers. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, Invalid, NotConfigured, NotFinished, Unsendable } from "../../src/index.js";
import { fakeService, NOW, problem, submissionsOf, task } from "./fake-service.js";

test("a submission is sent in the API's words, and its task read with moments", async (t) => {
  const service = await fakeService(t, () => ({ status: 201, json: task(), headers: { ETag: '"1"' } }));
  const scheduledAt = new Date("2027-01-01T00:00:00Z");
  const found = await service.client().submit("reverse_string", { left_as: "itIs" }, { scheduledAt, maxRetries: 2, labels: { team_a: "b" } });

  const [asked] = service.seen;
  assert.equal(`${asked?.method} ${asked?.url}`, "POST /api/v1/tasks");
  const { id, ...rest } = JSON.parse(asked?.body ?? "") as { id: string };
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(rest, {
    type: "reverse_string", payload: { left_as: "itIs" }, scheduled_at: "2027-01-01T00:00:00.000Z", max_retries: 2, labels: { team_a: "b" },
  });
  assert.equal(asked?.headers.authorization, "Bearer tl_secret");
  assert.deepEqual(found.createdAt, new Date(NOW));
  assert.deepEqual([found.scheduledAt, found.maxRetries, found.labels, found.etag], [null, 3, { a_b: "c" }, '"1"']);
  assert.deepEqual([found.isNew, found.isFinished, found.raw.max_retries], [true, false, 3]);
  assert.throws(() => Object.assign(found, { status: "COMPLETED" }), TypeError);
});

test("an id of the caller's is the task's, and the second is not new", async (t) => {
  const service = await fakeService(t, () => ({ status: 200, json: task() }));
  const found = await service.client().submit("reverse_string", "x", { id: "0190-mine" });
  assert.equal(submissionsOf(service.seen[0]!)[0]?.id, "0190-mine");
  assert.equal(found.isNew, false);
});

test("a refusal has its class, its code and the paths of what is wrong", async (t) => {
  const errors = { payload: { items: [{ name: ["Missing."] }] }, labels: ["Too many."] };
  const service = await fakeService(t, () => problem(422, "invalid", { errors }));
  await assert.rejects(service.client().submit("reverse_string", 1), (error) => {
    assert.ok(error instanceof Invalid);
    assert.deepEqual([error.status, error.code, error.message, error.name], [422, "invalid", "It is invalid.", "Invalid"]);
    assert.deepEqual(error.fieldErrors(), [["payload.items.name", "Missing."], ["labels", "Too many."]]);
    return true;
  });
  assert.equal(service.seen.length, 1);
});

test("what JSON cannot say is refused before anything is sent", async (t) => {
  const service = await fakeService(t, () => ({ json: task() }));
  const circle: unknown[] = [];
  circle.push(circle);
  for (const payload of [NaN, { at: new Date("never") }, 10n, circle]) {
    await assert.rejects(service.client().submit("reverse_string", payload), Unsendable);
  }
  assert.equal(service.seen.length, 0);
});

test("a list is read page by page, as far as somebody goes", async (t) => {
  const service = await fakeService(t, ({ url }) => ({
    json: url.includes("cursor=two") ? { items: [task({ id: "c" })], next: null } : { items: [task({ id: "a" }), task({ id: "b" })], next: "two" },
  }));
  const client = service.client();
  const ids: string[] = [];
  for await (const { id } of client.list({ status: ["FAILED", "CANCELLED"], labels: { team: "a b" }, createdAfter: new Date(NOW) })) ids.push(id);
  assert.deepEqual(ids, ["a", "b", "c"]);
  const query = new URL(service.seen[0]?.url ?? "", service.url).searchParams;
  assert.deepEqual(query.getAll("status"), ["FAILED", "CANCELLED"]);
  assert.deepEqual([query.get("label"), query.get("created_after")], ["team:a b", "2026-11-29T02:30:00.000Z"]);

  for await (const { id } of client.list()) {
    assert.equal(id, "a");
    break;
  }
  assert.equal(service.seen.length, 3);
});

test("waiting asks with long polls until the end, or the time is over", async (t) => {
  let looks = 0;
  const service = await fakeService(t, ({ url }) => ({ json: task({ status: url.includes("soon") && ++looks === 3 ? "FAILED" : "PROCESSING" }) }));
  const client = service.client();
  assert.equal((await client.wait("soon", { timeoutMs: 60_000 })).status, "FAILED");
  assert.match(service.seen[0]?.url ?? "", /wait=30\.000$/);
  await assert.rejects(client.wait("never", { timeoutMs: 300 }), (error) => error instanceof NotFinished && error.last.status === "PROCESSING");
});

test("a change says what it was made of, when it must not have changed", async (t) => {
  const service = await fakeService(t, () => ({ json: task(), headers: { ETag: '"7"' } }));
  const client = service.client();
  const before = await client.get("a/b");
  await client.change(before, { priority: "high", expiresAt: null }, { unlessChanged: before });
  assert.equal(service.seen[0]?.url, "/api/v1/tasks/a%2Fb");
  assert.equal(service.seen[1]?.headers["if-match"], '"7"');
  assert.equal(service.seen[1]?.body, '{"priority":"high","expires_at":null}');
});

test("a signal is sent once, to a task or a run, and what was told is listed", async (t) => {
  const sent = { id: 7, name: "approved", data: { left_as: "itIs" }, sent_by: null, at: NOW, taken_by: null, taken_at: null };
  const service = await fakeService(t, ({ method }) => ({ status: method === "POST" ? 201 : 200, json: method === "POST" ? sent : { items: [sent], next: null } }));
  const client = service.client();

  const made = await client.signal("a/b", "approved", { left_as: "itIs" });
  await client.signalRun("r", "go", undefined, { key: "mine" });
  const told: number[] = [];
  for await (const { id } of client.signals("t")) told.push(id);

  const [first, second] = service.seen;
  assert.deepEqual([first?.url, first?.body], ["/api/v1/tasks/a%2Fb/signals/approved", '{"data":{"left_as":"itIs"}}']);
  assert.ok(first?.headers["idempotency-key"]);
  assert.deepEqual([second?.url, second?.body, second?.headers["idempotency-key"]], ["/api/v1/runs/r/signals/go", '{"data":null}', "mine"]);
  assert.deepEqual([made.at, made.takenBy, made.data], [new Date(NOW), null, { left_as: "itIs" }]);
  assert.deepEqual(told, [7]);
});

test("a schedule's task is in the API's words, too, but for its payload", async (t) => {
  const service = await fakeService(t, () => ({ json: { id: "s", next_at: NOW } }));
  const made = await service.client().schedules.put("night ly", { cron: "0 2 * * *", timeZone: "UTC", task: { type: "x", payload: { aB: 1 }, maxRetries: 1 } });
  assert.equal(service.seen[0]?.url, "/api/v1/schedules/night%20ly");
  assert.deepEqual(JSON.parse(service.seen[0]?.body ?? ""), { cron: "0 2 * * *", time_zone: "UTC", task: { type: "x", payload: { aB: 1 }, max_retries: 1 } });
  assert.deepEqual(made.nextAt, new Date(NOW));
});

test("types of an installation check payloads", async (t) => {
  const service = await fakeService(t, () => ({ status: 201, json: task() }));
  const client = new Client<{ count: { text: string }; ping: null }>({ url: service.url, key: "tl_x" });
  await client.submit("count", { text: "a" });
  // @ts-expect-error: no such type
  await client.submit("cuont", { text: "a" });
  // @ts-expect-error: another payload
  await client.submit("count", { words: 1 });
  // @ts-expect-error: no such option
  await client.submit("ping", null, { prio: "high" });
  assert.equal(service.seen.length, 4);
});

test("without an address or a key there is no client, and a key is never repeated", () => {
  const wrong = [
    { url: "tasks.example.org", key: "k" }, { url: "ftp://a", key: "k" }, { url: "http://tasks.example.org", key: "k" },
    { url: "https://me:hidden@a", key: "k" }, { url: "https://a?b", key: "k" }, { url: "https://a", key: "hidden hidden" }, { url: "https://a" }, {},
  ];
  for (const options of wrong) {
    assert.throws(() => new Client(options), (error) => error instanceof NotConfigured && !error.message.includes("hidden"));
  }
  for (const url of ["https://a/x/api/v1/", "http://localhost:8000", "http://127.0.0.1", "http://[::1]:80"]) new Client({ url, key: "k" });
  new Client({ url: "http://tasks.example.org", key: "k", allowHttp: true });
});
