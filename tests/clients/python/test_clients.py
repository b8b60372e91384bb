"""redis-py, rq and celery against the server that INNKEEP_TEST_URL names."""

import asyncio
import os
import subprocess
import sys
import threading
import time
import unittest

import redis
import redis.asyncio
from celery import chord, group
from redis.exceptions import LockError, LockNotOwnedError, NoScriptError, ResponseError, WatchError
from rq import Queue, Retry, Worker
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry, StartedJobRegistry

import tasks

URL = os.environ.get("INNKEEP_TEST_URL", "redis://127.0.0.1:6379/")


def until(check, seconds=20):
    """Polls for a state that no event announces."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return
        time.sleep(0.01)
    raise AssertionError("the state was not reached in time")


class Clients(unittest.TestCase):
    def setUp(self):
        self.opened = []
        client = self.client()
        client.flushall()
        client.script_flush()

    def tearDown(self):
        for client in self.opened:
            client.close()

    def client(self, **options):
        client = redis.Redis.from_url(URL, decode_responses=True, **options)
        self.opened.append(client)
        return client

    def clients(self):
        for protocol in (2, 3):
            with self.subTest(protocol=protocol):
                client = self.client(protocol=protocol)
                client.flushall()
                yield client


class RedisPy(Clients):
    def test_a_lock_has_one_owner(self):
        for client in self.clients():
            lock = client.lock("room", timeout=60, thread_local=False)
            other = client.lock("room", timeout=60, blocking=False)
            self.assertTrue(lock.acquire())
            self.assertFalse(other.acquire())
            self.assertTrue(lock.locked() and lock.owned() and not other.owned())
            lock.extend(30)
            self.assertGreater(client.pttl("room"), 60_000)
            lock.extend(30, replace_ttl=True)
            self.assertLessEqual(client.pttl("room"), 30_000)
            lock.reacquire()
            self.assertGreater(client.pttl("room"), 30_000)
            client.set("room", "stolen")
            for operation in (lock.release, lock.reacquire, lambda: lock.extend(1)):
                self.assertRaises(LockError, operation)
            client.delete("room")
            with client.lock("room", timeout=60):
                self.assertRaises(LockError, client.lock("room", blocking_timeout=0.02, sleep=0.01).__enter__)
            self.assertRaises(LockError, lock.release)
            self.assertTrue(issubclass(LockNotOwnedError, LockError))

    def test_a_lock_keeps_threads_apart(self):
        client = self.client()
        inside, most = [0], [0]

        def visit():
            with client.lock("desk", timeout=20, sleep=0.002):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                client.ping()
                inside[0] -= 1

        threads = [threading.Thread(target=visit) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        self.assertEqual(most[0], 1)

    def test_scripts_and_functions(self):
        for client in self.clients():
            client.script_flush()
            script = client.register_script("return {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}")
            self.assertEqual(script(keys=["n"], args=["x"]), ["n", "x", 1])
            client.script_flush()
            self.assertEqual(script(keys=["n"], args=["x"]), ["n", "x", 2])
            self.assertEqual(client.script_exists(script.sha, "0" * 40), [True, False])
            self.assertRaises(NoScriptError, client.evalsha, "0" * 40, 0)
            with self.assertRaisesRegex(ResponseError, "user_script:1: on purpose"):
                client.eval("error('on purpose')", 0)
            pipeline = client.pipeline()
            client.script_flush()
            script(keys=["n"], args=["y"], client=pipeline)
            pipeline.get("n")
            self.assertEqual(pipeline.execute(), [["n", "y", 3], "3"])
            self.assertEqual(client.eval_ro("return redis.call('GET', KEYS[1])", 1, "n"), "3")
            code = "#!lua name=hotel \n redis.register_function('twice', function(keys, args) return args[1] * 2 end)"
            self.assertEqual(client.function_load(code, replace=True), "hotel")
            self.assertEqual(client.fcall("twice", 0, 21), 42)
            self.assertEqual(len(client.function_list("hotel")), 1)
            client.function_delete("hotel")

    def test_pipelines_and_watch(self):
        for client in self.clients():
            with client.pipeline() as pipeline:
                pipeline.set("a", 1).incr("a").hset("h", mapping={"x": 1}).zadd("z", {"m": 1.5})
                pipeline.zrange("z", 0, -1, withscores=True)
                self.assertEqual(pipeline.execute()[:4], [True, 2, 1, 1])
            with client.pipeline() as pipeline:
                pipeline.watch("a")
                client.set("a", 5)
                pipeline.multi()
                pipeline.set("a", 6)
                self.assertRaises(WatchError, pipeline.execute)
            self.assertEqual(client.transaction(lambda pipe: pipe.get("a"), "a"), [])
            pipeline = client.pipeline(transaction=False)
            pipeline.lpush("a", 1).get("a")
            error, value = pipeline.execute(raise_on_error=False)
            self.assertIsInstance(error, ResponseError)
            self.assertEqual(value, "5")

    def test_publish_and_subscribe(self):
        for client in self.clients():
            with client.pubsub() as pubsub:
                pubsub.subscribe("rooms")
                pubsub.psubscribe("floor:*")
                until(lambda: client.pubsub_numpat() == 1 and client.pubsub_numsub("rooms") == [("rooms", 1)])
                client.publish("rooms", "clean")
                client.publish("floor:2", "quiet")
                heard = []
                until(lambda: heard.append(pubsub.get_message(timeout=5)) or len(heard) == 4)
                self.assertEqual([message["type"] for message in heard], ["subscribe", "psubscribe", "message", "pmessage"])
                self.assertEqual([message["data"] for message in heard[2:]], ["clean", "quiet"])

    def test_streams_and_blocking(self):
        for client in self.clients():
            first = client.xadd("s", {"a": 1})
            client.xgroup_create("s", "g", 0)
            self.assertTrue(client.xreadgroup("g", "me", {"s": ">"}, count=1))
            self.assertEqual(client.xpending("s", "g")["pending"], 1)
            self.assertEqual(client.xautoclaim("s", "g", "you", 0)[1][0][0], first)
            self.assertEqual(client.xack("s", "g", first), 1)
            client.rpush("l", 1)
            self.assertEqual(list(client.blpop(["l", "m"], 1)), ["l", "1"])
            self.assertEqual(len(list(client.scan_iter("*", count=10))), 1)

    def test_asyncio(self):
        async def run(protocol):
            client = redis.asyncio.Redis.from_url(URL, decode_responses=True, protocol=protocol)
            async with client.lock("desk", timeout=20):
                self.assertEqual(await client.eval("return ARGV[1]", 0, "x"), "x")
            numbers = await asyncio.gather(*(client.incr("n") for _ in range(50)))
            self.assertEqual(sorted(numbers), list(range(1, 51)))
            waiting = asyncio.create_task(client.blpop("later", 10))
            await client.rpush("later", "now")
            self.assertEqual(list(await waiting), ["later", "now"])
            await client.delete("n")
            await client.aclose()

        for protocol in (2, 3):
            asyncio.run(run(protocol))


class Rq(Clients):
    def setUp(self):
        super().setUp()
        self.connection = redis.Redis.from_url(URL)
        self.opened.append(self.connection)
        self.queue = Queue("mail", connection=self.connection)

    def work(self, **options):
        """A worker that forks for each job, until nothing is left."""
        Worker([self.queue], connection=self.connection).work(burst=True, logging_level="CRITICAL", **options)

    def test_jobs_and_their_results(self):
        jobs = self.queue.enqueue_many([Queue.prepare_data(tasks.add, (at, 1)) for at in range(5)])
        last = self.queue.enqueue(tasks.add, 1, 1, depends_on=jobs)
        self.assertEqual(last.get_status(), "deferred")
        self.work()
        self.assertEqual([job.return_value(refresh=True) for job in jobs], [1, 2, 3, 4, 5])
        self.assertEqual(last.return_value(refresh=True), 2)
        self.assertEqual(len(FinishedJobRegistry(queue=self.queue)), 6)
        self.assertEqual(self.queue.count, 0)

    def test_failures_retries_and_priorities(self):
        failed = self.queue.enqueue(tasks.fail, retry=Retry(max=1))
        first = self.queue.enqueue(tasks.add, 1, 2, at_front=True)
        self.assertEqual(self.queue.job_ids, [first.id, failed.id])
        self.work()
        self.assertEqual(failed.get_status(), "failed")
        self.assertIn("no such room", failed.latest_result().exc_string)
        registry = FailedJobRegistry(queue=self.queue)
        self.assertEqual(registry.get_job_ids(), [failed.id])
        registry.requeue(failed)
        self.assertEqual(self.queue.job_ids, [failed.id])
        self.assertEqual(self.queue.empty(), 1)

    def test_a_job_whose_process_is_killed_fails(self):
        job = self.queue.enqueue(tasks.die)
        self.work()
        self.assertEqual(job.get_status(), "failed")
        self.assertEqual(len(StartedJobRegistry(queue=self.queue)), 0)
        self.assertEqual(Worker.all(connection=self.connection), [])

    def test_scheduled_and_cancelled_jobs(self):
        from datetime import timedelta

        later = self.queue.enqueue_in(timedelta(hours=1), tasks.add, 1, 2)
        self.assertIn(later.id, ScheduledJobRegistry(queue=self.queue))
        cancelled = self.queue.enqueue(tasks.add, 1, 2)
        cancelled.cancel()
        self.assertTrue(cancelled.is_canceled)
        self.assertEqual(Job.fetch(later.id, connection=self.connection).get_status(), "scheduled")
        unique = self.queue.enqueue(tasks.add, 2, 2, job_id="booking", result_ttl=60)
        self.work()
        self.assertEqual(unique.return_value(refresh=True), 4)


class Celery(Clients):
    def test_tasks_groups_chords_and_retries(self):
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool=threads", "--concurrency=2", "--loglevel=CRITICAL"],
            cwd=os.path.dirname(os.path.abspath(__file__)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            self.assertEqual(tasks.celery_add.delay(2, 3).get(timeout=30), 5)
            many = group(tasks.celery_add.s(at, at) for at in range(10))
            self.assertEqual(many.delay().get(timeout=30), [at * 2 for at in range(10)])
            self.assertEqual(chord(many)(tasks.celery_sum.s()).get(timeout=30), 90)
            self.assertEqual(tasks.celery_stubborn.delay().get(timeout=30), 2)
            self.assertEqual((tasks.celery_add.s(1, 1) | tasks.celery_add.s(10)).delay().get(timeout=30), 12)
        finally:
            worker.kill()
            worker.wait()


if __name__ == "__main__":
    unittest.main()
