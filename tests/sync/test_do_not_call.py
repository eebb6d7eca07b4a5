"""Do-not-call: at once, ahead of everything, and never taken back by a voice from the past."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations.models import CrmConnection
from integrations.records.limits import RateLimit
from integrations.records.remote import Fetched, RemoteRecord
from integrations.transport import breaker, limits
from mapping.models import FieldMapping
from mapping.publishing import add_defaults, compiled, publish
from sync import do_not_call, editing, pushes, queue
from sync.inbound import PageWriter
from sync.merge import merge
from sync.models import Contact, FieldChange, Lane, SyncJob, SyncRecord
from sync.work import work
from tests.providers.case import PATIENCE, Case

API = editing.Author("api", "Dialer")
START = datetime(2026, 3, 1, tzinfo=UTC)
SAID = st.lists(st.tuples(st.sampled_from(["us", "crm"]), st.booleans(), st.integers(0, 50)), max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SAID)
def test_only_a_later_word_takes_it_back(said: list[tuple[str, bool, int]]) -> None:
    """Words in the order in which they reach us; the CRM's may be older than what we hold."""
    held, base, metadata, latest_no = False, False, dict[str, Any](), -1
    for who, barred, minute in said:
        at = START + timedelta(minutes=minute)
        if who == "us":
            at = max(at, START + timedelta(minutes=max(latest_no, 0)))
            held = base = barred
            metadata = do_not_call.stamped(metadata, at) if barred else metadata
            latest_no = int((at - START).total_seconds() // 60) if barred else latest_no
            continue
        before = held
        decisions = merge(
            {"do_not_call": base},
            {"do_not_call": held},
            {"do_not_call": barred},
            strategy=lambda _field: "crm_wins",
            ours_at=None,
            theirs_at=at,
        )
        decision = do_not_call.keep(decisions[0], do_not_call.said_at(metadata), at)
        held, base = bool(decision.value), bool(decision.agreed)
        if before and not held:
            assert minute > latest_no, "an older word took it back"
        if barred:
            assert held, "whoever says it is believed"


# --- inbound --------------------------------------------------------------------------------------------------------------------


def told(connection: CrmConnection, at: datetime, **fields: Any) -> None:
    """The fake CRM's record 7 as it was at that time."""
    mapping = compiled(connection, "people")
    record = RemoteRecord("people", "7", {"first": "Ann", "email": "ann@example.com", **fields}, at)
    with mapping.engine.session() as session:
        writer = PageWriter(connection, None, session, object_type="people", mapping_version=mapping.version)
        writer.apply_fetched(Fetched([record]), moved={}, erased=(), along=lambda: None)


@pytest.fixture
def ann(scoped: CrmConnection) -> Contact:
    """Somebody whom the fake CRM told us of."""
    add_defaults(scoped)
    told(scoped, START, dnc=False)
    found: Contact = Contact.objects.get()
    return found


def carried(connection: CrmConnection) -> None:
    """As if our side's state had been written to the fake CRM."""
    contact = Contact.objects.get()
    SyncRecord.objects.filter(connection=connection).update(
        base={"first_name": "Ann", "email": "ann@example.com", "do_not_call": contact.do_not_call}
    )
    SyncJob.objects.all().delete()


def test_an_older_record_does_not_take_it_back_and_is_put_right(ann: Contact, scoped: CrmConnection) -> None:
    editing.edit(ann.pk, {"do_not_call": True}, API)
    carried(scoped)
    told(scoped, START + timedelta(minutes=1), dnc=False)
    ann.refresh_from_db()
    assert ann.do_not_call
    assert FieldChange.objects.filter(field="do_not_call", new=True, lost=False).count() == 1
    assert list(SyncJob.objects.values_list("kind", "lane")) == [("push", Lane.DO_NOT_CALL)]


def test_a_later_record_takes_it_back(ann: Contact, scoped: CrmConnection) -> None:
    editing.edit(ann.pk, {"do_not_call": True}, API)
    carried(scoped)
    told(scoped, datetime.now(UTC) + timedelta(minutes=1), dnc=False)
    ann.refresh_from_db()
    assert not ann.do_not_call


def test_what_a_crm_says_counts_with_the_same_page(ann: Contact, scoped: CrmConnection) -> None:
    told(scoped, START + timedelta(minutes=1), dnc=True)
    ann.refresh_from_db()
    assert ann.do_not_call
    told(scoped, START + timedelta(minutes=2), dnc=False)
    ann.refresh_from_db()
    assert not ann.do_not_call, "the CRM itself may take back what it said"


# --- from one CRM to the other --------------------------------------------------------------------------------------------------


def in_both(connection: CrmConnection, case: Case, **values: Any) -> Contact:
    """Ann, whom both CRMs know."""
    add_defaults(connection)
    CrmConnection.objects.filter(pk=connection.pk).update(settings={"create_contacts": False})
    made = {"first_name": "Ann", "last_name": "Lee", "email": "ann@example.com", "company": "Lee Ltd", **values}
    contact = editing.create(case.tenant.pk, made, API)
    assert drained(case) == {"done": 1}
    told(connection, START, last="Lee", company="Lee Ltd", dnc=bool(values.get("do_not_call")))
    assert SyncRecord.objects.filter(local_record_id=contact.pk).count() == 2
    SyncJob.objects.all().delete()
    return contact


def drained(case: Case) -> dict[str, int]:
    SyncJob.objects.filter(state="ready").update(not_before="2026-01-01T00:00:00Z")
    return dict(work(case.row.pk, patience=PATIENCE))


def can_say(case: Case) -> None:
    """Gives do-not-call a field in CRMs that have none of their own."""
    rows = FieldMapping.objects.filter(crm_provider=case.slug, dialer_entity="contact")
    if not rows.filter(dialer_field="do_not_call").exists():
        rows.filter(dialer_field="title").update(dialer_field="do_not_call", transform_rule="boolean_checkbox")
        publish(case.tenant.pk, case.slug)


def there(case: Case, contact: Contact) -> dict[str, Any]:
    link = SyncRecord.objects.get(local_record_id=contact.pk, crm_provider=case.slug)
    return case.read(link.crm_record_id, link.crm_object_type)


def test_what_one_crm_says_is_carried_to_the_other_ahead_of_all_else(connection: CrmConnection, case: Case) -> None:
    can_say(case)
    contact = in_both(connection, case)
    told(connection, START + timedelta(minutes=1), last="Lee", company="Lee Ltd", dnc=True)
    contact.refresh_from_db()
    assert contact.do_not_call, "effective before any other CRM knows"
    assert list(SyncJob.objects.values_list("connection_id", "lane")) == [(case.row.pk, Lane.DO_NOT_CALL)]
    assert drained(case) == {"done": 1}
    assert there(case, contact)["do_not_call"]


def test_any_change_of_one_crm_is_carried_to_the_other(connection: CrmConnection, case: Case) -> None:
    contact = in_both(connection, case)
    told(connection, START + timedelta(minutes=1), last="Lee", company="Lee and Daughters", dnc=False)
    assert list(SyncJob.objects.values_list("connection_id", "lane")) == [(case.row.pk, Lane.EDITS)]
    assert drained(case) == {"done": 1}
    assert there(case, contact)["company"] == "Lee and Daughters"


def test_an_edit_of_ours_goes_to_both(connection: CrmConnection, case: Case) -> None:
    contact = in_both(connection, case)
    editing.edit(contact.pk, {"company": "Lee GmbH"}, API)
    assert set(SyncJob.objects.values_list("connection_id", flat=True)) == {case.row.pk, connection.pk}
    SyncJob.objects.filter(connection=connection).delete()
    assert drained(case) == {"done": 1}
    assert there(case, contact)["company"] == "Lee GmbH"


def test_somebody_who_must_not_be_called_is_made_so_in_the_crm(case: Case) -> None:
    can_say(case)
    contact = editing.create(
        case.tenant.pk, {"last_name": "Lee", "email": "lee@example.com", "company": "Lee", "do_not_call": True}, API
    )
    assert SyncJob.objects.get().lane == Lane.DO_NOT_CALL
    assert drained(case) == {"done": 1}
    assert there(case, contact)["do_not_call"]


# --- nothing holds it up --------------------------------------------------------------------------------------------------------


def test_an_open_breaker_holds_edits_but_not_this(case: Case) -> None:
    can_say(case)
    people = [
        editing.create(
            case.tenant.pk, {"last_name": f"Lee{one}", "email": f"lee{one}@example.com", "company": "L"}, API
        )
        for one in range(2)
    ]
    drained(case)
    for _ in range(5):
        breaker.leave(str(case.row.pk), healthy=False, error="down")
    editing.edit(people[0].pk, {"company": "Changed"}, API)
    drained(case)
    assert list(SyncJob.objects.filter(state="ready").values_list("cause", flat=True)) == ["breaker_open"]
    editing.edit(people[1].pk, {"do_not_call": True}, API)
    work(case.row.pk, patience=PATIENCE)
    assert there(case, people[1])["do_not_call"]
    assert breaker.enter(str(case.row.pk)) == 0, "the answer was as good as a probe"


def test_it_is_claimed_alone_and_before_a_back_fill(scoped: CrmConnection) -> None:
    people = [Contact.objects.create(tenant=scoped.tenant, last_name=f"L{one}") for one in range(20)]
    for one in people:
        SyncRecord.objects.create(
            tenant=scoped.tenant, connection=scoped, crm_provider="fakecrm", crm_object_type="people",
            crm_record_id=str(one.pk), local_record_id=one.pk, local_table="contacts", sync_direction="inbound",
        )  # fmt: skip
    pushes.enqueue(people, lane=Lane.BACKFILL)
    editing.edit(people[-1].pk, {"do_not_call": True}, API)
    assert queue.next_in_line(scoped.pk) == ("push", Lane.DO_NOT_CALL)
    claimed = queue.claim(scoped.pk, "push", 100, last_lane=Lane.DO_NOT_CALL)
    assert [job.local_record_id for job in claimed.jobs] == [people[-1].pk]


def test_a_share_of_the_quota_is_kept_for_it(connection: CrmConnection) -> None:
    limit = RateLimit("b", 100, 10.0)

    def taken(*, urgent: bool) -> float:
        return limits.take(str(connection.pk), [limit], max_wait=1, urgent=urgent).wait

    assert [taken(urgent=False) for _ in range(98)] == pytest.approx([0] * 98, abs=0.01)
    assert taken(urgent=False) < 0
    assert [taken(urgent=True) for _ in range(2)] == pytest.approx([0, 0], abs=0.01)
    assert taken(urgent=True) < 0, "the CRM's own limit holds for everybody"


def test_a_closed_bucket_holds_everybody(connection: CrmConnection) -> None:
    limit = RateLimit("b", 100, 10.0)
    limits.close(str(connection.pk), ["b"], 60)
    assert limits.take(str(connection.pk), [limit], max_wait=1, urgent=True).wait == pytest.approx(-60, abs=1)
