// Lua as clients define it: ioredis's defineCommand, node-redis's scripts and functions, the locks and limiters of
// published packages.
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import Redis from "ioredis";
import { BurstyRateLimiter, RateLimiterQueue, RateLimiterRedis } from "rate-limiter-flexible";
import { RedisStore } from "rate-limit-redis";
import { defineScript } from "redis";
import Redlock from "redlock";
import { ioredis as connect, nodeRedis, url } from "./server.js";

beforeEach(async () => {
  const client = new Redis(url);
  await client.flushall();
  await client.script("FLUSH");
  await client.function("FLUSH");
  client.disconnect();
});

const ECHO = "return {KEYS[1], ARGV[1], #KEYS, #ARGV}";
const SHAPES = `return {1, 2.9, "text", true, false, {"nested", {3}}, redis.status_reply("FINE"), nil, "unreached"}`;

for (const protocol of [2, 3]) {
  const ioredis = (t, options = {}) => connect(t, { protocol, ...options });

  describe(`ioredis, RESP${protocol}`, () => {
    test("defineCommand: keys, numbers of keys, buffers, pipelines and transactions", async (t) => {
      const client = await ioredis(t, { keyPrefix: "hotel:" });
      client.defineCommand("same", { numberOfKeys: 1, lua: ECHO });
      client.defineCommand("anyKeys", { lua: "return #KEYS" });
      client.defineCommand("readOnly", { numberOfKeys: 1, lua: "return redis.call('GET', KEYS[1])", readOnly: true });
      assert.deepEqual(await client.same("room", "101"), ["hotel:room", "101", 1, 1]);
      assert.equal(await client.anyKeys(3, "a", "b", "c"), 3);
      await client.set("room", Buffer.from([0, 255, 13, 10]));
      assert.deepEqual(await client.readOnlyBuffer("room"), Buffer.from([0, 255, 13, 10]));
      // A pipeline loads what the server does not know.
      await client.script("FLUSH");
      const replies = await client.pipeline().same("a", 1).set("x", 1).same("b", 2).exec();
      assert.deepEqual(replies.map(([error]) => error), [null, null, null]);
      assert.deepEqual(replies[2][1], ["hotel:b", "2", 1, 1]);
      const [[, reply]] = await client.multi().same("a", 1).exec();
      assert.deepEqual(reply, ["hotel:a", "1", 1, 1]);
    });

    test("EVAL: every kind of reply, and errors with their place", async (t) => {
      const client = await ioredis(t);
      assert.deepEqual(await client.eval(SHAPES, 0), [1, 2, "text", 1, null, ["nested", [3]], "FINE"]);
      await assert.rejects(client.eval("return redis.error_reply('MINE the reason')", 0), { message: "MINE the reason" });
      await assert.rejects(client.eval("return redis.call('INCR', KEYS[1], 1)", 1, "a"), {
        message: /^ERR Wrong number of args calling Redis command from script script: [0-9a-f]{40}, on @user_script:1\.$/,
      });
      await assert.rejects(client.eval("error('on purpose')", 0), { message: /user_script:1: on purpose/ });
      assert.equal(await client.eval("return cjson.encode({room = 101, free = true})", 0).then((text) => JSON.parse(text).room), 101);
      assert.equal(await client.eval("return cmsgpack.unpack(cmsgpack.pack(ARGV[1]))", 0, "x"), "x");
    });

    test("rate-limiter-flexible: points, blocks, penalties, bursts, a queue", async (t) => {
      const storeClient = await ioredis(t);
      const limiter = new RateLimiterRedis({ storeClient, points: 3, duration: 60, blockDuration: 120 });
      for (const left of [2, 1, 0]) assert.equal((await limiter.consume("guest")).remainingPoints, left);
      await assert.rejects(limiter.consume("guest"), (refused) => refused.msBeforeNext > 60_000 && refused.remainingPoints === 0);
      assert.equal((await limiter.get("guest")).consumedPoints, 4);
      assert.equal(await limiter.delete("guest"), true);
      assert.equal((await limiter.penalty("guest", 2)).consumedPoints, 2);
      assert.equal((await limiter.reward("guest", 1)).consumedPoints, 1);
      assert.equal((await limiter.set("vip", 1, 30)).consumedPoints, 1);
      await limiter.block("rude", 30);
      await assert.rejects(limiter.consume("rude"));
      const burst = new RateLimiterRedis({ storeClient, keyPrefix: "burst", points: 2, duration: 60 });
      const bursty = new BurstyRateLimiter(new RateLimiterRedis({ storeClient, points: 1, duration: 60 }), burst);
      await Promise.all([bursty.consume("b"), bursty.consume("b"), bursty.consume("b")]);
      await assert.rejects(bursty.consume("b"));
      const queue = new RateLimiterQueue(new RateLimiterRedis({ storeClient, keyPrefix: "queue", points: 10, duration: 60 }));
      assert.equal(await queue.removeTokens(4), 6);
      const endless = new RateLimiterRedis({ storeClient, keyPrefix: "endless", points: 5, duration: 0 });
      assert.equal((await endless.consume("e")).consumedPoints, 1);
      assert.equal(await storeClient.ttl("endless:e"), -1);
    });

    test("redlock: acquire, extend, release, and who has to wait", async (t) => {
      const client = await ioredis(t);
      const locks = new Redlock([client], { retryCount: 0, automaticExtensionThreshold: 100 });
      locks.on("error", () => {});
      let lock = await locks.acquire(["room:101", "room:102"], 60_000);
      await assert.rejects(locks.acquire(["room:102"], 60_000), /unable to achieve a quorum/);
      assert.equal(await client.get("room:102"), lock.value);
      lock = await lock.extend(90_000);
      assert.ok((await client.pttl("room:101")) > 60_000);
      await lock.release();
      assert.equal(await client.exists("room:101", "room:102"), 0);
      await assert.rejects(lock.extend(1000), /quorum|expired/);
      const patient = new Redlock([client], { retryCount: 500, retryDelay: 5, retryJitter: 5 });
      let [inside, most] = [0, 0];
      const visit = () => patient.using(["desk"], 5000, async () => {
        inside += 1;
        most = Math.max(most, inside);
        await client.ping();
        inside -= 1;
      });
      await Promise.all(Array.from({ length: 8 }, visit));
      assert.equal(most, 1);
    });

    test("rate-limit-redis, the store of express-rate-limit", async (t) => {
      const client = await ioredis(t);
      const store = new RedisStore({ sendCommand: (...words) => client.call(...words) });
      await store.init({ windowMs: 60_000 });
      assert.equal((await store.increment("guest")).totalHits, 1);
      const second = await store.increment("guest");
      assert.equal(second.totalHits, 2);
      assert.ok(second.resetTime > Date.now() + 50_000);
      assert.equal((await store.get("guest")).totalHits, 2);
      await store.decrement("guest");
      assert.equal((await store.get("guest")).totalHits, 1);
      await store.resetKey("guest");
      assert.equal(await client.exists("rl:guest"), 0);
      // The scripts are gone: the store loads them anew.
      await client.script("FLUSH");
      assert.equal((await store.increment("guest")).totalHits, 1);
    });
  });

  describe(`node-redis, RESP${protocol}`, () => {
    const add = defineScript({
      NUMBER_OF_KEYS: 1,
      SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1]) + 1",
      parseCommand(parser, key, by) {
        parser.pushKey(key);
        parser.push(by.toString());
      },
      transformReply: (reply) => reply,
    });
    const square = {
      NUMBER_OF_KEYS: 0,
      IS_READ_ONLY: true,
      parseCommand(parser, number) {
        parser.push(number.toString());
      },
      transformReply: (reply) => reply,
    };
    const LIBRARY = `#!lua name=hotel
      redis.register_function{function_name = 'square', callback = function(keys, args) return args[1] * args[1] end, flags = {'no-writes'}}
      redis.register_function('check_in', function(keys, args) return redis.call('HSET', keys[1], 'guest', args[1]) end)`;

    test("scripts, alone and in MULTI", async (t) => {
      const client = await nodeRedis(t, { RESP: protocol, scripts: { add } });
      assert.equal(await client.add("counter", 5), 6);
      await client.scriptFlush();
      assert.equal(await client.add("counter", 5), 11);
      assert.deepEqual(await client.multi().add("counter", 1).get("counter").exec(), [12, "11"]);
      assert.deepEqual(await client.eval(SHAPES), [1, 2, "text", 1, null, ["nested", [3]], "FINE"]);
      assert.deepEqual(await client.scriptExists([await client.scriptLoad("return 1"), "0".repeat(40)]), [1, 0]);
    });

    test("functions: load, call, list, dump, restore", async (t) => {
      const client = await nodeRedis(t, { RESP: protocol, functions: { hotel: { square } } });
      assert.equal(await client.functionLoad(LIBRARY), "hotel");
      await assert.rejects(client.functionLoad(LIBRARY), /already exists/);
      assert.equal(await client.functionLoad(LIBRARY, { REPLACE: true }), "hotel");
      assert.equal(await client.hotel.square(7), 49);
      assert.equal(await client.fCall("check_in", { keys: ["room:101"], arguments: ["Ada"] }), 1);
      await assert.rejects(client.fCallRo("check_in", { keys: ["a"], arguments: ["b"] }), /write flag/);
      const [library] = await client.functionListWithCode({ LIBRARYNAME: "hotel" });
      assert.equal(library.library_code, LIBRARY);
      assert.deepEqual(library.functions.map(({ name }) => name).sort(), ["check_in", "square"]);
      const dump = await client.withTypeMapping({ 36: Buffer }).functionDump();
      await client.functionFlush();
      await assert.rejects(client.hotel.square(7), /Function not found/);
      assert.equal(await client.functionRestore(dump), "OK");
      assert.equal(await client.hotel.square(8), 64);
      assert.equal(await client.functionDelete("hotel"), "OK");
    });

    test("rate-limiter-flexible on node-redis", async (t) => {
      const storeClient = await nodeRedis(t, { RESP: protocol });
      const limiter = new RateLimiterRedis({ storeClient, useRedisPackage: true, points: 2, duration: 60 });
      assert.equal((await limiter.consume("guest")).remainingPoints, 1);
      assert.equal((await limiter.consume("guest")).remainingPoints, 0);
      await assert.rejects(limiter.consume("guest"), (refused) => refused.consumedPoints === 3);
    });
  });
}
