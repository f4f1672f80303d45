/** The worker loop: claims, heartbeats, outcomes, and how it stops. */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { type Handlers, NotPermitted, PermanentError, RetryLater, type WorkOptions } from "../../src/index.js";
import { type Fake, fakeService, gate, problem, type Said } from "./fake-service.js";

type Told = Record<string, unknown> & { task_id: string };

interface Work extends Fake {
  readonly outcomes: Told[];
  readonly beats: Told[];
  readonly claims: Told[];
  readonly cancelled: Set<string>;
  readonly left: unknown[];
  /** Answers, by path, in place of the usual one; undefined hangs up after the request was carried out. */
  readonly instead: Map<string, (Said | undefined)[]>;
  /** Between taking tasks and the answer. */
  readonly slow: { claimMs: number };
  add(fields?: Record<string, unknown>): string;
}

/** A service that hands out work. */
async function working(t: TestContext): Promise<Work> {
  const waiting: Told[] = [];
  const answered = new Map<unknown, Told[]>();
  const kept = { outcomes: [] as Told[], beats: [] as Told[], claims: [] as Told[], cancelled: new Set<string>(), left: [] as unknown[], instead: new Map<string, (Said | undefined)[]>(), slow: { claimMs: 0 } };
  let made = 0;
  const ways: Record<string, (body: Told & { items: Told[]; max: number }) => unknown> = {
    claim: (body) => {
      kept.claims.push(body);
      const items = answered.get(body.claim) ?? waiting.splice(0, body.max);
      if (items.length) answered.set(body.claim, items);
      return { items, retry_after: null };
    },
    heartbeats: ({ items }) => {
      kept.beats.push(...items);
      return { items: items.map(({ task_id }) => ({ task_id, status: 200, code: null, lease_seconds: 60, cancel_requested: kept.cancelled.has(task_id) })) };
    },
    outcomes: ({ items }) => {
      const known = new Set(kept.outcomes.map(({ task_id }) => task_id));
      kept.outcomes.push(...items.filter(({ task_id }) => !known.has(task_id)));
      return { items: items.map(({ task_id }) => ({ task_id, status: known.has(task_id) ? 409 : 200, code: null, outcome: null })) };
    },
    leave: (body) => kept.left.push(body.worker) && {},
  };
  const service = await fakeService(t, async ({ url, body }, raw) => {
    const name = url.split("/").at(-1) ?? "";
    const instead = kept.instead.get(name) ?? [];
    if (instead.length && instead[0] !== undefined) return instead.shift();
    const said = ways[name]?.(JSON.parse(body));
    if (instead.length) {
      instead.shift();
      raw.destroy();
      return undefined;
    }
    if (name === "claim") await sleep((said as { items: unknown[] }).items.length === 0 ? 20 : kept.slow.claimMs);
    return { json: said };
  });
  const add = (fields: Record<string, unknown> = {}) => {
    const id = `task-${++made}`;
    waiting.push({ task_id: id, type: "resize", payload: null, attempt: 1, max_retries: 3, lease: `lease-${made}`, lease_seconds: 60, timeout_seconds: 300, grace_seconds: 10, traceparent: null, checkpoint: null, ...fields });
    return id;
  };
  return { ...service, ...kept, add };
}

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    assert.ok(tries < 1_000, "it did not happen in time");
    await sleep(10);
  }
}

/** Works until `isSo`, and then stops. */
async function work(service: Work, handlers: Handlers, isSo: () => boolean, options: WorkOptions = {}): Promise<void> {
  const controller = new AbortController();
  const running = service.client().work(handlers, { signal: controller.signal, stopMs: 5_000, warn: () => {}, ...options });
  await Promise.race([until(isSo), running]);
  controller.abort();
  await running;
}

