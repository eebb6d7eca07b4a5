"""The cluster's half of its supervision: signs of life, written to a pipe that the supervisor reads.

A django-q2 cluster is a main process, its sentinel, and the sentinel's children: a pusher (queue →
workers), workers and a monitor (results → acknowledgement). They hand work on through shared queues whose
locks a killed process takes to its grave; the replacement that the sentinel forks then waits for ever. So
being alive does not prove that work gets through. Three observations do, and all of them are local: other
machines serve the same queue, and what they do must not pass for our life.

- A worker that starts a task writes a sign, so a busy cluster is a living one.
- An idle cluster gets a probe: the pusher slips a task into its own stream, past the broker, so that no
  other cluster can take it and nothing piles up in the shared queue. When its acknowledgement reaches the
  monitor the whole chain has worked. A new probe goes out only after the last one came back.
- The sentinel, who alone learns how its children end, reports one that was killed by a signal.

The end of the sentinel ends the main process, and that one's end is seen by the supervisor, its parent. If
it is the supervisor who is gone, the main process finds the pipe broken and takes the cluster down: nobody
would guard it, and the next supervisor brings its own.

`WatchedBroker` does all this around the configured broker, whichever that is.
"""

import logging
import multiprocessing
import os
import signal
import time
from multiprocessing.process import BaseProcess
from typing import Any

from django.db import connections
from django.utils import timezone
from django_q.brokers import Broker, get_broker
from django_q.cluster import Cluster
from django_q.signals import pre_execute
from django_q.signing import SignedPackage

from sync.supervisor import ALIVE, BROKEN, KNOCK

logger = logging.getLogger("dialbridge.supervisor")

PROBE_EVERY = 5.0  # seconds
PROBE_ID = "probe"
LEAVE_WITHIN = 30.0  # seconds for tasks in flight once the supervisor is gone

# A worker over its time-out is ended with SIGTERM by the sentinel; every other signal comes from outside or is a crash.
EXPECTED_SIGNALS = {signal.SIGTERM}


def probe() -> None:
    """The task of a probe. It needs nothing, not even the database: only the way to it is tested."""


def run_watched_cluster(pipe: int) -> None:
    """Runs a cluster in this process, which must lead its process group, with its signs of life on `pipe`."""
    os.set_blocking(pipe, False)
    connections.close_all()  # the forks must inherit none
    broker = WatchedBroker(get_broker(), pipe)
    pre_execute.connect(broker.task_started, weak=False)
    cluster = Cluster(broker=broker)
    try:
        _run(cluster, broker)
    except Exception:
        # Ending as usual would wait for the other processes, which go on working with nobody to guard them.
        logger.exception("The main process of the cluster failed: the cluster is started again.")
        os.killpg(0, signal.SIGKILL)


def _run(cluster: Cluster, broker: "WatchedBroker") -> None:
    cluster.start()
    while cluster.sentinel.is_alive():
        if not broker.send(KNOCK):
            leave(cluster)
        cluster.sentinel.join(1)


def leave(cluster: Cluster) -> None:
    """Ends the process group, this process included."""
    logger.error("The supervisor of this cluster is gone: the cluster stops.")
    cluster.stop_event.set()
    cluster.sentinel.join(LEAVE_WITHIN)
    os.killpg(0, signal.SIGKILL)


class WatchedBroker:
    """Made in the main process and inherited by the others through fork."""

    def __init__(self, broker: Broker, pipe: int) -> None:
        self._broker = broker
        self._pipe = pipe
        self._outstanding = multiprocessing.RawValue("b", 0)  # shared by pusher and monitor; no lock to die with
        self._next_probe = 0.0
        self._children: list[BaseProcess] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    # --- in the pusher

    def dequeue(self) -> list[tuple[Any, str]] | None:
        if time.monotonic() >= self._next_probe and not self._outstanding.value:
            self._outstanding.value = 1
            self._next_probe = time.monotonic() + PROBE_EVERY
            return [(PROBE_ID, _probe_package())]
        tasks: list[tuple[Any, str]] | None = self._broker.dequeue()
        return tasks

    def enqueue(self, task: str) -> Any:
        """Only the clock, in the sentinel, sends by this one: nothing would find its tasks again in a queue that forgets."""
        return getattr(self._broker, "lasting", self._broker).enqueue(task)

    # --- in a worker

    def task_started(self, **_signal: Any) -> None:
        self.send(ALIVE)

    # --- in the monitor

    def acknowledge(self, task_id: Any) -> None:
        if task_id == PROBE_ID:
            self._outstanding.value = 0
        else:
            self._broker.acknowledge(task_id)
        self.send(ALIVE)

    # --- in the sentinel

    def set_stat(self, key: str, value: str, timeout: int) -> None:
        """The sentinel saves its state in every round, twice a second, just after it has replaced the dead."""
        self._report_killed_children()
        self._broker.set_stat(key, value, timeout)

    def _report_killed_children(self) -> None:
        for child in self._children:
            if (child.exitcode or 0) < 0 and -(child.exitcode or 0) not in EXPECTED_SIGNALS:
                logger.error("Process %s of the cluster was ended by signal %s.", child.pid, -(child.exitcode or 0))
                self.send(BROKEN)
        self._children = multiprocessing.active_children()

    # --- in each of them

    def send(self, sign: bytes) -> bool:
        """False when nobody holds the other end any more."""
        try:
            os.write(self._pipe, sign)
        except BlockingIOError:
            return True  # full of signs that a slow supervisor has yet to read
        except BrokenPipeError:
            return False
        return True


def _probe_package() -> str:
    task: dict[str, Any] = {
        "id": PROBE_ID,
        "name": PROBE_ID,
        "func": f"{__name__}.{probe.__name__}",
        "args": (),
        "kwargs": {},
        "started": timezone.now(),
        "save": False,
        "ack_failure": True,
    }
    return str(SignedPackage.dumps(task))
