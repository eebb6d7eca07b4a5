import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from integrations import errors
from integrations.connecting import connect
from integrations.models import CrmConnection, Tenant
from integrations.records.events import Change, RemoteEvent, StreamPage
from integrations.registry import PROVIDERS as REGISTERED
from integrations.registry import provider_class, sandbox_class
from integrations.transport.client import COMMAND
from sync import leases, listening
from sync.leases import LeaseLost
from sync.listening import Listener
from sync.models import FeedCursor, InboxEvent, SyncJob, SyncRecord, WorkerBeat
from sync.pull import pull
from tests.fake_crm.events import CHANNEL, FakeStream
from tests.fake_crm.provider import FakeService, Provider
from tests.providers.harness import serve
from tests.sync.processes import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("everyone")]
PROVIDERS = ["fakecrm"]
EVERY, LEASE = 0.05, 1.0


@contextmanager
def listening_(lease: float = LEASE) -> Iterator[Listener]:
    """A listener at work in a thread of its own."""
    listener = Listener(lease=lease, every=EVERY)

    def run() -> None:
        listener.run()
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener
    finally:
        listener.stop()
        thread.join(10)
        assert not thread.is_alive()


def more_connections(first: CrmConnection, count: int) -> None:
    for number in range(count):
        tenant = Tenant.objects.create(slug=f"more-{number}", name="More")
        CrmConnection.objects.create(
            tenant=tenant, provider="fakecrm", auth="key", access_token="access-0", instance_url=first.instance_url,
            account_id=f"more-{number}",
        )  # fmt: skip


def lease_row() -> Any:
    return FeedCursor.objects.filter(feed="stream").first() or FeedCursor(value={}, holder="not taken yet")


def held(owner: str) -> int:
    return FeedCursor.objects.filter(feed="stream", holder=owner).count()


def keys() -> list[str]:
    return list(InboxEvent.objects.order_by("pk").values_list("dedupe_key", flat=True))


def started(service: FakeService) -> None:
    """The first subscription starts with what is new: wait until it stands."""
    wait_until(lambda: FeedCursor.objects.filter(feed=f"stream:{CHANNEL}").exists(), "a position")


def page(*names: str, position: Any = 1, **more: Any) -> StreamPage:
    return StreamPage(CHANNEL, [RemoteEvent(one, Change.UPDATED, "people", ("1",)) for one in names], position, **more)


# --- leases ---------------------------------------------------------------------------------------------------------


def test_a_stream_is_taken_by_one_listener_only(connection: CrmConnection) -> None:
    assert [one.connection_id for one in leases.take("a", PROVIDERS, 10, 60)] == [connection.pk]
    assert leases.take("b", PROVIDERS, 10, 60) == []
    assert leases.renew("a", PROVIDERS, [connection.pk], 60) == {connection.pk}
    assert leases.renew("b", PROVIDERS, [connection.pk], 60) == set()


def test_a_lease_that_ran_out_is_taken_over_and_cannot_be_renewed(connection: CrmConnection) -> None:
    leases.take("a", PROVIDERS, 10, 0.05)
    time.sleep(0.1)
    assert len(leases.take("b", PROVIDERS, 10, 60)) == 1
    assert leases.renew("a", PROVIDERS, [connection.pk], 60) == set()
    leases.release("a", connection.pk, problem="too late")
    assert (lease_row().holder, lease_row().value) == ("b", {})


