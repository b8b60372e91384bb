// BullMQ as applications use it: its scripts, its blocking connections and its streams of events.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { beforeEach, test } from "node:test";
import { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } from "bullmq";
import Redis from "ioredis";
import { bullConnection as connection, next, until, url } from "./server.js";

beforeEach(async () => {
  const client = new Redis(url);
  await client.flushall();
  client.disconnect();
});

/** What the test `t` opens is closed when it ends, workers at once. */
function closing(t, opened) {
  opened.on("error", () => {});
  t.after(() => opened.close(true));
  return opened;
}

const queueOf = (t, name = "mail", options = {}) => closing(t, new Queue(name, { connection, ...options }));

async function workerOf(t, name, processor, options = {}) {
  const worker = closing(t, new Worker(name, processor, { connection, ...options }));
  await worker.waitUntilReady();
  return worker;
}

async function eventsOf(t, name = "mail") {
  const events = closing(t, new QueueEvents(name, { connection, lastEventId: "0" }));
  await events.waitUntilReady();
  return events;
}

test("jobs are added, worked on and listed; their results arrive as events", async (t) => {
  const queue = queueOf(t);
  const events = await eventsOf(t);
  const worker = await workerOf(t, "mail", async (job) => {
    await job.updateProgress(50);
    await job.log("half-way");
    return { sent: job.data.to };
  });
  const progress = next(events, "progress");
  const job = await queue.add("welcome", { to: "Ada" });
  assert.deepEqual(await job.waitUntilFinished(events), { sent: "Ada" });
  assert.equal((await progress)[0].data, 50);
  assert.deepEqual((await queue.getJobLogs(job.id)).logs, ["half-way"]);
  assert.equal(await job.getState(), "completed");
  const jobs = await queue.addBulk(Array.from({ length: 200 }, (_, at) => ({ name: "bulk", data: { to: at } })));
  const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events)));
  assert.deepEqual(results.map(({ sent }) => sent), Array.from({ length: 200 }, (_, at) => at));
  await until(async () => (await queue.getCompletedCount()) === 201);
  assert.deepEqual(await queue.getJobCounts("wait", "active", "delayed", "failed"), { wait: 0, active: 0, delayed: 0, failed: 0 });
  assert.equal((await queue.getJobs(["completed"], 0, 9, true)).length, 10);
  assert.equal((await queue.clean(0, 1000, "completed")).length, 201);
  await worker.close();
});

test("several workers share the jobs: each is done once", async (t) => {
  const queue = queueOf(t);
  const done = [];
  for (let at = 0; at < 4; at += 1) await workerOf(t, "mail", async (job) => done.push(job.id), { concurrency: 5 });
  const jobs = await queue.addBulk(Array.from({ length: 300 }, (_, at) => ({ name: "job", data: { at } })));
  await until(() => done.length >= 300);
  await until(async () => (await queue.getCompletedCount()) === 300);
  assert.deepEqual(done.sort(), jobs.map((job) => job.id).sort());
});

test("delayed jobs come in order of their time, and can be promoted or moved", async (t) => {
  const queue = queueOf(t);
  const order = [];
  await queue.add("third", {}, { delay: 250 });
  await queue.add("first", {}, { delay: 50 });
  const far = await queue.add("far", {}, { delay: 3_600_000 });
  const moved = await queue.add("second", {}, { delay: 3_600_000 });
  await moved.changeDelay(150);
  assert.equal(await queue.getDelayedCount(), 4);
  await workerOf(t, "mail", async (job) => order.push(job.name));
  await until(() => order.length === 3);
  assert.deepEqual(order, ["first", "second", "third"]);
  await far.promote();
  await until(() => order.length === 4);
});

test("prioritised jobs come by priority, LIFO before FIFO", async (t) => {
  const queue = queueOf(t);
  await queue.addBulk([
    { name: "low", data: {}, opts: { priority: 10 } },
    { name: "none", data: {} },
    { name: "high", data: {}, opts: { priority: 1 } },
    { name: "low again", data: {}, opts: { priority: 10 } },
    { name: "last in", data: {}, opts: { lifo: true } },
  ]);
  const raised = await queue.add("raised", {}, { priority: 100 });
  await raised.changePriority({ priority: 2 });
  assert.deepEqual(await queue.getCountsPerPriority([1, 2, 10, 100]), { 1: 1, 2: 1, 10: 2, 100: 0 });
  const order = [];
  await workerOf(t, "mail", async (job) => order.push(job.name));
  await until(() => order.length === 6);
  assert.deepEqual(order, ["last in", "none", "high", "raised", "low", "low again"]);
});

