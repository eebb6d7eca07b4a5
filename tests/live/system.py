"""The whole system as real processes, on the database of the test."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import requests
from django.db import connection

from config.demo.story import Client, DemoTenant
from config.processes import Processes, free_port, sandbox_env


def database_url() -> str:
    """The test's database as a URL for other processes; `?host=` carries a socket folder."""
    params = connection.get_connection_params()
    query = {key: str(params[key]) for key in ("host", "port") if params.get(key)}
    user = quote(str(params.get("user") or ""), safe="")
    return f"postgresql://{user}@/{quote(params['dbname'], safe='')}?{urlencode(query)}"


@dataclass
class System:
    processes: Processes
    web: str
    tenants: list[DemoTenant]

    def client(self, tenant: DemoTenant) -> Client:
        return Client(self.web, tenant)

    def set_faults(self, faults: list[dict[str, object]]) -> None:
        for tenant in self.tenants:
            requests.put(f"{tenant.sandbox}/_sandbox/faults", json=faults, timeout=10).raise_for_status()


@contextmanager
def running_system(tmp_path: Path, **env: str) -> Iterator[System]:
    """Sandbox and web are up, every CRM is connected and read; the worker is the test's to start and to kill."""
    ours = {"DATABASE_URL": database_url(), "DATA_DIR": str(tmp_path), "DEBUG": "true", **env}
    with Processes(ours, tmp_path / "logs") as processes:
        sandboxes = processes.start_sandbox("--port", "0")
        processes.env.update(sandbox_env(sandboxes))
        for url in sandboxes.values():
            processes.env.update(requests.get(f"{url}/_sandbox/connect", timeout=30).json()["environment"])
        web = processes.start_web(free_port(0))
        made = json.loads(processes.run("seed_demo", "--json", "--sandboxes", json.dumps(sandboxes)))
        tenants = [DemoTenant(one["slug"], one["provider"], one["api_key"], one["sandbox"]) for one in made["tenants"]]
        yield System(processes, web, tenants)
