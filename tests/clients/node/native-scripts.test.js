// The scripts that every innkeep has, as ioredis defines and calls commands. No other server knows them.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import Redis from "ioredis";
import { ioredis, url } from "./server.js";

/** Each script, how many keys it has, and calls in turn with their replies. */
const scripts = {
  "innkeep.limit.count": [1, [[["c", 60000], 1], [["c", 60000], 2]]],
  "innkeep.limit.fixed_window": [1, [[["f", 2, 600000], [1, 1, 0]], [["f", 2, 600000], [1, 0, 0]]]],
  "innkeep.limit.sliding_window": [1, [[["s", 2, 600000, "a"], [1, 1, 0]], [["s", 2, 600000, "b"], [1, 0, 0]]]],
  "innkeep.limit.token_bucket": [1, [[["b", 2, 0.001], [1, 1, 0]], [["b", 2, 0.001], [1, 0, 0]]]],
  "innkeep.limit.gcra": [1, [[["g", 2, 1, 600000], [1, 1, 0]], [["g", 2, 1, 600000], [1, 0, 0]]]],
  "innkeep.lock.acquire": [1, [[["l", "me", 60000], 1], [["l", "you", 60000], 0]]],
  "innkeep.lock.extend": [1, [[["none", "me", 60000], 0]]],
  "innkeep.lock.release": [1, [[["none", "me"], 0]]],
  "innkeep.dedup.first": [1, [[["d", 60000], 1], [["d", 60000], 0]]],
};

const known = await (async () => {
  const client = new Redis(url);
  try {
    return await client.eval("innkeep.lock.release", 1, "lock", "me").then(() => true, () => false);
  } finally {
    client.disconnect();
  }
})();

beforeEach(async () => {
  const client = new Redis(url);
  await client.flushall();
  client.disconnect();
});

for (const [name, [numberOfKeys, calls]] of Object.entries(scripts)) {
  test(name, { skip: !known && "this server has no native scripts" }, async (t) => {
    const client = await ioredis(t);
    client.defineCommand("script", { numberOfKeys, lua: name });
    for (const [args, reply] of calls) assert.deepEqual(await client.script(...args), reply);
  });
}

test("queues: promotion and reclaim", { skip: !known && "this server has no native scripts" }, async (t) => {
  const client = await ioredis(t);
  await client.zadd("delayed", 1, "due", 4e12, "later");
  await client.eval("innkeep.queue.promote", 2, "delayed", "ready");
  await client.zadd("taken", 1, "stale", 4e12, "fresh");
  await client.fcall("innkeep.queue.reclaim", 2, "taken", "ready", 60000);
  assert.deepEqual((await client.lrange("ready", 0, -1)).sort(), ["due", "stale"]);
});
