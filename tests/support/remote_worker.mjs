// A program that works off a remote type until it is stopped: node remote_worker.mjs CLIENT TYPE NAME
const [, , client, type, name] = process.argv;
const { Client } = await import(client);
const controller = new AbortController();
process.once("SIGTERM", () => controller.abort());
const run = async (task, payload) => {
  await new Promise((resolve) => setTimeout(resolve, 1000 * (payload.seconds ?? 0)));
  return { number: payload.number, worker: name };
};
await new Client().work({ [type]: run }, { concurrency: 8, name, signal: controller.signal });
