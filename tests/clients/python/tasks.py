"""What the workers of the tests run, in processes of their own."""

import os
import signal

from celery import Celery


def add(left, right):
    return left + right


def fail():
    raise ValueError("no such room")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def stop(*_):
    """A callback of a job that failed."""


app = Celery("tasks")
app.conf.broker_url = app.conf.result_backend = os.environ.get("INNKEEP_TEST_URL", "redis://127.0.0.1:6379/")
app.conf.worker_hijack_root_logger = False
app.conf.broker_connection_retry_on_startup = True


@app.task
def celery_add(left, right):
    return left + right


@app.task(bind=True, max_retries=2)
def celery_stubborn(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return self.request.retries


@app.task
def celery_sum(values):
    return sum(values)
