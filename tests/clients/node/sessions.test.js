// What services keep in a store that others run for them: sessions that run out, locks and semaphores, Bull's jobs.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { promisify } from "node:util";
import Bull from "bull";
import { RedisStore } from "connect-redis";
import Redis from "ioredis";
import { Mutex, Semaphore } from "redis-semaphore";
import { bullConnection, ioredis, nodeRedis, url } from "./server.js";

beforeEach(async () => {
  const client = new Redis(url);
  await client.flushall();
  client.disconnect();
});

test("connect-redis: sessions are kept, listed, touched and destroyed, and have a time to live", async (t) => {
  const client = await nodeRedis(t);
  const store = new RedisStore({ client, ttl: 60 });
  const call = (name, ...values) => promisify(store[name].bind(store))(...values);
  const names = Array.from({ length: 250 }, (_, number) => `guest-${number}`);
  for (const [number, name] of names.entries()) {
    await call("set", name, { cookie: { originalMaxAge: null }, number });
  }
  assert.equal(await call("length"), names.length);
  assert.deepEqual((await call("ids")).sort(), [...names].sort());
  assert.equal((await call("get", "guest-7")).number, 7);
  await client.persist("sess:guest-7");
  await call("touch", "guest-7", { cookie: {} });
  const ttl = await client.ttl("sess:guest-7");
  assert.ok(ttl > 0 && ttl <= 60, `${ttl} s`);
  await call("destroy", "guest-7");
  assert.equal(await call("get", "guest-7"), null);
  assert.equal((await call("all")).length, names.length - 1);
  await call("clear");
  assert.equal(await client.dbSize(), 0);
});

test("redis-semaphore: one holder of a mutex, two of a semaphore, and what is released leaves nothing", async (t) => {
  const client = await ioredis(t);
  const options = { acquireAttemptsLimit: 1 };
  const [mutex, another] = [new Mutex(client, "room", options), new Mutex(client, "room", options)];
  assert.equal(await mutex.tryAcquire(), true);
  assert.equal(await another.tryAcquire(), false);
  await mutex.release();
  assert.equal(await another.tryAcquire(), true);
  await another.release();
  const semaphores = [1, 2, 3].map(() => new Semaphore(client, "lift", 2, options));
  const entered = [];
  for (const semaphore of semaphores) entered.push(await semaphore.tryAcquire());
  assert.deepEqual(entered, [true, true, false]);
  await Promise.all(semaphores.map((semaphore) => semaphore.release()));
  assert.equal(await client.dbsize(), 0);
});

test("Bull: jobs with priorities, delays and second attempts all finish", async (t) => {
  const queue = new Bull("mail", { redis: { ...bullConnection } });
  queue.setMaxListeners(20); // One for each job that is waited for.
  t.after(() => queue.close());
  queue.process(2, async (job) => {
    if (job.data.number % 4 === 3 && job.attemptsMade === 0) throw new Error("once more");
    await job.progress(50);
    return job.data.number * 2;
  });
  const jobs = await Promise.all(
    Array.from({ length: 12 }, (_, number) => {
      const options = { attempts: 2, backoff: 1, delay: (number % 3) * 5, priority: number % 5 === 0 ? 1 : 0 };
      return queue.add({ number }, options);
    }),
  );
  const results = await Promise.all(jobs.map((job) => job.finished()));
  assert.deepEqual(results, jobs.map((job) => job.data.number * 2));
  const counts = await queue.getJobCounts();
  assert.deepEqual([counts.completed, counts.failed, counts.waiting, counts.delayed], [12, 0, 0, 0]);
  await queue.obliterate({ force: true });
  const client = await ioredis(t);
  assert.deepEqual(await client.keys("bull:mail:*"), []);
});
