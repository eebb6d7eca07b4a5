"""Real workers take turns: a flood of one tenant's work does not hold another tenant's job up."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection as database

from config.processes import Processes
from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from integrations.sandbox.server import SandboxServer
from sync import queue
from sync.models import Lane, SyncJob
from tests.live.system import database_url

FLOOD, WORKERS, BATCH = 50_000, 2, 50
SECONDS = 90.0
SETTINGS = """
import time
from tests.live.fakecrm_settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "turn_app.apps.Turns"]
"""
APP = f"""
import time
from django.apps import AppConfig

class Turns(AppConfig):
    name = "turn_app"

    def ready(self):
        from sync import handlers
        from sync.handlers import Result
        from sync.queue import Outcome

        class Slow:
            def batch_size(self, provider):
                return {BATCH}

            def work(self, provider, claimed):
                time.sleep(0.1)
                return Result([Outcome(job, "done") for job in claimed.jobs])

        handlers.register("slow", Slow())
"""


FILL = """
INSERT INTO sync_jobs (tenant_id, connection_id, kind, key, payload, lane, state, attempts, cause, error, error_detail)
SELECT %s, %s, 'slow', number::text, '{}', %s, 'ready', 0, '', '', '' FROM generate_series(1, %s) number
"""


def fill(row: CrmConnection, count: int, lane: Lane) -> None:
    with database.cursor() as cursor:
        cursor.execute(FILL, [row.tenant_id, row.pk, int(lane), count])
    queue.wake(row.pk)


def wait_for(condition: Any, what: str) -> float:
    started = time.monotonic()
    while time.monotonic() - started < SECONDS:
        if condition():
            return time.monotonic() - started
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen in {SECONDS:.0f} s")


@pytest.mark.thorough
@pytest.mark.live
@pytest.mark.django_db(transaction=True)
def test_two_workers_do_a_job_in_the_middle_of_another_tenants_50_000(
    tmp_path: Path, connection: CrmConnection, stranger: Tenant, fake_crm: SandboxServer
) -> None:
    (tmp_path / "turn_app").mkdir()
    (tmp_path / "turn_app" / "__init__.py").touch()
    (tmp_path / "turn_app" / "apps.py").write_text(APP)
    (tmp_path / "turn_settings.py").write_text(SETTINGS)
    env = {
        "DATABASE_URL": database_url(), "DEBUG": "true", "WORKERS": str(WORKERS),
        "DJANGO_SETTINGS_MODULE": "turn_settings", "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path.cwd())]),
    }  # fmt: skip
    with tenancy.everyone():
        other = CrmConnection.objects.create(tenant=stranger, provider="fakecrm", access_token="x", account_id="2")
        fill(connection, FLOOD, Lane.CALLS)
        with Processes(env, tmp_path / "logs") as processes:
            processes.start_worker()
            done = SyncJob.objects.filter(connection=connection, state="done")
            wait_for(lambda: done.count() >= 4 * BATCH, processes.last_words("worker") or "the flood's first batches")
            before = done.count()
            fill(other, 1, Lane.BACKFILL)
            wait_for(lambda: SyncJob.objects.filter(connection=other, state="done").exists(), "the other tenant's job")
            passed = (done.count() - before) / BATCH
        assert SyncJob.objects.filter(connection=connection, state="ready").count() > FLOOD / 2
    # Each of the two workers may have begun one turn more, and ended the one that it was at; then the look itself takes its time.
    assert passed <= 3 * WORKERS, f"{passed:.0f} batches of the flood went first"
