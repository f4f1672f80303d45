/** Group commit: who goes alone, who goes together, and who gets which answer. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Invalid, NotAuthenticated, QuotaReached, type Submitted, Unsendable } from "../../src/index.js";
import { accepted, fakeService, gate, problem, submissionsOf, task } from "./fake-service.js";

const numbers = (count: number) => Array.from({ length: count }, (_, number) => String(number));
const isBatch = ({ url }: { url: string }) => url.endsWith("/batch");

test("the first two go at once, each alone; those that come meanwhile go together", async (t) => {
  const service = await fakeService(t, (asked) => (isBatch(asked) ? accepted(asked) : { status: 201, json: task({ id: submissionsOf(asked)[0]?.payload }) }));
  const client = service.client();
  const tasks = await Promise.all(numbers(300).map((text) => client.submit("reverse_string", text)));

  assert.deepEqual(tasks.map(({ id }) => id), numbers(300));
  const sizes = service.seen.map((asked) => (isBatch(asked) ? submissionsOf(asked).length : 1));
  assert.deepEqual(sizes.sort((a, b) => a - b), [1, 1, 98, 200]);
  assert.equal(new Set(service.seen.flatMap((asked) => submissionsOf(asked).map(({ id }) => id))).size, 300);
  assert.equal(service.seen.find(isBatch)?.headers["content-type"], "application/x-ndjson");
});

test("a lone caller's submissions go alone, one after the other", async (t) => {
  const service = await fakeService(t, () => ({ status: 201, json: task() }));
  const client = service.client();
  for (const text of numbers(5)) await client.submit("reverse_string", text);
  assert.equal(service.seen.some(isBatch), false);
});

test("groups end at 256 KB, and what is larger than 64 KB goes alone", async (t) => {
  const service = await fakeService(t, (asked) => (isBatch(asked) ? accepted(asked) : { status: 201, json: task() }));
  const client = service.client();
  const sizes = [1, 1, ...Array<number>(10).fill(60_000), 70_000, 1, 1];
  await Promise.all(sizes.map((size) => client.submit("reverse_string", "é".repeat(size / 2 + 1))));
  const batches = service.seen.filter(isBatch).map((asked) => submissionsOf(asked).length);
  assert.deepEqual(batches.sort((a, b) => a - b), [2, 2, 4, 4]);
  assert.equal(service.seen.filter((asked) => !isBatch(asked) && asked.body.length > 35_000).length, 1);
});

test("each gets its own refusal", async (t) => {
  const service = await fakeService(t, (asked) => {
    if (!isBatch(asked)) return { status: 201, json: task() };
    const results = submissionsOf(asked).map(({ payload }, index) =>
      payload === "3" ? { index, status: 422, problem: problem(422, "invalid").json } : { index, status: 201, task: task({ id: payload }) });
    return { json: { results } };
  });
  const client = service.client();
  const settled = await Promise.allSettled(numbers(6).map((text) => client.submit("reverse_string", text)));
  assert.deepEqual(settled.map(({ status }) => status === "rejected"), [false, false, false, true, false, false]);
  assert.ok(settled[3]?.status === "rejected" && settled[3].reason instanceof Invalid);
});

test("a batch that is refused as a whole is sent item by item, but not what all would meet", async (t) => {
  for (const [refusal, requests, kind] of [[problem(413, "too_large"), 2 + 1 + 4, null], [problem(401, "not_authenticated"), 2 + 1, NotAuthenticated]] as const) {
    const service = await fakeService(t, (asked) => (isBatch(asked) ? refusal : { status: 201, json: task() }));
    const client = service.client();
    const settled = await Promise.allSettled(numbers(6).map((text) => client.submit("reverse_string", text)));
    assert.equal(service.seen.length, requests);
    assert.deepEqual(settled.slice(2).map((each) => each.status === "rejected" && kind !== null && each.reason instanceof kind), Array(4).fill(kind !== null));
  }
});

test("a group whose answer is lost is sent again as it is", async (t) => {
  let batches = 0;
  const service = await fakeService(t, (asked, raw) => {
    if (!isBatch(asked)) return { status: 201, json: task() };
    if (batches++) return accepted(asked);
    raw.destroy();
    return undefined;
  });
  const client = service.client();
  await Promise.all(numbers(9).map((text) => client.submit("reverse_string", text)));
  const [first, second] = service.seen.filter(isBatch);
  assert.equal(first?.body, second?.body);
  assert.equal(service.seen.filter(isBatch).length, 2);
});

test("who gives up leaves the others; a request that nobody waits for is given up", async (t) => {
  const { opened, open } = gate();
  const broken = gate();
  const service = await fakeService(t, async (asked, raw) => {
    raw.on("close", () => raw.writableFinished || broken.open());
    await opened;
    return isBatch(asked) ? accepted(asked) : { status: 201, json: task() };
  });
  const client = service.client();
  const controller = new AbortController();
  const { signal } = controller;
  const gone = client.submit("reverse_string", "gone", { signal });
  const stays = client.submit("reverse_string", "stays");
  const waits = client.submit("reverse_string", "waits", { signal });
  const comes = client.submit("reverse_string", "comes");
  setTimeout(() => controller.abort(new Error("enough")), 100);
  await assert.rejects(gone, /enough/);
  await assert.rejects(waits, /enough/);
  await broken.opened;
  open();
  await Promise.all([stays, comes]);
  assert.deepEqual(service.seen.map((asked) => submissionsOf(asked)[0]?.payload).sort(), ["comes", "gone", "stays"]);
});

test("many are submitted in parts, as they are asked for", async (t) => {
  const service = await fakeService(t, accepted);
  let made = 0;
  async function* submissions() {
    for (const payload of numbers(1_200)) {
      made++;
      yield { type: "reverse_string", payload, labels: { import: "june" } };
    }
  }
  const told: number[] = [];
  const found: Submitted[] = [];
  const results = service.client().submitMany(submissions(), { progress: (done) => told.push(done) });
  assert.equal(service.seen.length, 0);
  for await (const each of results) {
    if (each.index === 0) assert.ok(made <= 501, "no more than one part is in memory");
    found.push(each);
  }
  assert.deepEqual(found.map(({ id }) => id), numbers(1_200));
  assert.deepEqual(told, [500, 1000, 1200]);
  assert.equal(service.seen[0]?.headers.prefer, "return=minimal");
});

test("of many, a part for which there is no room is halved down to those that are refused", async (t) => {
  const service = await fakeService(t, (asked) => (submissionsOf(asked).some(({ payload }) => payload === "5") ? problem(429, "quota_reached") : accepted(asked)));
  const found: Submitted[] = [];
  for await (const each of service.client().submitMany(numbers(9).map((payload) => ({ type: "reverse_string", payload })))) found.push(each);
  assert.deepEqual(found.map(({ index }) => index), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(found.filter(({ error }) => error).map(({ index, error }) => [index, error instanceof QuotaReached]), [[5, true]]);
});

test("of many, what cannot be said in JSON ends it", async (t) => {
  const service = await fakeService(t, accepted);
  await assert.rejects(service.client().submitMany([{ type: "reverse_string", payload: NaN }]).next(), Unsendable);
});
