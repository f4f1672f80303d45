/** Every method against a real service, whose address and key are in TASKLEDGER_URL and TASKLEDGER_API_KEY. */

import assert from "node:assert/strict";
import { createWriteStream, openAsBlob } from "node:fs";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Client, Conflict, Invalid, newId, NotFinished, NotFound, type Submitted, type Task } from "../../src/index.js";

const HOUR = 3_600_000;
const client = new Client();
const called = new Set<string>();
const labels = { test: newId() };

/** The same object, with the names of its methods remembered when they are called. */
function watched<Part extends object>(part: Part, prefix = ""): Part {
  return new Proxy(part, {
    get(_, name) {
      const found: unknown = part[name as keyof Part];
      if (typeof found !== "function") return found;
      called.add(`${prefix}${String(name)}`);
      return found.bind(part) as unknown;
    },
  });
}

const methodsOf = (part: object, prefix = "") =>
  Object.getOwnPropertyNames(Object.getPrototypeOf(part)).filter((name) => name !== "constructor").map((name) => `${prefix}${name}`);
const tasks = watched(client);
const artifacts = watched(client.artifacts, "artifacts.");
const schedules = watched(client.schedules, "schedules.");

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

after(() => {
  const every = [...methodsOf(client), ...methodsOf(client.artifacts, "artifacts."), ...methodsOf(client.schedules, "schedules.")];
  assert.deepEqual([...called].sort(), every.sort());
});

test("a task is submitted, followed to its end, and looked at", async () => {
  assert.ok((await tasks.types()).some(({ name }) => name === "reverse_string"));
  const begun = await tasks.submit("reverse_string", "before", { labels });
  const seen: string[] = [];
  for await (const event of tasks.stream({ labels, after: "0" })) {
    seen.push(event.status);
    if (event.status === "COMPLETED") break;
  }
  assert.deepEqual(seen, ["PENDING", "PROCESSING", "COMPLETED"]);

  const done = await tasks.wait(begun, { timeoutMs: 60_000 });
  assert.deepEqual([done.status, done.result, done.isFinished], ["COMPLETED", "erofeb", true]);
  assert.ok(done.startedAt && done.finishedAt && done.createdAt <= done.startedAt && done.startedAt <= done.finishedAt);
  assert.deepEqual(await tasks.get(done.id), done);
  const [attempt] = await tasks.attempts(done);
  assert.equal(attempt?.outcome, "completed");
  assert.deepEqual(await tasks.logs(done), []);
  await deleted(done);
  await assert.rejects(tasks.get(done), NotFound);
});

/** It can be deleted once its events are numbered, which happens soon. */
async function deleted(task: Task): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await tasks.delete(task);
    } catch (error) {
      if (!(error instanceof Conflict) || tries === 150) throw error;
      await sleep(200);
    }
  }
}

test("a task that waits is changed, cancelled and started over", async () => {
  const mine = { test: newId() };
  const later = await tasks.submit("reverse_string", "later", { labels: mine, scheduledAt: new Date(Date.now() + HOUR) });
  assert.equal((await tasks.why(later)).cause, "not_due");
  await assert.rejects(tasks.wait(later, { timeoutMs: 300 }), NotFinished);
  const before = await tasks.get(later);
  const changed = await tasks.change(later, { priority: "high", name: "mine" }, { unlessChanged: before });
  assert.deepEqual([changed.priority, changed.name], ["high", "mine"]);
  await assert.rejects(tasks.change(later, { name: "too late" }, { unlessChanged: before }), Conflict);
  const told = await tasks.signal(later, "approved", { ok: true }, { key: mine.test });
  assert.equal((await tasks.signal(later, "approved", { ok: true }, { key: mine.test })).id, told.id);
  assert.deepEqual((await all(tasks.signals(later))).map(({ name, data, takenBy }) => [name, data, takenBy]), [["approved", { ok: true }, null]]);
  assert.deepEqual(await all(tasks.steps(later)), []);
  assert.equal((await tasks.cancel(later)).status, "CANCELLED");
  assert.match((await tasks.retry(later, { payload: "again" })).status, /PENDING|SCHEDULED/);
  await tasks.cancel(later);
  assert.deepEqual((await all(tasks.list({ labels: mine }))).map(({ id }) => id), [later.id]);
  assert.deepEqual(await all(tasks.list({ labels: mine, createdBefore: new Date(Date.now() - HOUR) })), []);
});

test("the same id makes no second task, and a refusal says where", async () => {
  const id = newId();
  const first = await tasks.submit("reverse_string", "once", { id, labels });
  const again = await tasks.submit("reverse_string", "once", { id, labels });
  assert.deepEqual([first.isNew, again.isNew, first.id, again.id], [true, false, id, id]);
  await assert.rejects(tasks.submit("reverse_string", "twice", { id, labels }), (error) => {
    assert.ok(error instanceof Invalid);
    assert.equal(error.code, "id_taken");
    return true;
  });
  await assert.rejects(tasks.submit("reverse_string", 5), (error) => {
    assert.ok(error instanceof Invalid);
    assert.deepEqual(error.fieldErrors().map(([path]) => path), ["payload"]);
    return true;
  });
});

