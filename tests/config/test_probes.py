"""Health that tells the truth: who is asked says what is wrong, and gets well by itself."""

import json
import shutil
from collections import namedtuple
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection as database
from django.db.utils import ConnectionHandler
from django.test import Client
from django.utils import timezone

from config import embedded_postgres, readiness
from sync.models import WorkerBeat
from tests.sync.processes import wait_until

Disk = namedtuple("Disk", ["total", "used", "free"])


def beat(kind: str, host: str, ago: timedelta = timedelta(0)) -> None:
    WorkerBeat.objects.create(id=f"{host}:{kind}", kind=kind, beaten_at=timezone.now() - ago, host=host, pid=1)


def health(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = 0
    try:
        call_command("check_health", "--json", *arguments)
    except SystemExit as end:
        code = int(str(end.code))
    return code, json.loads(capsys.readouterr().out)


def test_a_nearly_full_disk_of_the_embedded_database_makes_the_site_unready(
    db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATABASE_KEEPER = "config.keeping.database"
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Disk(10**12, 10**12 - 10**8, 10**8))
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert "nearly full: 95 MB" in answer.json()["problem"]
    settings.DATABASE_KEEPER = ""
    assert Client().get("/readyz").status_code == 200


def test_a_used_up_pool_makes_the_site_unready_without_joining_the_queue(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pool:
        def get_stats(self) -> dict[str, int]:
            return {"pool_size": 8, "pool_max": 8, "pool_available": 0, "requests_waiting": 3}

    monkeypatch.setattr(readiness, "_pool", Pool)
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert "connections of this process are in use" in answer.json()["problem"]


def test_health_is_good_while_workers_give_signs_of_life(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    beat("worker", "a")
    code, told = health(capsys)
    assert (code, told["ok"]) == (0, True)
    assert told["problems"] == {"database": [], "disk": [], "workers": [], "listeners": []}


def test_health_is_bad_without_workers_and_says_what_to_do(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    beat("worker", "a", timedelta(minutes=5))
    code, told = health(capsys)
    assert code == 1
    assert "manage.py qcluster" in told["problems"]["workers"][0]


def test_a_container_can_ask_for_its_own_workers_alone(
    db: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    beat("worker", "elsewhere")
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    assert health(capsys, "--only", "workers")[0] == 0
    assert health(capsys, "--only", "workers", "--here")[0] == 1


# --- a database that is restarted ---------------------------------------------------------------------------------------


def pooled(cluster: embedded_postgres.Cluster) -> Any:
    """A connection as the web has it, to the given cluster."""
    ours = deepcopy(database.settings_dict)
    ours |= {"NAME": "postgres", "HOST": str(cluster.socket_dir), "PORT": str(cluster.port), "USER": "postgres"}
    ours |= {"PASSWORD": "", "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}
    ours["OPTIONS"] = {"pool": {"min_size": 4, "max_size": 8, "timeout": 10}}
    return ConnectionHandler({"default": ours})["default"]


def ask(wrapper: Any) -> None:
    try:
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        wrapper.close()


def test_once_the_database_was_restarted_one_look_mends_all_connections_of_the_web(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any
) -> None:
    """Without it each connection of the pool would fail a request of somebody first."""
    root = tmp_path / "own"
    cluster = embedded_postgres.ensure_running(root)
    wrapper = pooled(cluster)
    monkeypatch.setattr(readiness, "connection", wrapper)
    monkeypatch.setattr(readiness, "_migrated", True)
    django_db_blocker.unblock()
    try:
        ask(wrapper)
        assert list(readiness.database()) == []
        wrapper.close()
        embedded_postgres.stop(root)
        assert list(readiness.database()) == [readiness.ANSWERS]
        wrapper.close()
        embedded_postgres.ensure_running(root)
        wait_until(lambda: _is_well(wrapper), "the pool is well again")
        for _ in range(8):
            ask(wrapper)
    finally:
        wrapper.close()
        wrapper.close_pool()
        django_db_blocker.restore()
        embedded_postgres.stop(root)


def _is_well(wrapper: Any) -> bool:
    found = list(readiness.database())
    wrapper.close()
    return not found