def test_many_listeners_at_once_never_take_the_same_stream(connection: CrmConnection) -> None:
    more_connections(connection, 19)
    taken: list[Any] = []
    start = threading.Barrier(4)

    def take(owner: str) -> None:
        start.wait(10)
        for _ in range(10):
            taken.extend(one.connection_id for one in leases.take(owner, PROVIDERS, 3, 60))
        connections.close_all()

    threads = [threading.Thread(target=take, args=[str(number)]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(taken) == len(set(taken)) == 20


@pytest.mark.parametrize("status", ["paused", "needs_reconnecting", "disconnected"])
def test_only_working_connections_are_listened_to(connection: CrmConnection, status: str) -> None:
    leases.take("a", PROVIDERS, 10, 60)
    CrmConnection.objects.update(status=status)
    assert leases.renew("a", PROVIDERS, [connection.pk], 60) == set()
    leases.release("a", connection.pk)
    assert leases.take("a", PROVIDERS, 10, 60) == []


def test_connections_of_inactive_tenants_and_of_other_crms_are_left_alone(connection: CrmConnection) -> None:
    assert leases.take("a", ["othercrm"], 10, 60) == []
    Tenant.objects.update(is_active=False)
    assert leases.take("a", PROVIDERS, 10, 60) == []


def test_a_stream_with_a_problem_waits_and_counts_its_failures(connection: CrmConnection) -> None:
    leases.take("a", PROVIDERS, 10, 60)
    leases.release("a", connection.pk, wait=0.2, problem="The CRM said no.")
    assert lease_row().value == {"problem": "The CRM said no.", "failures": 1}
    assert leases.take("b", PROVIDERS, 10, 60) == []
    time.sleep(0.25)
    assert [one.failures for one in leases.take("b", PROVIDERS, 10, 60)] == [1]
    leases.healthy("b", connection.pk)
    assert lease_row().value == {}


def test_streams_are_shared_evenly_and_within_the_limit_of_a_process(connection: CrmConnection) -> None:
    more_connections(connection, 9)
    assert leases.fair_share(PROVIDERS, 1, 100) == 10
    assert leases.fair_share(PROVIDERS, 3, 100) == 4
    assert leases.fair_share(PROVIDERS, 1, 7) == 7


def test_listeners_that_fell_silent_are_not_counted(db: None) -> None:
    assert leases.announce("a", "host", 1, 60) == 1
    assert leases.announce("b", "host", 2, 60) == 2
    time.sleep(2)
    assert leases.announce("b", "host", 2, 1) == 1
    assert set(WorkerBeat.objects.values_list("id", "kind")) == {("a", "listener"), ("b", "listener")}
    leases.retire("a")
    assert WorkerBeat.objects.count() == 1


# --- storing --------------------------------------------------------------------------------------------------------


def test_events_position_and_job_are_stored_together(connection: CrmConnection) -> None:
    leases.take("a", PROVIDERS, 10, 60)
    assert listening.take_page(connection, page("e-1", "e-2", position={"replay": 7}), "a") == 2
    assert keys() == ["e-1", "e-2"]
    assert listening.positions(connection) == {CHANNEL: {"replay": 7}}
    assert list(SyncJob.objects.values_list("kind", "key")) == [("fetch", "people")]
    assert set(InboxEvent.objects.values_list("source", flat=True)) == {"stream"}


def test_a_page_that_cannot_be_stored_whole_is_not_stored_at_all(
    connection: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OperationalError("gone")

    leases.take("a", PROVIDERS, 10, 60)
    monkeypatch.setattr(listening, "_move", fail)
    with pytest.raises(OperationalError):
        listening.take_page(connection, page("e-1"), "a")
    assert not keys()
    assert not SyncJob.objects.exists()


def test_whoever_has_lost_the_lease_stores_nothing(connection: CrmConnection) -> None:
    leases.take("a", PROVIDERS, 10, 0.05)
    time.sleep(0.1)
    leases.take("b", PROVIDERS, 10, 60)
    with pytest.raises(LeaseLost):
        listening.take_page(connection, page("e-1"), "a")
    assert not keys()


def test_the_lease_cannot_change_hands_while_a_page_is_being_stored(connection: CrmConnection) -> None:
    leases.take("a", PROVIDERS, 10, 2.0)
    got: list[Any] = []

    def rival() -> None:
        got.extend(leases.take("b", PROVIDERS, 10, 60))
        connections.close_all()

    with transaction.atomic():
        leases.confirm(connection.pk, "a")
        time.sleep(2.1)
        thread = threading.Thread(target=rival)
        thread.start()
        thread.join(10)
    assert not got
    assert len(leases.take("b", PROVIDERS, 10, 60)) == 1


def test_the_same_page_again_adds_nothing(connection: CrmConnection) -> None:
    leases.take("a", PROVIDERS, 10, 60)
    listening.take_page(connection, page("e-1"), "a")
    assert listening.take_page(connection, page("e-1", "e-2", position=2), "a") == 1
    assert keys() == ["e-1", "e-2"]


def test_what_was_missed_is_pulled_from_the_last_good_moment(connection: CrmConnection) -> None:
    leases.take("a", PROVIDERS, 10, 60)
    listening.take_page(connection, page(position=9, missed=True), "a")
    job = SyncJob.objects.get(kind="pull")
    assert (job.key, job.payload["full"]) == ("people", False)
    assert listening.positions(connection) == {CHANNEL: 9}


# --- listening ------------------------------------------------------------------------------------------------------


def test_changes_arrive_in_order_and_a_new_listener_goes_on_where_the_last_one_stopped(
    connection: CrmConnection, service: FakeService
) -> None:
    with listening_():
        started(service)
        for _ in range(3):
            service.add("people", {"first": "Ann"})
        wait_until(lambda: len(keys()) == 3, "three events")
    service.add("people", {"first": "Bob"})
    assert lease_row().holder == ""
    with listening_() as second:
        wait_until(lambda: len(keys()) == 4, "the event that came meanwhile")
    assert keys() == [f"change-{number}" for number in range(1, 5)]
    assert second.report.events == 1


def test_events_that_the_crm_no_longer_has_lead_to_a_pull(connection: CrmConnection, service: FakeService) -> None:
    with listening_():
        started(service)
    for _ in range(5):
        service.add("people", {})
    service.store.put("retained", "current", {"number": 4})
    with listening_():
        wait_until(lambda: len(keys()) == 2, "the events that are left")
    assert keys() == ["change-4", "change-5"]
    assert SyncJob.objects.filter(kind="pull").count() == 1


def test_two_listeners_share_and_the_one_that_is_left_takes_all(
    connection: CrmConnection, service: FakeService
) -> None:
    more_connections(connection, 5)
    with listening_() as first:
        wait_until(lambda: held(first.owner) == 6, "all of them held by one")
        with listening_() as second:
            wait_until(lambda: (held(first.owner), held(second.owner)) == (3, 3), "an even share")
        wait_until(lambda: held(first.owner) == 6, "all of them again")
    assert held(first.owner) == 0
    assert not WorkerBeat.objects.exists()


def test_a_paused_connection_is_let_go_and_taken_up_again(connection: CrmConnection, service: FakeService) -> None:
    with listening_() as listener:
        wait_until(lambda: held(listener.owner) == 1, "a stream")
        CrmConnection.objects.update(status="paused")
        wait_until(lambda: held(listener.owner) == 0, "it to be let go")
        CrmConnection.objects.update(status="connected")
        wait_until(lambda: held(listener.owner) == 1, "a stream again")


class Failing(FakeStream):
    """Raises what the test says, then streams on."""

    errors: list[Exception] = []

    def pages(self) -> Iterator[StreamPage]:
        if self.errors:
            raise self.errors.pop(0)
        yield from super().pages()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    def open_stream(self: Provider, positions: Mapping[str, Any]) -> Failing:
        return Failing(self.api, positions)

    monkeypatch.setattr(Provider, "open_stream", open_stream)
    return Failing


def broken(listener: Listener) -> Any:
    wait_until(
        lambda: listener.report.broken and lease_row().value and not lease_row().holder, "the stream to break off"
    )
    row = lease_row()
    return row, (row.held_until - row.moved_at).total_seconds()


@pytest.mark.parametrize(
    ("error", "problem", "low", "high"),
    [
        (
            errors.FixConfig("Change events are off. Switch them on."),
            "Change events are off. Switch them on.",
            590,
            610,
        ),
        (errors.Unsupported("There is no stream."), "There is no stream.", 590, 610),
        (errors.Reconnect("Revoked."), "Revoked.", 0.5, 2),
        (errors.Throttled("Too many listeners.", after=60), "Too many listeners.", 59, 61),
        (errors.Retry("The CRM is down."), "The CRM is down.", 0.5, 2),
        (OperationalError("secret host"), listening.DATABASE_AWAY, 0.5, 2),
        (ZeroDivisionError("oops"), listening.OUR_FAULT, 30, 33),
    ],
    ids=["FixConfig", "Unsupported", "Reconnect", "Throttled", "Retry", "database", "our fault"],
)
def test_a_stream_that_breaks_off_says_why_and_waits(
    connection: CrmConnection, failing: type[Failing], monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str,
    low: float, high: float,
) -> None:  # fmt: skip
    monkeypatch.setattr(failing, "errors", [error])
    with listening_() as listener:
        row, wait = broken(listener)
        assert row.value == {"problem": problem, "failures": 1}
        assert low <= wait <= high


def test_each_failure_in_a_row_waits_longer_and_the_first_page_ends_it(
    connection: CrmConnection, failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing, "errors", [errors.Retry("down"), errors.Retry("down"), errors.Retry("down")])
    waits = []
    with listening_() as listener:
        for number in range(1, 4):
            wait_until(lambda count=number: lease_row().value.get("failures") == count, "one more failure")  # type: ignore[misc]
            row = lease_row()
            waits.append((row.held_until - row.moved_at).total_seconds())
            FeedCursor.objects.update(held_until=None)
        wait_until(lambda: listener.report.broken == 3 and lease_row().value == {}, "it to be well again")
    assert waits == sorted(waits)
    assert 3 < waits[-1] < 5


def test_a_stream_that_ends_by_itself_is_opened_again(
    connection: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[FakeStream] = []

    def open_stream(self: Provider, positions: Mapping[str, Any]) -> FakeStream:
        opened.append(FakeStream(self.api, positions))
        if len(opened) == 1:
            opened[0].close()
        return opened[-1]

    monkeypatch.setattr(Provider, "open_stream", open_stream)
    with listening_():
        wait_until(lambda: len(opened) == 2, "the second stream")


def test_a_listener_stops_within_seconds_though_a_stream_hangs(
    connection: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging: list[Any] = []
    over = threading.Event()

    class Hanging(FakeStream):
        """Hangs until the test is over, and so does closing it."""

        def pages(self) -> Iterator[StreamPage]:
            hanging.append(self)
            over.wait(20)
            yield StreamPage()

        def close(self) -> None:
            over.wait(20)

    monkeypatch.setattr(Provider, "open_stream", lambda self, positions: Hanging(self.api, positions))
    with listening_() as listener:
        wait_until(lambda: hanging, "the stream")
        begun = time.monotonic()
        listener.stop()
        wait_until(lambda: not WorkerBeat.objects.exists(), "the end")
        assert time.monotonic() - begun < 15, "it hangs for longer"
    over.set()
    others = [one for one in threading.enumerate() if one.name.startswith(("stream-", "closing"))]
    for thread in others:
        thread.join(10)


def test_streams_hold_no_database_connection_while_they_wait(
    connection: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred long polls must not use up the server's connections."""
    open_then: list[bool] = []
    real = listening.StreamApi._send

    def spy(self: Any, order: Any, credential: Any) -> Any:
        send = self._session.send

        def sending(*args: Any, **more: Any) -> Any:
            open_then.append(connections["default"].connection is not None)
            return send(*args, **more)

        self._session.send = sending
        try:
            return real(self, order, credential)
        finally:
            self._session.send = send

    monkeypatch.setattr(listening.StreamApi, "_send", spy)
    with listening_():
        wait_until(lambda: len(open_then) > 3, "some requests")
    assert not any(open_then)


# --- the real ones --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", [slug for slug in REGISTERED if provider_class(slug).has_stream])
def test_what_somebody_changes_in_a_streaming_crm_reaches_the_contact(tenant: Tenant, settings: Any, slug: str) -> None:
    server = serve(sandbox_class(slug))
    for name, value in server.service.environment(server.url).items():
        setattr(settings, name, value)
    settings.CRM_ALLOWED_HOSTS = [server.url.removeprefix("http://")]
    row, _account = connect(tenant, slug, server.service.credential(server.url))
    kind = provider_class(slug).person_types[0]
    pull(row, kind, COMMAND)
    link = SyncRecord.objects.filter(crm_object_type=kind, local_table="contacts").order_by("crm_record_id").first()
    assert link is not None
    try:
        with listening_(lease=10.0):
            wait_until(lambda: FeedCursor.objects.filter(feed="stream").exclude(holder="").exists(), "the lease")

            def told() -> bool:
                """Only what is changed once the subscription stands has to arrive, and nobody says when it does."""
                with server.service.store.lock:
                    server.service.edit(kind, link.crm_record_id, {"Company": f"Edited at {time.monotonic()}"})
                time.sleep(0.5)
                return InboxEvent.objects.filter(source="stream").exists()

            wait_until(told, "the event")
    finally:
        server.close()
    event = InboxEvent.objects.filter(source="stream").earliest("pk")
    assert (event.object_type, event.record_ids) == (kind, [link.crm_record_id])
    assert SyncJob.objects.filter(kind="fetch", key=kind).exists()
    assert listening.positions(row)
