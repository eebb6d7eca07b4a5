"""One person stays one contact and one record: whoever nearly fits is linked or asked about; no CRM's slow search makes twins."""

from typing import Any

import pytest
from django.utils import timezone

from integrations.models import CrmConnection
from integrations.records.remote import ChangePage, RemoteRecord
from mapping.publishing import compiled
from sync import editing, pushes
from sync.inbound import PageWriter
from sync.models import Contact, FeedCursor, MatchReview, SyncJob, SyncRecord
from sync.pull import pull
from sync.work import work
from tests import factories
from tests.providers.case import PATIENCE, Case

API = editing.Author("api", "Dialer")
NORA = {"last_name": "Quill", "email": "nora.quill@example.com", "phone": "+14155550177", "company": "Quill & Sons"}


def known(crm: CrmConnection, **fields: Any) -> Contact:
    blank = dict.fromkeys(("first_name", "last_name", "email", "phone", "company"), "")
    return factories.contact(crm.tenant, **{**blank, **fields})


def bring(crm: CrmConnection, *people: dict[str, str]) -> list[Contact]:
    """A page of these records. Returns the contacts that stand for them, in order."""
    now = timezone.now()
    records = [RemoteRecord("people", str(number), fields, now) for number, fields in enumerate(people, start=1)]
    held = FeedCursor.objects.filter(feed="poll:people").first()
    with compiled(crm, "people").engine.session() as session:
        writer = PageWriter(crm, None, session, object_type="people")
        writer.apply(ChangePage(records, {"at": 1}), "poll:people", held and held.value)
    links = {link.crm_record_id: link.local_record_id for link in SyncRecord.objects.filter(connection=crm)}
    return [Contact.objects.get(pk=links[record.id]) for record in records]


def test_two_of_three_agreeing_link_where_one_alone_would_not(crm: CrmConnection) -> None:
    """The e-mail fits two contacts and the phone one of them: together they are certain."""
    ann = known(crm, first_name="Ann", last_name="Lee", email="office@acme.example", phone="+14155550101")
    known(crm, first_name="Bob", last_name="Lee", email="office@acme.example", phone="+14155550102")
    record = {"first": "Ann", "last": "Lee-Smith", "email": "office@acme.example", "phone": "+14155550101"}
    assert [one.pk for one in bring(crm, record)] == [ann.pk]
    assert Contact.objects.count() == 2
    assert not MatchReview.objects.exists()


def test_two_who_agree_in_as_much_are_left_to_a_person(crm: CrmConnection) -> None:
    twins = [
        known(crm, first_name=name, last_name="Lee", email="office@acme.example", phone="+14155550101")
        for name in ("Ann", "Bob")
    ]
    (made,) = bring(crm, {"last": "Lee", "email": "office@acme.example", "phone": "+14155550101"})
    assert made.pk not in {one.pk for one in twins}
    reviews = MatchReview.objects.filter(contact=made)
    assert {one.candidate_id for one in reviews} == {one.pk for one in twins}
    assert {(one.status, tuple(one.reasons)[:2]) for one in reviews} == {("open", ("email_same", "phone_same"))}


@pytest.mark.parametrize(
    ("theirs", "asked"),
    [
        pytest.param({"first": "Anne", "last": "Leigh", "company": "Acme Logistics Inc."}, True, id="spelled alike"),
        pytest.param({"first": "Anne", "last": "Leigh", "company": "Zenith Foods"}, False, id="another company"),
        pytest.param({"first": "Ann", "last": "Leigh", "company": ""}, False, id="names alone"),
    ],
)
def test_a_name_and_company_that_are_nearly_the_same_are_asked_about(
    crm: CrmConnection, theirs: dict[str, str], asked: bool
) -> None:
    ann = known(crm, first_name="Ann", last_name="Leigh", company="Acme Logistics", email="ann@acme.example")
    (made,) = bring(crm, {"email": "", "phone": "", **theirs})
    assert made.pk != ann.pk, "never linked by likeness alone"
    found = [(one.contact_id, one.candidate_id, one.by, one.score >= 0.85) for one in MatchReview.objects.all()]
    assert found == [(made.pk, ann.pk, "fuzzy", True)] * asked


def test_the_same_page_again_asks_nobody_twice(crm: CrmConnection) -> None:
    known(crm, first_name="Ann", last_name="Leigh", company="Acme Logistics")
    record = {"first": "Anne", "last": "Leigh", "company": "Acme Logistics", "email": "", "phone": ""}
    first, again = bring(crm, record), bring(crm, record)
    assert [one.pk for one in first] == [one.pk for one in again]
    assert MatchReview.objects.count() == 1


# --- a CRM's search is behind ---------------------------------------------------------------------------------------


def settle(case: Case) -> None:
    for _ in range(4):
        SyncJob.objects.filter(state="ready").update(not_before="2026-01-01T00:00:00Z")
        work(case.row.pk, patience=PATIENCE)
        if not SyncJob.objects.filter(state__in=["ready", "leased"], kind=pushes.KIND).exists():
            return
        case.server.service.clock.advance(5)


def records_of_nora(case: Case) -> list[str]:
    """Ids of everybody there with Nora's address, read from the records themselves, not by a search."""
    kind = case.provider.mapping_object
    ids = [record_id for page in case.provider.ids(kind) for record_id in page]
    paths = compiled(case.row, kind).engine.crm_fields
    with compiled(case.row, kind).engine.session() as session:
        return [
            record.id
            for start in range(0, len(ids), 100)
            for record in case.provider.fetch(kind, ids[start : start + 100], paths).records
            if session.inbound(record.fields).values.get("email") == NORA["email"]
        ]


@pytest.mark.django_db
def test_a_record_that_the_crms_search_does_not_show_yet_is_not_made_again(case: Case) -> None:
    """Its creation is repeated at once as if nobody knew of it, then the feed is read: still one record and one contact."""
    contact = editing.create(case.tenant.pk, NORA, API)
    settle(case)
    assert SyncRecord.objects.get(local_record_id=contact.pk).local_table == "contacts"
    SyncRecord.objects.filter(local_record_id=contact.pk).delete()
    pushes.enqueue([contact], new=True)
    SyncJob.objects.filter(state="ready").update(first_attempt_at=timezone.now())
    settle(case)
    assert len(records_of_nora(case)) == 1
    pushes.enqueue([contact], new=True)
    settle(case)
    case.server.service.clock.advance(120)
    pull(case.row, case.provider.mapping_object, PATIENCE)
    (record_id,) = records_of_nora(case)
    assert Contact.objects.filter(email=NORA["email"]).get().pk == contact.pk
    link = SyncRecord.objects.get(local_record_id=contact.pk, local_table="contacts")
    assert (link.crm_record_id, link.connection_id) == (record_id, case.row.pk)