test("failed jobs are tried again with a backoff, and kept as failed at last", async (t) => {
  const queue = queueOf(t);
  const events = await eventsOf(t);
  const tries = [];
  await workerOf(t, "mail", async (job) => {
    tries.push(job.attemptsMade);
    if (job.name === "hopeless") throw new UnrecoverableError("no such guest");
    if (job.attemptsMade < 2) throw new Error("no line");
    return "sent";
  });
  const job = await queue.add("stubborn", {}, { attempts: 3, backoff: { type: "fixed", delay: 20 } });
  assert.equal(await job.waitUntilFinished(events), "sent");
  assert.deepEqual(tries, [0, 1, 2]);
  const hopeless = await queue.add("hopeless", {}, { attempts: 3 });
  await assert.rejects(hopeless.waitUntilFinished(events), /no such guest/);
  assert.deepEqual((await queue.getFailed()).map((job) => job.failedReason), ["no such guest"]);
  await queue.retryJobs({ state: "failed" });
  await until(async () => (await queue.getFailedCount()) === 1 && tries.length === 5);
});

test("repeated jobs: a scheduler makes one after the other until it is removed", async (t) => {
  const queue = queueOf(t);
  let runs = 0;
  await workerOf(t, "mail", async () => (runs += 1));
  await queue.upsertJobScheduler("report", { every: 40 }, { name: "report", data: { of: "today" } });
  await until(() => runs >= 4);
  const [scheduler] = await queue.getJobSchedulers();
  assert.equal(scheduler.key, "report");
  assert.equal(await queue.removeJobScheduler("report"), true);
  assert.equal(await queue.getJobSchedulersCount(), 0);
  await until(async () => (await queue.getDelayedCount()) === 0 && (await queue.getActiveCount()) === 0);
  await queue.upsertJobScheduler("nightly", { pattern: "0 0 3 * * *", tz: "Europe/Vienna" });
  await queue.upsertJobScheduler("nightly", { pattern: "0 0 4 * * *", tz: "Europe/Vienna" });
  const delayed = await queue.getDelayed();
  assert.equal(delayed.length, 1);
  assert.match(delayed[0].id, /^repeat:nightly:/);
});

test("flows: a parent waits for its children and sees their values", async (t) => {
  const flows = closing(t, new FlowProducer({ connection }));
  const events = await eventsOf(t, "stay");
  await workerOf(t, "rooms", async (job) => `${job.name} is clean`);
  await workerOf(t, "stay", async (job) => Object.values(await job.getChildrenValues()).sort());
  const flow = await flows.add({
    name: "arrival",
    queueName: "stay",
    children: [
      { name: "101", queueName: "rooms", data: {} },
      { name: "102", queueName: "rooms", data: {}, children: [{ name: "linen", queueName: "rooms", data: {} }] },
    ],
  });
  assert.deepEqual(await flow.job.waitUntilFinished(events), ["101 is clean", "102 is clean"]);
  const tree = await flows.getFlow({ id: flow.job.id, queueName: "stay" });
  assert.deepEqual(tree.children.map((child) => child.job.name).sort(), ["101", "102"]);
});

test("a child that fails can fail its parent", async (t) => {
  const flows = closing(t, new FlowProducer({ connection }));
  await workerOf(t, "rooms", async () => { throw new Error("flooded"); });
  const parents = queueOf(t, "stay");
  await workerOf(t, "stay", async () => "never");
  const flow = await flows.add({
    name: "arrival",
    queueName: "stay",
    children: [{ name: "101", queueName: "rooms", data: {}, opts: { failParentOnFailure: true } }],
  });
  await until(async () => (await parents.getFailedCount()) === 1);
  assert.match((await parents.getJob(flow.job.id)).failedReason, /child .* failed/);
});

test("rate limits: no more than so many jobs in a time", async (t) => {
  const queue = queueOf(t);
  const moments = [];
  await workerOf(t, "mail", async () => moments.push(Date.now()), { limiter: { max: 3, duration: 200 }, concurrency: 10 });
  await queue.addBulk(Array.from({ length: 9 }, () => ({ name: "call", data: {} })));
  await until(() => moments.length === 9);
  const took = moments[8] - moments[0];
  assert.ok(took >= 350, `nine jobs, three in 200 ms, took ${took} ms`);
});

test("a limit of all workers together, a pause, and deduplication", async (t) => {
  const queue = queueOf(t);
  let [running, most, done] = [0, 0, 0];
  const work = async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    done += 1;
  };
  await queue.setGlobalConcurrency(2);
  await queue.pause();
  await queue.addBulk(Array.from({ length: 40 }, () => ({ name: "job", data: {} })));
  for (let at = 0; at < 3; at += 1) await workerOf(t, "mail", work, { concurrency: 5 });
  assert.equal(await queue.isPaused(), true);
  assert.equal(done, 0);
  const twin = await queue.add("once", {}, { deduplication: { id: "guest 7" } });
  assert.equal((await queue.add("once", {}, { deduplication: { id: "guest 7" } })).id, twin.id);
  assert.equal((await queue.add("named", {}, { jobId: "booking-1" })).id, "booking-1");
  await queue.add("named", {}, { jobId: "booking-1" });
  await queue.resume();
  await until(() => done === 42);
  assert.ok(most <= 2, `${most} at once`);
  await until(async () => (await queue.getCompletedCount()) === 42);
  await queue.obliterate();
  assert.deepEqual(Object.values(await queue.getJobCounts()).filter((count) => count > 0), []);
});

