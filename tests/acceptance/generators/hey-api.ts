/** Submits, waits and reads with the client that @hey-api/openapi-ts has made of the document. */

import assert from "node:assert/strict";

import { client } from "./hey/client.gen.js";
import { listTasks, readTask, startInlineRun, submitTask } from "./hey/index.js";

client.setConfig({ baseUrl: process.env.TASKLEDGER_URL ?? "", auth: () => process.env.TASKLEDGER_API_KEY ?? "" });

const submitted = await submitTask({ body: { type: "reverse_string", payload: "hello" } });
assert.ok(submitted.data, JSON.stringify(submitted.error));
const { data: done } = await readTask({ path: { task_id: submitted.data.id }, query: { wait: 30 } });
assert.deepEqual([done?.status, done?.result], ["COMPLETED", "olleh"]);

const { data: found } = await listTasks({ query: { limit: 5, status: ["COMPLETED"] } });
assert.ok(found?.items.some(({ id }) => id === done?.id));
const { error } = await readTask({ path: { task_id: crypto.randomUUID() } });
assert.equal(error?.code, "not_found");
const definition = { steps: { reverse: { type: "reverse_string", payload: "hello" } } };
assert.ok((await startInlineRun({ body: { definition } })).data);
// @ts-expect-error a payload of this type is a string
await submitTask({ body: { type: "reverse_string", payload: 5 } });
console.log(done?.result);
