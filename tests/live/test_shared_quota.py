"""Several processes spend one quota together: all of it, and never more."""

import os
import subprocess
import sys
import time
from typing import Any

import pytest
import requests

from integrations import tenancy
from integrations.connecting import connect
from integrations.models import ApiUsage, Tenant
from integrations.registry import sandbox_class
from tests.fullness import mean_use
from tests.live.system import database_url
from tests.providers.harness import serve

PROCESSES, QUOTA, WINDOW, SECONDS = 4, 100, 10.0, 24.0


@pytest.mark.thorough
@pytest.mark.live
@pytest.mark.django_db(transaction=True)
def test_four_processes_use_the_whole_window_and_never_overdraw_it(tenant: Tenant, settings: Any) -> None:
    server = serve(sandbox_class("hubspot"))
    ours = server.service.environment(server.url)
    for name, value in ours.items():
        setattr(settings, name, value)
    settings.CRM_ALLOWED_HOSTS = [server.url.removeprefix("http://")]
    with tenancy.scope(tenant.pk):
        row, _account = connect(tenant, "hubspot", server.service.credential(server.url))
    time.sleep(WINDOW)  # what connecting asked has left the window
    before = sum(_statuses(server.url).values())
    env = {
        **os.environ, **ours, "DEBUG": "true", "DATABASE_URL": database_url(),
        "CRM_ALLOWED_HOSTS": server.url.removeprefix("http://"),
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.live.spender", str(row.pk), "/crm/v3/owners", str(SECONDS)]
    spenders = [subprocess.Popen(command, env=env) for _ in range(PROCESSES)]
    times: list[float] = []
    while any(one.poll() is None for one in spenders):
        now, count = time.monotonic(), sum(_statuses(server.url).values()) - before
        times += [now] * (count - len(times))
        time.sleep(0.02)
    assert [one.returncode for one in spenders] == [0] * PROCESSES
    with tenancy.everyone():
        throttled = sum(ApiUsage.objects.values_list("throttled", flat=True))
    server.close()
    assert (_refused(server), throttled) == (0, 0), "the CRM refused nothing"
    assert mean_use(times, QUOTA, WINDOW, times[0] + SECONDS) >= 0.95


def _statuses(url: str) -> dict[str, int]:
    counts: dict[str, int] = requests.get(f"{url}/_sandbox/statuses", timeout=10).json()
    return counts


def _refused(server: Any) -> int:
    return int(server.statuses[429])