test("a result is told with the lease", async (t) => {
  const service = await working(t);
  const id = service.add({ payload: { width: 3 } });
  await work(service, { resize: async (_, payload) => ({ twice: 2 * (payload as { width: number }).width }) }, () => service.outcomes.length === 1);
  assert.deepEqual(service.outcomes, [{ task_id: id, lease: "lease-1", outcome: "complete", result: { twice: 6 } }]);
  assert.deepEqual(service.claims[0]?.types, ["resize"]);
  assert.deepEqual(service.left, [service.claims[0]?.worker]);
});

test("an error is told with what follows from it", async (t) => {
  for (const [error, told] of [
    [new TypeError("no width"), { type: "TypeError", message: "no width", permanent: false }],
    [new PermanentError("no such image"), { type: "PermanentError", permanent: true }],
    [new RetryLater(7), { permanent: false, retry_in: 7 }],
    ["text", { type: "Error", message: "text" }],
    [new RetryLater(Number("Wed, 21 Oct 2026 07:28:00 GMT")), { type: "RetryLater", retry_in: undefined }],
    [new RetryLater(Infinity), { retry_in: 30 * 24 * 3600 }],
    [Object.create(null), { type: "Error", message: "what has no text" }],
  ] as const) {
    const service = await working(t);
    service.add();
    await work(service, { resize: () => { throw error; } }, () => service.outcomes.length === 1);
    assert.equal(service.outcomes[0]?.outcome, "fail");
    for (const [name, value] of Object.entries(told)) assert.equal(service.outcomes[0]?.[name], value);
  }
});

test("what is no JSON fails for good, and nothing at all is null", async (t) => {
  const service = await working(t);
  service.add();
  service.add();
  let calls = 0;
  await work(service, { resize: () => (calls++ ? undefined : 10n) }, () => service.outcomes.length === 2);
  assert.deepEqual(service.outcomes.map(({ outcome, permanent, result }) => [outcome, permanent, result]), [["fail", true, undefined], ["complete", undefined, null]]);
});

test("at most so many run at once, and all are done", async (t) => {
  const service = await working(t);
  for (let n = 0; n < 40; n++) service.add();
  let running = 0;
  let most = 0;
  const resize = async () => {
    most = Math.max(most, ++running);
    await sleep(5);
    running--;
  };
  await work(service, { resize }, () => service.outcomes.length === 40, { concurrency: 4 });
  assert.equal(most, 4);
});

test("leases are renewed, and progress and lines are told", async (t) => {
  const service = await working(t);
  service.add({ lease_seconds: 1 });
  const { opened, open } = gate();
  const running = work(service, {
    resize: async (task) => {
      task.progress(0.5, "half");
      task.log("read", { rows: 3 });
      await opened;
    },
  }, () => service.outcomes.length === 1);
  await until(() => service.beats.length > 0);
  open();
  await running;
  assert.deepEqual(service.beats[0], { task_id: "task-1", lease: "lease-1", progress: 0.5, message: "half", log: [{ message: "read", fields: { rows: 3 } }] });
});

test("what the ledger cannot keep is told as text, and no number is no progress", async (t) => {
  const service = await working(t);
  service.add({ lease_seconds: 1 });
  const { opened, open } = gate();
  const running = work(service, {
    resize: async (task) => {
      task.progress(0 / 0, `${"x".repeat(1_999)}\u{1f600}`);
      task.log("read\0", { rate: NaN, name: "\udcff", ...Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`f${n}`, n])) });
      await opened;
    },
  }, () => service.outcomes.length === 1);
  await until(() => service.beats.length > 0);
  open();
  await running;
  const { progress, message, log } = service.beats[0] as Told;
  assert.deepEqual([progress, String(message).at(-1)], [0, "\ufffd"]);
  const [line] = log as [{ message: string; fields: Record<string, unknown> }];
  assert.deepEqual([line.message, line.fields.rate, line.fields.name, Object.keys(line.fields).length], ["read\ufffd", "NaN", "\ufffd", 20]);
});

