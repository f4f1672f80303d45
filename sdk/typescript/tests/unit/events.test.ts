/** Events: how they are read, and how a stream goes on after its connection broke. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { type Event, NotAuthenticated, Unavailable } from "../../src/index.js";
import { type Message, messages } from "../../src/http/messages.js";
import { fakeService, gate, NOW, problem } from "./fake-service.js";

const said = (id: number, status: string) =>
  `id: ${id}\nevent: task.${status.toLowerCase()}\ndata: {"task_id":"0190","type":"x","status":"${status}","attempt":1,"at":"${NOW}"}\n\n`;
const STREAM = { "Content-Type": "text/event-stream" };

test("messages are read from pieces of any size, with any end of line", async () => {
  const text = ': hello\r\n\r\nid: 1\r\nevent: a\r\ndata: é\r\ndata:  two\r\n\r\ndata:x\n\nid: 9\n\nevent: last\rdata: y\r\rdata: not ended';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 2, 3, 7, 1000]) {
    let told = 0;
    const body = new ReadableStream<Uint8Array>({
      start(out) {
        for (let start = 0; start < bytes.length; start += size) out.enqueue(bytes.slice(start, start + size));
        out.close();
      },
    });
    const found: Message[] = [];
    for await (const each of messages(body, () => told++)) found.push(each);
    assert.deepEqual(found, [
      { id: "1", event: "a", data: "é\n two" }, { id: "", event: "message", data: "x" }, { id: "9", event: "message", data: "" },
      { id: "", event: "last", data: "y" },
    ], `pieces of ${size}`);
    assert.equal(told, Math.ceil(bytes.length / size));
  }
});

test("a stream goes on after the last event, over breaks, orderly ends and outages", async (t) => {
  const closed = gate();
  let connections = 0;
  const service = await fakeService(t, (_, raw) => {
    raw.on("close", closed.open);
    switch (++connections) {
      case 1:
        raw.writeHead(200, STREAM).write(`: hello\n\n${said(4, "PENDING")}id: 6\n\n${said(7, "PROCESSING").slice(0, 30)}`, () => raw.destroy());
        return undefined;
      case 2:
        return problem(503, "database_unavailable");
      case 3:
        raw.writeHead(200, STREAM).end(said(7, "PROCESSING"));
        return undefined;
      default:
        raw.writeHead(200, STREAM).write(said(8, "COMPLETED"));
        return undefined;
    }
  });
  const found: Event[] = [];
  for await (const event of service.client().stream({ type: "x", task: ["0190", "0191"], after: "3" })) {
    found.push(event);
    if (event.status === "COMPLETED") break;
  }
  assert.deepEqual(found.map(({ id, event, status }) => [id, event, status]), [
    ["4", "task.pending", "PENDING"], ["7", "task.processing", "PROCESSING"], ["8", "task.completed", "COMPLETED"],
  ]);
  assert.deepEqual([found[0]?.taskId, found[0]?.at, found[0]?.previousStatus], ["0190", new Date(NOW), null]);
  assert.deepEqual(service.seen.map(({ headers }) => headers["last-event-id"]), ["3", "6", "6", "7"]);
  assert.match(service.seen[0]?.url ?? "", /type=x&task_id=0190&task_id=0191$/);
  await closed.opened;
});

test("a first connection that fails is the caller's to know, and so is what does not pass", async (t) => {
  let connections = 0;
  const service = await fakeService(t, (_, raw) => {
    if (++connections === 1) return problem(503, "database_unavailable");
    if (connections > 2) return problem(401, "not_authenticated");
    raw.writeHead(200, STREAM).end(said(1, "PENDING"));
    return undefined;
  });
  const client = service.client();
  await assert.rejects(client.stream().next(), Unavailable);
  const stream = client.stream();
  await stream.next();
  await assert.rejects(stream.next(), NotAuthenticated);
});

test("a signal ends a stream that waits", async (t) => {
  const closed = gate();
  const service = await fakeService(t, (_, raw) => {
    raw.on("close", closed.open);
    raw.writeHead(200, STREAM).write(": hello\n\n");
    return undefined;
  });
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 100);
  await assert.rejects(service.client().stream({ signal: controller.signal }).next(), { name: "AbortError" });
  await closed.opened;
});
