// BullMQ, graphile-worker and pg-boss: `node node_peers.mjs PEER worker | produce`, spoken to as producing.py says.
import { appendFileSync, openSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.BENCH_NODE}/package.json`);
const [peer, role] = process.argv.slice(2);
const database = process.env.BENCH_DATABASE;
const directory = process.env.BENCH_DIR;
const file = role === "worker" ? openSync(`${directory}/ran.${process.pid}`, "a") : 0;

function ran(data) {
  writeSync(file, ".");
  if (data.began) appendFileSync(`${directory}/started.${process.pid}`, `${Date.now() / 1000 - data.began}\n`);
  return data.text;
}

async function inParallel(n, width, work) {
  let left = n;
  await Promise.all(Array.from({ length: width }, async () => { while (left-- > 0) await work(); }));
}

const peers = {
  async bullmq() {
    const { Queue, Worker } = require("bullmq");
    const { hostname: host, port } = new URL(process.env.BENCH_REDIS);
    const connection = { host, port: Number(port), maxRetriesPerRequest: null };
    if (role === "worker") return new Worker("bench", async (job) => ran(job.data), { connection, concurrency: 50 });
    const queue = new Queue("bench", { connection });
    return {
      one: (began) => queue.add("noop", { text: "hello world", began }),
      many: (n) => queue.addBulk(Array.from({ length: n }, () => ({ name: "noop", data: { text: "hello world" } }))),
    };
  },
  async graphile() {
    const { run, makeWorkerUtils } = require("graphile-worker");
    if (role === "worker") {
      return run({
        connectionString: database, noHandleSignals: true, taskList: { noop: async (payload) => { ran(payload); } },
        preset: { worker: { concurrentJobs: 24, maxPoolSize: 10, localQueue: { size: 500 },
          completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
      });
    }
    const utils = await makeWorkerUtils({ connectionString: database });
    await utils.migrate();
    return {
      one: (began) => utils.addJob("noop", { text: "hello world", began }),
      many: (n) => utils.addJobs(Array.from({ length: n },
        () => ({ identifier: "noop", payload: { text: "hello world" } }))),
    };
  },
  async pgboss() {
    const PgBoss = require("pg-boss");
    const boss = new (PgBoss.default ?? PgBoss)(database);
    boss.on("error", (error) => console.error(error));
    await boss.start();
    await boss.createQueue("bench");
    if (role === "worker") {
      const options = { batchSize: 1000, pollingIntervalSeconds: 0.5 };
      for (const _ of [1, 2]) await boss.work("bench", options, async (jobs) => { jobs.forEach((j) => ran(j.data)); });
      return null;
    }
    return {
      one: (began) => boss.send("bench", { text: "hello world", began }),
      many: (n) => boss.insert(Array.from({ length: n }, () => ({ name: "bench", data: { text: "hello world" } }))),
    };
  },
};

const made = await peers[peer]();
console.log(JSON.stringify({ ready: true }));
if (role === "produce") {
  for await (const line of createInterface({ input: process.stdin })) {
    const { n, pace, bulk } = JSON.parse(line);
    const began = Date.now() / 1000;
    if (pace) {
      for (let i = 0; i < n; i++) {
        await made.one(Date.now() / 1000);
        await new Promise((done) => setTimeout(done, pace * 1000));
      }
    } else if (bulk) for (let left = n; left > 0; left -= bulk) await made.many(Math.min(bulk, left));
    else await inParallel(n, 32, () => made.one());
    console.log(JSON.stringify({ began, ended: Date.now() / 1000 }));
  }
  process.exit(0);
}
