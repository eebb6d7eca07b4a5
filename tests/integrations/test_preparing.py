"""Setting an account up is done by one at a time, whoever asks for it."""

import threading
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection as database

from integrations import errors, tenancy
from integrations.connecting import prepare
from integrations.models import CrmConnection
from integrations.preparing import alone
from tests.fake_crm.provider import Provider


@pytest.mark.django_db(transaction=True)
def test_two_who_set_an_account_up_at_once_take_turns(
    connection: CrmConnection, fake_crm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: list[str] = []

    def create_what_is_missing(_provider: Provider) -> Mapping[str, Any]:
        missing = "Company" not in fields
        time.sleep(0.2)
        if missing:
            fields.append("Company")
        return {}

    monkeypatch.setattr(Provider, "prepare", create_what_is_missing)

    def one() -> None:
        with tenancy.scope(connection.tenant_id):
            prepare(CrmConnection.objects.get(pk=connection.pk))
        database.close()

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert fields == ["Company"]


@pytest.mark.django_db(transaction=True)
def test_who_waits_too_long_is_told_and_the_lock_is_free_again_afterwards() -> None:
    key, told = uuid4(), []

    def other() -> None:
        try:
            with alone(key, longest_wait=0.1):
                told.append("in")
        except errors.Retry as error:
            told.append(error.message)
        database.close()

    with alone(key):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
    assert "Somebody else" in told[0]
    with pytest.raises(RuntimeError), alone(key):
        raise RuntimeError
    other()
    assert told[1:] == ["in"]