test("a word that is refused costs no lease", async (t) => {
  const service = await working(t);
  service.add({ lease_seconds: 1 });
  service.instead.set("heartbeats", [problem(422, "validation_failed")]);
  const { opened, open } = gate();
  const running = work(service, {
    resize: async (task) => {
      task.log("refuse me");
      task.checkpoint({ page: 7 });
      await opened;
    },
  }, () => service.outcomes.length === 1);
  await until(() => service.beats.length > 0);
  open();
  await running;
  assert.deepEqual(service.beats[0], { task_id: "task-1", lease: "lease-1", checkpoint: { page: 7 } });
});

test("a checkpoint is told, and given to the next attempt", async (t) => {
  const service = await working(t);
  service.add({ checkpoint: { page: 6 } });
  const seen: unknown[] = [];
  await work(service, {
    resize: (task) => {
      seen.push(task.lastCheckpoint);
      task.checkpoint({ page: 7 });
      seen.push(task.lastCheckpoint);
      throw new Error("later");
    },
  }, () => service.outcomes.length === 1);
  assert.deepEqual(seen, [{ page: 6 }, { page: 7 }]);
  assert.deepEqual(service.outcomes[0]?.checkpoint, { page: 7 });
});

test("a cancelled task's signal is aborted, and it is released", async (t) => {
  const service = await working(t);
  service.cancelled.add(service.add({ lease_seconds: 1 }));
  await work(service, { resize: (task) => sleep(30_000, undefined, { signal: task.signal }) }, () => service.outcomes.length === 1);
  assert.equal(service.outcomes[0]?.outcome, "release");
});

test("a handler that runs too long has its signal aborted, and has failed", async (t) => {
  const service = await working(t);
  service.add({ timeout_seconds: 0.1 });
  await work(service, { resize: (task) => sleep(30_000, undefined, { signal: task.signal }) }, () => service.outcomes.length === 1);
  assert.equal(service.outcomes[0]?.outcome, "fail");
  assert.equal(service.outcomes[0]?.type, "AbortError");
});

test("a claim whose answer is lost is sent again as it is; an outcome is recorded once", async (t) => {
  const service = await working(t);
  service.add();
  service.instead.set("claim", [undefined]);
  service.instead.set("outcomes", [undefined, problem(503, "unavailable")]);
  await work(service, { resize: () => 1 }, () => service.outcomes.length === 1 && service.instead.get("outcomes")?.length === 0);
  assert.equal(service.claims[0]?.claim, service.claims[1]?.claim);
  assert.equal(service.outcomes.length, 1);
});

test("on a stop what runs may end, and what does not is given back", async (t) => {
  for (const ends of [true, false]) {
    const service = await working(t);
    service.add();
    const { opened, open } = gate();
    const controller = new AbortController();
    let hasBegun = false;
    const running = service.client().work(
      { resize: async () => { hasBegun = true; await opened; return "done"; } },
      { signal: controller.signal, stopMs: ends ? 5_000 : 50, warn: () => {} },
    );
    await until(() => hasBegun);
    controller.abort();
    if (ends) open();
    await running;
    open();
    assert.equal(service.outcomes[0]?.outcome, ends ? "complete" : "release");
  }
});

test("what is just being claimed on a stop is given back", async (t) => {
  const service = await working(t);
  service.slow.claimMs = 100;
  service.add();
  const controller = new AbortController();
  const running = service.client().work({ resize: () => 1 }, { signal: controller.signal, warn: () => {} });
  await until(() => service.claims.length > 0);
  controller.abort();
  await running;
  assert.equal(service.outcomes[0]?.outcome, "release");
});

test("a key that may not work is told to the caller", async (t) => {
  const service = await working(t);
  service.instead.set("claim", [problem(403, "type_not_allowed")]);
  await assert.rejects(service.client().work({ resize: () => 1 }), NotPermitted);
  await assert.rejects(service.client().work({}), TypeError);
});
