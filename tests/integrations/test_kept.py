"""What a process remembers for moments, and work that is done together."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from django.test import Client

from integrations import kept, tenancy
from integrations.kept import Kept
from integrations.keys import revoke
from integrations.lining_up import Line
from integrations.models import ApiKey, Tenant


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(kept, "monotonic", lambda: now[0])
    return now


def test_an_answer_is_remembered_for_a_moment_and_what_is_not_there_is_not(moment: list[float]) -> None:
    asked: list[list[str]] = []

    def find(keys: Sequence[str]) -> dict[str, int]:
        asked.append(list(keys))
        return {key: len(asked) for key in keys if key != "nobody"}

    answers: Kept[str, int] = Kept(find)
    assert (answers.get("a"), answers.get("a"), answers.get("nobody"), answers.get("nobody")) == (1, 1, None, None)
    assert answers.get_all(["a", "b", "c"]) == {"a": 1, "b": 4, "c": 4}
    moment[0] += kept.KEPT_SECONDS
    assert answers.get("a") == 5
    kept.forget()
    assert (answers.get("a"), answers.fresh("a")) == (6, 7)
    assert asked == [["a"], ["nobody"], ["nobody"], ["b", "c"], ["a"], ["a"], ["a"]]


@pytest.mark.django_db
def test_a_key_that_is_revoked_here_is_refused_at_once_and_elsewhere_after_a_moment(
    client: Client, tenant: Tenant, moment: list[float]
) -> None:
    with tenancy.everyone():
        (here, text), (elsewhere, other) = ApiKey.issue(tenant, "here"), ApiKey.issue(tenant, "elsewhere")

    def status(key: str) -> int:
        return client.get("/api/v1/contacts/", headers={"Authorization": f"Bearer {key}"}).status_code

    assert (status(text), status(other)) == (200, 200)
    with tenancy.everyone():
        revoke([here])
    assert (status(text), status(other)) == (401, 200)
    with tenancy.everyone():
        ApiKey.objects.filter(pk=elsewhere.pk).update(revoked_at="2026-01-01T00:00:00Z")
    assert status(other) == 200
    moment[0] += kept.KEPT_SECONDS
    assert status(other) == 401


def test_what_comes_meanwhile_is_done_together_and_a_fault_is_only_its_own() -> None:
    rounds: list[list[int]] = []
    begun, go_on = Event(), Event()

    def work(items: Sequence[int]) -> list[int]:
        rounds.append(sorted(items))
        if len(rounds) == 1:
            begun.set()
            go_on.wait(60)
        if 13 in items:
            raise ValueError("13")
        return [item * 2 for item in items]

    line: Line[int, int] = Line(work)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(line.do, 1)
        assert begun.wait(60)
        others = [pool.submit(line.do, item) for item in (2, 3, 13)]
        while line.waiting < 3:
            go_on.wait(0.01)
        go_on.set()
        assert (first.result(60), others[0].result(60), others[1].result(60)) == (2, 4, 6)
        assert isinstance(others[2].exception(60), ValueError)
    assert rounds[:2] == [[1], [2, 3, 13]]
    assert sorted(rounds[2:]) == [[2], [3], [13]]


def test_however_many_come_each_gets_its_own_answer() -> None:
    line: Line[int, int] = Line(lambda items: [item * 2 for item in items])
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(line.do, range(2000))) == [item * 2 for item in range(2000)]