test("a worker that is killed loses no job: it stalls, and another worker takes it", async (t) => {
  const queue = queueOf(t);
  const events = await eventsOf(t);
  const stalled = next(events, "stalled");
  const jobs = [await queue.add("night audit", {})];
  for (let round = 0; round < 2; round += 1) {
    const killed = fork(new URL("bullmq-worker.js", import.meta.url), ["mail"]);
    t.after(() => killed.kill("SIGKILL"));
    await next(killed, "message");
    killed.kill("SIGKILL");
    await next(killed, "exit");
    if (round === 0) jobs.push(await queue.add("invoice", {}));
  }
  assert.equal(await queue.getActiveCount(), 2);
  const done = [];
  await workerOf(t, "mail", async (job) => done.push(job.name), { stalledInterval: 100, lockDuration: 2000, maxStalledCount: 3 });
  await until(() => done.length === 2);
  assert.equal((await stalled)[0].jobId !== undefined, true);
  await Promise.all(jobs.map((job) => job.waitUntilFinished(events)));
  assert.deepEqual(done.sort(), ["invoice", "night audit"]);
});

test("a job that stalls too often fails", async (t) => {
  const queue = queueOf(t);
  await queue.add("poison", {});
  const killed = fork(new URL("bullmq-worker.js", import.meta.url), ["mail"]);
  t.after(() => killed.kill("SIGKILL"));
  await next(killed, "message");
  killed.kill("SIGKILL");
  await workerOf(t, "mail", async () => "never", { stalledInterval: 100, maxStalledCount: 0 });
  await until(async () => (await queue.getFailedCount()) === 1);
  assert.match((await queue.getFailed())[0].failedReason, /stalled more than allowable limit/);
});

test("workers whose connections are cut go on", async (t) => {
  const queue = queueOf(t);
  let done = 0;
  await workerOf(t, "mail", async () => (done += 1));
  await queue.add("before", {});
  await until(() => done === 1);
  const admin = new Redis(url);
  t.after(() => admin.disconnect());
  await until(async () => /cmd=bzpopmin/.test(await admin.client("LIST")));
  await admin.client("KILL", "TYPE", "normal", "SKIPME", "yes");
  await queue.add("after", {});
  await until(() => done === 2);
});

test("jobs that are taken by hand: tokens, locks, other priorities and delays", async (t) => {
  const queue = queueOf(t);
  const worker = await workerOf(t, "mail", null, { lockDuration: 60_000 });
  const take = () => worker.getNextJob("token", { block: false });
  await queue.addBulk([
    { name: "a", data: {} },
    { name: "b", data: {}, opts: { lifo: true } },
    { name: "c", data: {}, opts: { priority: 3 } },
    { name: "d", data: {}, opts: { priority: 1 } },
    { name: "e", data: {}, opts: { delay: 600_000 } },
  ]);
  assert.deepEqual(await queue.getCountsPerPriority([0, 1, 2, 3]), { 0: 2, 1: 1, 2: 0, 3: 1 });
  const first = await take();
  assert.equal(first.name, "b");
  assert.equal(await first.extendLock("token", 60_000), 1);
  await assert.rejects(first.moveToCompleted("done", "another", false), /Lock mismatch for job/);
  await assert.rejects(first.remove(), /locked by another worker/);
  const [, id] = (await first.moveToCompleted("done", "token", true)) ?? [];
  assert.equal(id, "1", "the next one comes with the answer");
  await assert.rejects(first.moveToCompleted("done", "token", false), /Missing lock for job/);
  const [last] = (await queue.getPrioritized()).slice(-1);
  assert.equal(last.name, "c");
  await last.changePriority({ priority: 0, lifo: true });
  const changed = await take();
  assert.equal(changed.name, "c");
  await changed.moveToDelayed(Date.now() + 600_000, "token").catch(() => {});
  assert.equal(await changed.getState(), "delayed");
  const delayed = await queue.getJob("5");
  await delayed.changeDelay(900_000);
  assert.equal((await queue.getJob("5")).delay, 900_000);
  await assert.rejects(queue.obliterate(), /Cannot obliterate queue with active jobs/);
  await queue.drain(true);
  assert.deepEqual(await queue.getJobCounts("wait", "prioritized", "delayed", "active"), { wait: 0, prioritized: 0, delayed: 0, active: 1 });
  await queue.obliterate({ force: true });
  const client = new Redis(url);
  t.after(() => client.disconnect());
  assert.deepEqual((await client.keys("bull:mail:*")).filter((key) => !key.endsWith(":stalled-check")), []);
});
