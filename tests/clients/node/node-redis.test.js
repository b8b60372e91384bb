// The hotel's patterns through node-redis, in RESP2 and in RESP3.
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { BasicClientSideCache, createClient, createClientPool, WatchError } from "redis";
import { nodeRedis, until, url } from "./server.js";

beforeEach(async () => {
  const client = await createClient({ url }).connect();
  await client.flushAll();
  client.destroy();
});

for (const RESP of [2, 3]) {
  describe(`node-redis, RESP${RESP}`, () => {
    test("strings, counters, expiry", async (t) => {
      const client = await nodeRedis(t, { RESP });
      assert.equal(await client.set("answer", "42", { expiration: { type: "EX", value: 60 } }), "OK");
      assert.equal(await client.get("answer"), "42");
      assert.equal(await client.incrBy("answer", 8), 50);
      assert.ok((await client.ttl("answer")) > 50);
      assert.equal(await client.get("nothing"), null);
      assert.equal(await client.incrByFloat("price", 0.1), "0.1");
      assert.equal(await client.set("answer", "x", { condition: "NX" }), null);
    });

    test("sessions as hashes", async (t) => {
      const client = await nodeRedis(t, { RESP });
      assert.equal(await client.hSet("session", { guest: "Ada", room: "101" }), 2);
      assert.deepEqual({ ...(await client.hGetAll("session")) }, { guest: "Ada", room: "101" });
      assert.deepEqual(await client.hmGet("session", ["room", "nothing"]), ["101", null]);
      assert.equal(await client.expire("session", 60), 1);
    });

    test("sorted sets: scores are numbers in both protocols", async (t) => {
      const client = await nodeRedis(t, { RESP });
      await client.zAdd("jobs", [{ score: 1.5, value: "a" }, { score: Infinity, value: "b" }]);
      assert.deepEqual(
        (await client.zRangeWithScores("jobs", 0, -1)).map((entry) => ({ ...entry })),
        [{ value: "a", score: 1.5 }, { value: "b", score: Infinity }],
      );
      assert.equal(await client.zScore("jobs", "a"), 1.5);
      assert.equal(await client.zIncrBy("jobs", 0.25, "a"), 1.75);
      assert.deepEqual({ ...(await client.zPopMin("jobs")) }, { value: "a", score: 1.75 });
    });

    test("sets", async (t) => {
      const client = await nodeRedis(t, { RESP });
      await client.sAdd("seen", ["a", "b"]);
      assert.deepEqual([...(await client.sMembers("seen"))].sort(), ["a", "b"]);
      assert.equal(await client.sIsMember("seen", "a"), 1);
      assert.deepEqual([...(await client.sInter(["seen", "seen"]))].sort(), ["a", "b"]);
    });

    test("reliable queue with a blocking move", async (t) => {
      const producer = await nodeRedis(t, { RESP });
      const worker = await nodeRedis(t, { RESP });
      const moved = worker.blMove("mail", "processing", "RIGHT", "LEFT", 5);
      await until(async () => /blocked_clients:1\r/.test(await producer.info("clients")));
      await producer.lPush("mail", "booking");
      assert.equal(await moved, "booking");
      assert.equal(await producer.lRem("processing", 1, "booking"), 1);
      assert.equal(await worker.brPop("mail", 0.05), null);
    });

    test("publish and subscribe", async (t) => {
      const publisher = await nodeRedis(t, { RESP });
      const subscriber = await nodeRedis(t, { RESP });
      const heard = [];
      await subscriber.subscribe("rooms", (message, channel) => heard.push([channel, message]));
      await subscriber.pSubscribe("floor:*", (message, channel) => heard.push([channel, message]));
      assert.equal(await publisher.publish("rooms", "clean"), 1);
      assert.equal(await publisher.publish("floor:1", "quiet"), 1);
      await until(() => heard.length === 2);
      assert.deepEqual(heard, [["rooms", "clean"], ["floor:1", "quiet"]]);
      await subscriber.unsubscribe("rooms");
      await until(async () => (await publisher.publish("rooms", "unheard")) === 0);
    });

    test("transactions and WATCH", async (t) => {
      const client = await nodeRedis(t, { RESP });
      const other = await nodeRedis(t, { RESP });
      assert.deepEqual(await client.multi().set("a", "1").incr("a").get("a").exec(), ["OK", 2, "2"]);
      await client.watch("a");
      await other.set("a", "9");
      await assert.rejects(client.multi().set("a", "3").exec(), WatchError);
      assert.equal(await other.get("a"), "9");
    });

    test("a thousand commands in one batch", async (t) => {
      const client = await nodeRedis(t, { RESP });
      const counts = await Promise.all(Array.from({ length: 1000 }, () => client.incr("counter")));
      assert.deepEqual(counts, Array.from({ length: 1000 }, (_, at) => at + 1));
    });

    test("scan iterators", async (t) => {
      const client = await nodeRedis(t, { RESP });
      await Promise.all(Array.from({ length: 300 }, (_, at) => client.set(`scan:${at}`, at.toString())));
      const found = new Set();
      for await (const keys of client.scanIterator({ MATCH: "scan:*", COUNT: 50 })) keys.forEach((key) => found.add(key));
      assert.equal(found.size, 300);
    });

    test("reconnect after the connection was cut", async (t) => {
      const admin = await nodeRedis(t, { RESP });
      const client = await nodeRedis(t, { RESP, socket: { reconnectStrategy: () => 5 } });
      const ready = new Promise((resolve) => client.once("ready", resolve));
      assert.equal(await admin.clientKill({ filter: "ID", id: await client.clientId() }), 1);
      await ready;
      assert.equal(await client.set("after", "reconnect"), "OK");
    });

    test("HELLO and the client's own name", async (t) => {
      const client = await nodeRedis(t, { RESP, name: "reception" });
      assert.equal(await client.clientGetName(), "reception");
      const info = await client.clientInfo();
      assert.equal(info.name, "reception");
      assert.match(await client.sendCommand(["CLIENT", "INFO"]), new RegExp(` resp=${RESP}`));
    });

    test("a pool of connections: commands, transactions, and one connection for what has to stay together", async (t) => {
      const pool = createClientPool({ url, RESP }, { minimum: 2, maximum: 4 });
      pool.on("error", () => {});
      t.after(() => pool.destroy());
      await pool.connect();
      const counts = await Promise.all(Array.from({ length: 50 }, () => pool.incr("count")));
      assert.deepEqual(counts.sort((a, b) => a - b), Array.from({ length: 50 }, (_, at) => at + 1));
      assert.deepEqual(await pool.multi().set("room", "101").get("room").exec(), ["OK", "101"]);
      const kept = await pool.execute(async (client) => {
        await client.watch("room");
        return client.multi().append("room", "a").exec();
      });
      assert.deepEqual(kept, [4]);
    });

    test("sharded channels and binary messages", async (t) => {
      const publisher = await nodeRedis(t, { RESP });
      const subscriber = await nodeRedis(t, { RESP });
      const heard = [];
      await subscriber.sSubscribe("kitchen", (message, channel) => heard.push([channel, message]));
      await subscriber.subscribe("raw", (message) => heard.push(message), true);
      assert.equal(await publisher.sPublish("kitchen", "two coffees"), 1);
      assert.equal(await publisher.publish("raw", Buffer.from([0, 255])), 1);
      await until(() => heard.length === 2);
      assert.deepEqual(heard, [["kitchen", "two coffees"], Buffer.from([0, 255])]);
      await subscriber.sUnsubscribe("kitchen");
      assert.deepEqual(await publisher.pubSubShardChannels(), []);
      await subscriber.unsubscribe("raw");
      assert.equal(String(await subscriber.set("after", "subscriptions")), "OK");
    });
  });
}

test("the client's own cache forgets what others change, and all of it when everything goes", async (t) => {
  const other = await nodeRedis(t);
  const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 100 });
  const client = await nodeRedis(t, { RESP: 3, clientSideCache: cache });
  await other.set("room", "free");
  await other.hSet("guest", "name", "Ada");
  for (let look = 0; look < 3; look += 1) {
    assert.equal(await client.get("room"), "free");
    assert.deepEqual({ ...(await client.hGetAll("guest")) }, { name: "Ada" });
  }
  assert.deepEqual([cache.stats().missCount, cache.stats().hitCount], [2, 4]);
  await other.multi().set("room", "taken").exec();
  await until(async () => (await client.get("room")) === "taken");
  await other.eval("return redis.call('HSET', KEYS[1], 'name', 'Grace')", { keys: ["guest"] });
  await until(async () => (await client.hGetAll("guest")).name === "Grace");
  await other.flushAll();
  await until(async () => (await client.get("room")) === null);
  assert.deepEqual({ ...(await client.hGetAll("guest")) }, {});
});