test("many are submitted at once, by many callers or one", async () => {
  const group = { test: newId() };
  const made = await Promise.all(Array.from({ length: 300 }, (_, n) => tasks.submit("reverse_string", `n ${n}`, { labels: group })));
  assert.deepEqual(made.map(({ payload }) => payload), Array.from({ length: 300 }, (_, n) => `n ${n}`));
  assert.equal((await all(tasks.list({ labels: group }))).length, 300);

  const told: number[] = [];
  const many = Array.from({ length: 700 }, (_, n) => ({ type: n === 3 ? "no_such_type" : "reverse_string", payload: String(n), labels: group }));
  const results: Submitted[] = await all(tasks.submitMany(many, { progress: (done) => told.push(done) }));
  assert.deepEqual(results.filter(({ error }) => error).map(({ index }) => index), [3]);
  assert.equal(new Set(results.map(({ id }) => id)).size, 700);
  assert.deepEqual(told, [500, 700]);
});

test("a run is started and awaited", async () => {
  const id = newId();
  const run = await tasks.runWorkflow("typescript", { text: "hello" }, { priority: "high", id });
  assert.equal(run.id, id);
  assert.equal((await tasks.runWorkflow("typescript", { text: "hello" }, { priority: "high", id })).id, id);
  const ended = await tasks.waitRun(run, { timeoutMs: 60_000 });
  assert.equal(ended.status, "COMPLETED");
  assert.deepEqual(ended.steps.map(({ key, taskStatus }) => [key, taskStatus]), [["shout", "COMPLETED"]]);
  assert.deepEqual((await tasks.getRun(run)).finishedAt, ended.finishedAt);
  await assert.rejects(tasks.cancelRun(run), Conflict);
  await assert.rejects(tasks.signalRun(run, "approved"), Conflict);
});

test("an event from outside is sent once and read back", async () => {
  const idempotencyKey = newId();
  const sent = await tasks.sendEvent("order.paid", { id: 7 }, { idempotencyKey });
  assert.equal((await tasks.sendEvent("order.paid", { id: 7 }, { idempotencyKey })).id, sent.id);
  const found = await tasks.getEvent(sent);
  assert.deepEqual([found.id, found.name, found.data], [sent.id, "order.paid", { id: 7 }]);
});

test("files go there and back", async () => {
  const folder = await mkdtemp(join(tmpdir(), "taskledger-"));
  const content = "0123456789".repeat(300_000);
  await writeFile(join(folder, "numbers.txt"), content);
  const told: (number | null)[][] = [];
  const progress = (...all: (number | null)[]) => void told.push(all);

  const made = await artifacts.upload(await openAsBlob(join(folder, "numbers.txt")), { name: "numbers.txt", mediaType: "text/plain", progress });
  assert.deepEqual(told.at(-1), [content.length, content.length]);
  assert.deepEqual([made.name, made.mediaType, made.size], ["numbers.txt", "text/plain", content.length]);
  assert.deepEqual(await artifacts.get(made), made);
  assert.ok((await all(artifacts.list())).some(({ id }) => id === made.id));

  const to = Writable.toWeb(createWriteStream(join(folder, "back.txt"))) as WritableStream<Uint8Array>;
  await artifacts.download(made, { to, progress });
  assert.equal(await readFile(join(folder, "back.txt"), "utf8"), content);
  assert.equal(new TextDecoder().decode(await artifacts.download(made.id)), content);
  await artifacts.delete(made);
  await assert.rejects(artifacts.download(made), NotFound);
});

test("tasks of a remote type are worked off", async () => {
  const { TASKLEDGER_URL: url = "", TASKLEDGER_API_KEY: key = "" } = process.env;
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const body = JSON.stringify({ name: "echo_typescript", schema: { type: "string" } });
  assert.equal((await fetch(`${url}/api/v1/task-types`, { method: "POST", headers, body })).status, 201);
  const made = await Promise.all(["one", "two"].map((text) => client.submit("echo_typescript", text)));
  const controller = new AbortController();
  const running = tasks.work(
    {
      echo_typescript: async (task, payload) => {
        task.progress(0.5, "half");
        await sleep(10);
        return `${String(payload)}!`;
      },
    },
    { concurrency: 2, signal: controller.signal },
  );
  const done = await Promise.all(made.map((each) => client.wait(each, { timeoutMs: 30_000 })));
  controller.abort();
  await running;
  assert.deepEqual(done.map(({ result }) => result), ["one!", "two!"]);
});

test("schedules are made, replaced, changed and deleted", async () => {
  const task = { type: "reverse_string", payload: "at night", maxRetries: 1 };
  const made = await schedules.create({ name: "typescript one", cron: "0 2 * * *", task });
  const put = await schedules.put("typescript two", { cron: "0 3 * * *", task });
  const again = await schedules.put("typescript two", { cron: "0 4 * * *", task });
  assert.deepEqual([again.id, again.cron], [put.id, "0 4 * * *"]);
  assert.ok(put.nextAt instanceof Date);
  assert.equal((await schedules.change(made, { enabled: false })).nextAt, null);
  const ids = (await all(schedules.list())).map(({ id }) => id);
  assert.ok(ids.includes(made.id) && ids.includes(put.id));
  for (const each of [made, put]) await schedules.delete(each);
  await assert.rejects(schedules.get(made), NotFound);
});
