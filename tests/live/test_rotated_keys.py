"""Encryption keys are changed while web and worker run, and nobody outside notices."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.fernet import Fernet
from django.db import connection as database

from config.demo.story import Client
from tests.live.system import running_system
from tests.sync.processes import wait_until

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


class Poster(threading.Thread):
    """Posts calls until it is told to stop, and keeps what came of each."""

    def __init__(self, client: Client, contact: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._client, self._contact = client, contact
        self.stop, self.ids, self.errors = threading.Event(), list[str](), list[str]()

    def run(self) -> None:
        while not self.stop.wait(0.2):
            body = {
                "external_id": f"rotating-{time.monotonic_ns()}", "contact_id": self._contact["id"], "direction": "outbound",
                "duration_seconds": 60, "started_at": "2026-01-05T14:00:00Z", "disposition": "Connected",
            }  # fmt: skip
            try:
                self.ids.append(self._client.post_call(body))
            except requests.RequestException as error:
                self.errors.append(repr(error))


def _stored() -> list[str]:
    with database.cursor() as cursor:
        cursor.execute("SELECT access_token FROM crm_credentials WHERE access_token IS NOT NULL")
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.live
@pytest.mark.thorough
@pytest.mark.django_db(transaction=True)
def test_keys_are_rotated_while_calls_are_posted_and_logged(tmp_path: Path) -> None:
    with running_system(tmp_path, FIELD_ENCRYPTION_KEYS=OLD) as system:
        processes, tenant = system.processes, system.tenants[0]
        processes.run("sync_now", tenant.slug, "--json")
        before = _stored()
        processes.stop("web")
        processes.env["FIELD_ENCRYPTION_KEYS"] = f"{NEW},{OLD}"
        port = int(system.web.rsplit(":", 1)[1])
        processes.start_web(port)
        processes.start_worker()
        client = system.client(tenant)
        poster = Poster(client, next(one for one in client.contacts() if one["links"]))
        poster.start()
        wait_until(lambda: len(poster.ids) > 2 or poster.errors, "calls to be posted")
        told = json.loads(processes.run("rotate_keys", "--json"))
        count = len(poster.ids)
        wait_until(lambda: len(poster.ids) > count + 2 or poster.errors, "calls to be posted afterwards")
        poster.stop.set()
        poster.join(30)
        assert poster.errors == []
        assert told["done"]
        assert not set(before) & set(_stored())
        for one in _stored():
            Fernet(NEW).decrypt(one.encode())  # raises unless it is the new key's
        last = poster.ids[-1]
        wait_until(lambda: client.call(last)["syncs"][0]["status"] == "logged", "the last call to be logged", 120)
