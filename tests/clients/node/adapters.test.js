// Packages that speak to each other through the server: socket.io's adapters over pub/sub and streams, and bee-queue.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { beforeEach, test } from "node:test";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import BeeQueue from "bee-queue";
import Redis from "ioredis";
import { Server } from "socket.io";
import { io } from "socket.io-client";
import { bullConnection, ioredis, next, nodeRedis, until, url } from "./server.js";

beforeEach(async () => {
  const client = new Redis(url);
  await client.flushall();
  client.disconnect();
});

const adapters = {
  "pub/sub, ioredis": [ioredis, createAdapter],
  "pub/sub, node-redis": [nodeRedis, createAdapter],
  "sharded pub/sub, ioredis": [ioredis, createShardedAdapter],
  "streams, ioredis": [ioredis, (client) => createStreamsAdapter(client, { blockTimeInMs: 100 })],
};

for (const [name, [connect, adapter]] of Object.entries(adapters)) {
  test(`socket.io over ${name}: two servers, one room`, async (t) => {
    const open = async () => {
      const http = createServer();
      const afterwards = [];
      const later = { after: (close) => afterwards.push(close) };
      const connections = [await connect(later), await connect(later)];
      const server = new Server(http, { adapter: adapter(...connections), transports: ["websocket"] });
      await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
      t.after(async () => {
        client.disconnect();
        await new Promise((resolve) => server.close(resolve));
        // The adapter's last commands are answered before its connections end.
        await Promise.all(connections.map((connection) => connection.ping()));
        afterwards.forEach((close) => close());
      });
      server.on("connection", (socket) => socket.join("reception"));
      const client = io(`http://127.0.0.1:${http.address().port}`, { transports: ["websocket"], reconnection: false });
      await next(client, "connect");
      return { server, client };
    };
    const [first, second] = [await open(), await open()];
    await until(async () => (await first.server.in("reception").fetchSockets()).length === 2);
    const heard = [next(first.client, "arrival"), next(second.client, "arrival")];
    first.server.to("reception").emit("arrival", { room: 101, photo: Buffer.from([0, 1, 255]) });
    for (const [message] of await Promise.all(heard)) {
      assert.equal(message.room, 101);
      assert.deepEqual(Buffer.from(message.photo), Buffer.from([0, 1, 255]));
    }
    const asked = next(second.server, "question");
    first.server.serverSideEmit("question", 42);
    assert.deepEqual(await asked, [42]);
  });
}

test("bee-queue: jobs, delays, retries, stalled checks", async (t) => {
  const { host, port } = bullConnection;
  const options = { redis: { host, port }, activateDelayedJobs: true, delayedDebounce: 10 };
  const queue = new BeeQueue("mail", options);
  const worker = new BeeQueue("mail", options);
  t.after(() => Promise.all([queue.close(), worker.close()]));
  await Promise.all([queue.ready(), worker.ready()]);
  const done = [];
  let failures = 0;
  worker.process(5, async (job) => {
    if (job.data.at === 7 && failures < 1) {
      failures += 1;
      throw new Error("no line");
    }
    done.push(job.data.at);
    return job.data.at * 2;
  });
  const succeeded = new Promise((resolve) => queue.once("job succeeded", (id, result) => resolve(result)));
  const jobs = Array.from({ length: 50 }, (_, at) => queue.createJob({ at }).retries(2));
  await queue.saveAll(jobs);
  await queue.createJob({ at: 50 }).delayUntil(Date.now() + 100).save();
  assert.equal(typeof (await succeeded), "number");
  await until(() => done.length === 51);
  assert.deepEqual(done.sort((a, b) => a - b), Array.from({ length: 51 }, (_, at) => at));
  await until(async () => (await queue.checkHealth()).succeeded === 51);
  assert.equal(await queue.checkStalledJobs(), 0);
});
