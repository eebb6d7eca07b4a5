"""The supervisor and the broker with the real cluster, whose processes are killed one by one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings
from django.db import connection
from django_q.models import OrmQ
from django_q.tasks import async_task, result

from sync.models import WorkerBeat
from tests.sync.processes import living, processes, wait_until


@dataclass
class Cluster:
    main: int
    sentinel: int
    workers: list[int]
    monitor: int
    pusher: int

    def everybody(self) -> list[int]:
        return [self.main, self.sentinel, *self.workers, self.monitor, self.pusher]


@dataclass
class Live:
    process: "subprocess.Popen[bytes]"
    log_file: Path

    def log(self) -> str:
        return self.log_file.read_text()

    def cluster(self, *, after: Cluster | None = None) -> Cluster:
        """The complete cluster, started later than the one given; processes are known by the order of their start."""
        wait_until(lambda: self._complete(after) or self.process.poll(), "a complete cluster", 90, self.log)
        cluster = self._complete(after)
        assert cluster, self.log()
        return cluster

    def _complete(self, after: Cluster | None) -> Cluster | None:
        parents = processes()

        def children(parent: int) -> list[int]:
            return sorted(pid for pid in parents if parents[pid] == parent)

        for main in children(self.process.pid):
            for sentinel in children(main):
                rest = children(sentinel)
                if len(rest) == 4 and (after is None or main != after.main):
                    return Cluster(main, sentinel, rest[:2], *rest[2:])
        return None

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(10) == 0, self.log()


@contextmanager
def live_supervisor(tmp_path: Path, *, timeout: int) -> Iterator[Live]:
    """`manage.py qcluster` with the project's settings, but for the time-out of a task, on the test database."""
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "live_settings.py").write_text(
        f"from config.settings import *\nQ_CLUSTER = {{**Q_CLUSTER, 'timeout': {timeout}}}\n"
    )
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "SECRET_KEY": settings.SECRET_KEY,
        "DJANGO_SETTINGS_MODULE": "live_settings",
        "PYTHONPATH": str(tmp_path),
    }
    log_file = tmp_path / "cluster.log"
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster"]
    with (
        log_file.open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield Live(process, log_file)
        finally:
            process.kill()


def database_url() -> str:
    """Host and port go into the query: there a socket directory is as good as a name."""
    database: dict[str, Any] = connection.settings_dict
    server = {"host": database["HOST"], "port": database["PORT"]} | database["OPTIONS"]
    account = ":".join(quote(part, safe="") for part in (database["USER"], database["PASSWORD"]) if part)
    query = urlencode({name: server[name] for name in ("host", "port") if server.get(name)})
    return f"postgresql://{account}@/{quote(database['NAME'])}?{query}"


def runs_tasks() -> bool:
    task = async_task("os.getpid", q_options={"save": True})
    return result(task, wait=8000) is not None


@pytest.mark.live
@pytest.mark.django_db(transaction=True)
@pytest.mark.thorough
def test_whatever_process_is_killed_later_tasks_run_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with live_supervisor(tmp_path, timeout=60) as live:
        cluster = live.cluster()
        assert runs_tasks(), live.log()
        seen = cluster.everybody()
        for victim in ("worker", "monitor", "pusher", "sentinel", "main"):
            os.kill(cluster.workers[0] if victim == "worker" else getattr(cluster, victim), signal.SIGKILL)
            before, cluster = cluster, live.cluster(after=cluster)
            assert runs_tasks(), f"after the {victim} was killed:\n{live.log()}"
            assert not living(*before.everybody()), victim
            seen += cluster.everybody()
        assert WorkerBeat.objects.filter(pid=live.process.pid).exists()
        live.stop()
        assert not living(*seen)
    assert not WorkerBeat.objects.exists()
    assert not OrmQ.objects.exists()


@pytest.mark.thorough
@pytest.mark.live
@pytest.mark.django_db(transaction=True)
def test_of_two_clusters_the_hanging_one_is_replaced_the_busy_one_kept_and_none_outlives_its_supervisor(
    tmp_path: Path,
) -> None:
    one_second = 1  # for a task, so seven without a sign of life are too many
    with (
        live_supervisor(tmp_path / "here", timeout=one_second) as here,
        live_supervisor(tmp_path / "there", timeout=one_second) as there,
    ):
        busy, hanging = here.cluster(), there.cluster()
        for worker in hanging.workers:
            os.kill(worker, signal.SIGSTOP)
        for _ in range(90):
            async_task("time.sleep", 0.9)
        replaced = there.cluster(after=hanging)
        assert OrmQ.objects.count() > 6, "the busy cluster had run out of work"
        assert here.cluster() == busy, here.log()
        here.process.kill()
        there.process.kill()
        everybody = [pid for cluster in (busy, hanging, replaced) for pid in cluster.everybody()]
        wait_until(lambda: not living(*everybody), "the end of the clusters", seconds=15)
