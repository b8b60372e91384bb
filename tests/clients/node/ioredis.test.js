// The hotel's patterns through ioredis, in RESP2 and in RESP3.
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import Redis from "ioredis";
import { ioredis as connect, next, until, url } from "./server.js";

beforeEach(async () => {
  const client = new Redis(url);
  await client.flushall();
  client.disconnect();
});

for (const protocol of [2, 3]) {
  const ioredis = (t, options = {}) => connect(t, { protocol, ...options });

  describe(`ioredis, RESP${protocol}`, () => {
    test("reliable queue: LPUSH, BRPOPLPUSH, LREM", async (t) => {
      const producer = await ioredis(t);
      const worker = await ioredis(t);
      const waiting = worker.brpoplpush("mail", "mail:processing", 5);
      await until(async () => /cmd=brpoplpush/.test(await producer.client("LIST")));
      assert.equal(await producer.lpush("mail", "booking 1"), 1);
      assert.equal(await waiting, "booking 1");
      assert.equal(await producer.llen("mail"), 0, "the waiter took it");
      await producer.lpush("mail", "booking 2", "booking 3");
      assert.equal(await worker.brpoplpush("mail", "mail:processing", 1), "booking 2");
      assert.deepEqual(await worker.lrange("mail:processing", 0, -1), ["booking 2", "booking 1"]);
      assert.equal(await worker.lrem("mail:processing", 1, "booking 1"), 1);
      assert.equal(await worker.lrem("mail:processing", 1, "booking 1"), 0);
      assert.equal(await worker.blmove("mail", "mail:processing", "RIGHT", "LEFT", 1), "booking 3");
      assert.equal(await worker.brpoplpush("mail", "mail:processing", 0.05), null, "an empty queue times out");
    });

    test("waiters are served oldest first, each element once", async (t) => {
      const producer = await ioredis(t);
      const workers = await Promise.all(Array.from({ length: 4 }, () => ioredis(t)));
      const order = [];
      const pending = [];
      for (const [at, worker] of workers.entries()) {
        pending.push(worker.blpop("work", 5).then(([, element]) => order.push([at, element])));
        await until(async () => Number(/blocked_clients:(\d+)/.exec(await producer.info("clients"))[1]) === at + 1);
      }
      await producer.rpush("work", "a", "b", "c", "d");
      await Promise.all(pending);
      assert.deepEqual(order.sort(), [[0, "a"], [1, "b"], [2, "c"], [3, "d"]]);
    });

    test("rate limit: INCR and EXPIRE", async (t) => {
      const client = await ioredis(t);
      const counts = [];
      for (let request = 0; request < 3; request += 1) {
        const [[, count]] = await client.multi().incr("limit:guest").expire("limit:guest", 60, "NX").exec();
        counts.push(count);
      }
      assert.deepEqual(counts, [1, 2, 3]);
      const ttl = await client.ttl("limit:guest");
      assert.ok(ttl > 50 && ttl <= 60, `ttl ${ttl}`);
    });

    test("sorted-set queue: due jobs by score", async (t) => {
      const client = await ioredis(t);
      await client.zadd("jobs", 30, "later", 10, "first", 20, "second");
      assert.deepEqual(await client.zrangebyscore("jobs", "-inf", 20), ["first", "second"]);
      assert.deepEqual(await client.zrange("jobs", 0, -1, "WITHSCORES"), ["first", "10", "second", "20", "later", "30"]);
      assert.deepEqual(await client.zpopmin("jobs"), ["first", "10"]);
      assert.equal(await client.zadd("jobs", "GT", "CH", 25, "second"), 1);
      assert.deepEqual(await client.bzpopmin("jobs", 1), ["jobs", "second", "25"]);
      assert.equal(await client.zrem("jobs", "later"), 1);
      assert.equal(await client.bzpopmin("jobs", 0.05), null);
    });

    test("sliding window: a sorted set of moments in one transaction", async (t) => {
      const client = await ioredis(t);
      const now = 1_000_000;
      const allowed = [];
      for (const at of [now, now + 100, now + 200, now + 1050]) {
        const [, [, inside]] = await client.multi().zremrangebyscore("window", 0, at - 1000).zcard("window").exec();
        allowed.push(inside < 3);
        if (inside < 3) await client.zadd("window", at, `request ${at}`);
      }
      assert.deepEqual(allowed, [true, true, true, true]);
      assert.equal(await client.zcard("window"), 3);
    });

    test("dashboards: publish, subscribe, patterns", async (t) => {
      const publisher = await ioredis(t);
      const subscriber = await ioredis(t);
      assert.equal(await subscriber.subscribe("rooms", "orders"), 2);
      assert.equal(await subscriber.psubscribe("floor:*"), 3);
      const message = next(subscriber, "message");
      assert.equal(await publisher.publish("rooms", "101 is clean"), 1);
      assert.deepEqual(await message, ["rooms", "101 is clean"]);
      const matched = next(subscriber, "pmessage");
      assert.equal(await publisher.publish("floor:2", "quiet"), 1);
      assert.deepEqual(await matched, ["floor:*", "floor:2", "quiet"]);
      const binary = next(subscriber, "messageBuffer");
      await publisher.publish("orders", Buffer.from([0, 13, 10, 255]));
      assert.deepEqual((await binary)[1], Buffer.from([0, 13, 10, 255]));
      assert.deepEqual(await publisher.pubsub("NUMSUB", "rooms", "nobody"), ["rooms", 1, "nobody", 0]);
      assert.equal(await publisher.pubsub("NUMPAT"), 1);
      assert.equal(await subscriber.unsubscribe("rooms"), 2);
      assert.equal(await publisher.publish("rooms", "unheard"), 0);
    });

    test("sharded pub/sub", async (t) => {
      const publisher = await ioredis(t);
      const subscriber = await ioredis(t);
      await subscriber.ssubscribe("kitchen");
      const message = next(subscriber, "smessage");
      assert.equal(await publisher.spublish("kitchen", "two coffees"), 1);
      assert.deepEqual(await message, ["kitchen", "two coffees"]);
    });

    test("sessions: hashes with a time to live", async (t) => {
      const client = await ioredis(t);
      assert.equal(await client.hset("session:1", { guest: "Ada", room: "101" }), 2);
      assert.equal(await client.expire("session:1", 1800), 1);
      assert.deepEqual(await client.hgetall("session:1"), { guest: "Ada", room: "101" });
      assert.deepEqual(await client.hmget("session:1", "room", "nothing"), ["101", null]);
      assert.equal(await client.hincrby("session:1", "visits", 2), 2);
      assert.equal(await client.hincrbyfloat("session:1", "bill", 10.5), "10.5");
      assert.ok((await client.pttl("session:1")) > 1_790_000);
      assert.deepEqual(await client.hgetall("session:2"), {});
      assert.equal(await client.persist("session:1"), 1);
      assert.equal(await client.ttl("session:1"), -1);
    });

    test("deduplication: sets and SET NX with a time to live", async (t) => {
      const client = await ioredis(t);
      assert.equal(await client.sadd("seen", "m1", "m2"), 2);
      assert.equal(await client.sadd("seen", "m1"), 0);
      assert.deepEqual(await client.smismember("seen", "m1", "m3"), [1, 0]);
      assert.equal(await client.expire("seen", 600), 1);
      assert.equal(await client.set("once:m1", "1", "EX", 60, "NX"), "OK");
      assert.equal(await client.set("once:m1", "1", "EX", 60, "NX"), null);
    });

    test("cached answers: SET EX, GET, binary values, expiry", async (t) => {
      const client = await ioredis(t);
      const page = Buffer.from(Array.from({ length: 70_000 }, (_, at) => at % 256));
      assert.equal(await client.set("page", page, "EX", 30), "OK");
      assert.deepEqual(await client.getBuffer("page"), page);
      assert.equal(await client.get("no page"), null);
      await client.set("short", "x", "PX", 20);
      await until(async () => (await client.get("short")) === null);
      assert.equal(await client.getex("page", "PERSIST").then((value) => value.length > 0), true);
      assert.equal(await client.ttl("page"), -1);
    });

    test("pipelines: many replies in order, errors in their place", async (t) => {
      const client = await ioredis(t);
      const pipeline = client.pipeline();
      for (let at = 0; at < 2000; at += 1) pipeline.set(`k${at}`, at).get(`k${at}`);
      pipeline.lpush("k0", "wrong type");
      const replies = await pipeline.exec();
      assert.equal(replies.length, 4001);
      assert.deepEqual(replies[3999], [null, "1999"]);
      assert.match(replies[4000][0].message, /^WRONGTYPE Operation against a key/);
    });

    test("MULTI: queueing, errors, DISCARD, WATCH", async (t) => {
      const client = await ioredis(t);
      const other = await ioredis(t);
      assert.deepEqual(await client.multi().set("a", 1).incr("a").get("a").exec(), [[null, "OK"], [null, 2], [null, "2"]]);
      const [[, ok], [failure]] = await client.multi().set("text", "x").incr("text").exec();
      assert.equal(ok, "OK");
      assert.match(failure.message, /not an integer/);
      await client.watch("a");
      await other.set("a", 5);
      assert.equal(await client.multi().set("a", 6).exec(), null, "the watched key has changed");
      assert.equal(await client.get("a"), "5");
      await client.multi({ pipeline: false });
      assert.equal(await client.set("a", 7), "QUEUED");
      assert.equal(await client.discard(), "OK");
      assert.equal(await client.get("a"), "5");
      await client.multi({ pipeline: false });
      await assert.rejects(client.call("nosuchcommand"), /unknown command/);
      await assert.rejects(client.exec(), /EXECABORT/);
    });

    test("scan streams return everything once or more", async (t) => {
      const client = await ioredis(t);
      const pipeline = client.pipeline();
      for (let at = 0; at < 1000; at += 1) {
        pipeline.set(`scan:${at}`, at).hset("hash", `f${at}`, at).sadd("set", `m${at}`).zadd("zset", at, `z${at}`);
      }
      await pipeline.exec();
      const collect = async (stream) => {
        const found = [];
        for await (const part of stream) found.push(...part);
        return found;
      };
      assert.equal(new Set(await collect(client.scanStream({ match: "scan:*", count: 100 }))).size, 1000);
      assert.equal(new Set(await collect(client.scanStream({ type: "hash" }))).size, 1);
      assert.equal(new Set((await collect(client.hscanStream("hash"))).filter((_, at) => at % 2 === 0)).size, 1000);
      assert.equal(new Set(await collect(client.sscanStream("set", { count: 50 }))).size, 1000);
      assert.equal(new Set((await collect(client.zscanStream("zset"))).filter((_, at) => at % 2 === 0)).size, 1000);
    });

    test("blocking commands: earlier replies of the pipeline arrive before the wait", async (t) => {
      const client = await ioredis(t);
      const other = await ioredis(t);
      const first = client.set("before", 1);
      const blocked = client.blpop("nothing yet", 5);
      assert.equal(await first, "OK");
      const after = client.get("before");
      await other.lpush("nothing yet", "now");
      assert.deepEqual(await blocked, ["nothing yet", "now"]);
      assert.equal(await after, "1");
      const moved = client.blmpop(5, 2, "empty", "full", "LEFT", "COUNT", 2);
      await other.rpush("full", 1, 2, 3);
      assert.deepEqual(await moved, ["full", ["1", "2"]]);
    });

    test("reconnect: a cut connection comes back, subscriptions too", async (t) => {
      const admin = await ioredis(t);
      const client = await ioredis(t, { retryStrategy: () => 5 });
      const subscriber = await ioredis(t, { retryStrategy: () => 5, connectionName: "dashboard" });
      client.on("error", () => {});
      subscriber.on("error", () => {});
      await subscriber.subscribe("rooms");
      const id = await client.client("ID");
      const cut = next(client, "close");
      assert.equal(await admin.client("KILL", "ID", id), 1);
      await cut;
      assert.equal(await client.set("after", "reconnect"), "OK");
      const gone = next(subscriber, "close");
      assert.ok((await admin.client("KILL", "TYPE", "pubsub")) >= 1);
      await gone;
      await until(async () => (await admin.pubsub("NUMSUB", "rooms"))[1] === 1);
      const message = next(subscriber, "message");
      await admin.publish("rooms", "again");
      assert.deepEqual(await message, ["rooms", "again"]);
    });

    test("a command that fails says what Redis says", async (t) => {
      const client = await ioredis(t);
      await client.set("text", "x");
      await assert.rejects(client.incr("text"), { message: "ERR value is not an integer or out of range" });
      await assert.rejects(client.call("GET"), { message: "ERR wrong number of arguments for 'get' command" });
      await assert.rejects(client.evalsha("0".repeat(40), 0), { message: /^NOSCRIPT / });
      await assert.rejects(client.select(99), { message: "ERR DB index is out of range" });
    });

    test("a prefix stands before every key, and automatic pipelines keep replies apart", async (t) => {
      const plain = await ioredis(t);
      const client = await ioredis(t, { keyPrefix: "hotel:", enableAutoPipelining: true });
      const settled = await Promise.allSettled([client.set("room", 101), client.incr("room"), client.lpush("room", "x"), client.get("room")]);
      assert.deepEqual(settled.map(({ value, reason }) => value ?? reason.message), [
        "OK",
        102,
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "102",
      ]);
      await client.xadd("guests", "1-1", "name", "Ada");
      await client.xgroup("CREATE", "guests", "desk", "0");
      assert.deepEqual(await client.xreadgroup("GROUP", "desk", "one", "STREAMS", "guests", ">"), [
        ["hotel:guests", [["1-1", ["name", "Ada"]]]],
      ]);
      await client.zadd("floors", 1, "a");
      assert.equal(await client.zunionstore("all", 2, "floors", "none"), 1);
      assert.deepEqual((await plain.keys("*")).sort(), ["hotel:all", "hotel:floors", "hotel:guests", "hotel:room"]);
    });

    test("who waits can be freed, and takes nothing afterwards", async (t) => {
      const admin = await ioredis(t);
      const worker = await ioredis(t);
      const id = await worker.client("ID");
      const waits = () => until(async () => new RegExp(`id=${id} .*cmd=blpop`).test(await admin.client("LIST")));
      const refused = assert.rejects(worker.blpop("mail", 0), { message: /^UNBLOCKED client unblocked via CLIENT UNBLOCK/ });
      await waits();
      assert.equal(await admin.client("UNBLOCK", id, "ERROR"), 1);
      await refused;
      const nothing = worker.blpop("mail", 0);
      await waits();
      assert.equal(await admin.client("UNBLOCK", id), 1);
      assert.equal(await nothing, null);
      assert.equal(await admin.client("UNBLOCK", id), 0);
      assert.equal(await admin.lpush("mail", "booking"), 1);
      assert.equal(await admin.llen("mail"), 1);
      await assert.rejects(worker.blpop("mail", -1), { message: "ERR timeout is negative" });
      await assert.rejects(worker.blpop("mail", "soon"), { message: "ERR timeout is not a float or out of range" });
    });

    test("MONITOR shows what runs, inside scripts and transactions too", async (t) => {
      const client = await ioredis(t);
      const monitor = await client.monitor();
      t.after(() => monitor.disconnect());
      const seen = [];
      monitor.on("monitor", (_time, words, source) => seen.push([source === "lua", ...words]));
      await client.set("quoted", '"a"');
      await client.eval("return redis.call('GET', KEYS[1])", 1, "quoted");
      await client.multi().incr("count").exec();
      await until(() => seen.some(([, command]) => command === "exec"));
      assert.deepEqual(seen, [
        [false, "set", "quoted", '"a"'],
        [false, "eval", "return redis.call('GET', KEYS[1])", "1", "quoted"],
        [true, "GET", "quoted"],
        [false, "multi"],
        [false, "incr", "count"],
        [false, "exec"],
      ]);
    });

    test("a user with few rights is refused what it may not, and a wrong password altogether", async (t) => {
      const admin = await ioredis(t);
      await admin.acl("SETUSER", "porter", "on", ">secret", "~bags:*", "&bags", "+@all", "-@dangerous", "+info");
      const porter = await ioredis(t, { username: "porter", password: "secret" });
      assert.equal(await porter.acl("WHOAMI"), "porter");
      assert.equal(await porter.set("bags:1", "blue"), "OK");
      await assert.rejects(porter.get("safe"), { message: /^NOPERM / });
      await assert.rejects(porter.keys("*"), { message: /^NOPERM .* 'keys' command/ });
      await assert.rejects(porter.publish("rooms", "x"), { message: /^NOPERM / });
      await assert.rejects(porter.eval("return redis.call('GET', 'safe')", 0), { message: /^ERR The user executing the script/ });
      await assert.rejects(porter.multi().set("bags:2", 1).set("safe", 1).exec(), { message: /^EXECABORT / });
      assert.equal(await porter.exists("bags:2"), 0);
      const stranger = new Redis(url, { protocol, username: "porter", password: "wrong", lazyConnect: true, retryStrategy: null });
      t.after(() => stranger.disconnect());
      stranger.on("error", () => {});
      await assert.rejects(stranger.connect().then(() => stranger.get("bags:1")));
      assert.equal(await admin.acl("DELUSER", "porter"), 1);
    });
  });
}
