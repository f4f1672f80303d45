/** Submits, waits and reads with openapi-fetch, over the types that openapi-typescript has made of the document. */

import assert from "node:assert/strict";

import createClient from "openapi-fetch";

import type { paths } from "./schema.js";

const client = createClient<paths>({
  baseUrl: process.env.TASKLEDGER_URL ?? "",
  headers: { Authorization: `Bearer ${process.env.TASKLEDGER_API_KEY}` },
});

const submitted = await client.POST("/api/v1/tasks", { body: { type: "reverse_string", payload: "hello" } });
assert.ok(submitted.data, JSON.stringify(submitted.error));
const params = { path: { task_id: submitted.data.id }, query: { wait: 30 } };
const { data: done } = await client.GET("/api/v1/tasks/{task_id}", { params });
assert.deepEqual([done?.status, done?.result], ["COMPLETED", "olleh"]);

const { data: found } = await client.GET("/api/v1/tasks", { params: { query: { limit: 5, status: ["COMPLETED"] } } });
assert.ok(found?.items.some(({ id }) => id === submitted.data.id));
const { error } = await client.GET("/api/v1/tasks/{task_id}", { params: { path: { task_id: crypto.randomUUID() } } });
assert.equal(error?.code, "not_found");
// @ts-expect-error a payload of this type is a string
await client.POST("/api/v1/tasks", { body: { type: "reverse_string", payload: 5 } });
console.log(done?.result);
