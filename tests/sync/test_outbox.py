"""Changes of our side reach each CRM: all of them, once, and over nobody's head."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest

from integrations import errors
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.remote import RecordWrite, Written
from integrations.registry import provider_class
from mapping.models import ConflictPolicy, FieldMapping
from mapping.publishing import publish
from sync import editing, link_states, pushes, queue
from sync.models import Conflict, Contact, FieldChange, MatchReview, SyncJob, SyncRecord
from sync.work import work
from tests.providers.case import PATIENCE, Case

API = editing.Author("api", "Dialer")
NORA = {
    "first_name": "Nora",
    "last_name": "Quill",
    "email": "nora.quill@example.com",
    "phone": "+14155550177",
    "company": "Quill & Sons",
}
MOBILE = "+14155550188"
Spy = list[RecordWrite]


@pytest.fixture
def sent(case: Case, monkeypatch: pytest.MonkeyPatch) -> Spy:
    """Every record that is handed to the CRM's client."""
    seen: Spy = []
    write = provider_class(case.slug).write

    def spy(self: CrmProvider, kind: str, writes: Sequence[RecordWrite]) -> list[Written]:
        seen.extend(writes)
        return write(self, kind, writes)

    monkeypatch.setattr(provider_class(case.slug), "write", spy)
    return seen


def run(case: Case) -> dict[str, int]:
    """Works everything that is there, whatever its time."""
    SyncJob.objects.filter(state="ready").update(not_before="2026-01-01T00:00:00Z")
    return dict(work(case.row.pk, patience=PATIENCE))


def made(case: Case, **values: Any) -> tuple[Contact, SyncRecord]:
    """Nora, made by the dialer and carried to the CRM."""
    contact = editing.create(case.tenant.pk, {**NORA, **values}, API)
    assert run(case) == {"done": 1}
    return contact, link_of(contact)


def link_of(contact: Contact) -> SyncRecord:
    found: SyncRecord = SyncRecord.objects.get(local_record_id=contact.pk, local_table="contacts")
    return found


def edited(contact_id: UUID, **values: Any) -> Contact:
    found = editing.edit(contact_id, values, API)
    assert found is not None
    return found


def known_to_the_crm(case: Case, **values: Any) -> str:
    """Somebody with Nora's name and address, whom no feed has told us of."""
    kind, service = case.provider.mapping_object, case.server.service
    order = case.to_write({"last_name": NORA["last_name"], "email": NORA["email"], **values})
    (written,) = case.provider.write(kind, [order])
    refuse_twins(case)
    service.clock.advance(60)
    return written.id


def refuse_twins(case: Case) -> None:
    """Where the CRM does so only by a rule of its administrator's."""
    if hasattr(case.server.service, "duplicate_rule"):
        case.server.service.duplicate_rule(case.provider.mapping_object, "Email")


def by_hand(case: Case, link: SyncRecord, **values: Any) -> None:
    case.server.service.clock.advance(60)
    fields = dict(case.to_write(values, link.crm_record_id).values)
    case.server.service.edit(link.crm_object_type, link.crm_record_id, fields)
    case.server.service.clock.advance(60)


def test_a_new_contact_is_made_in_the_crm_and_linked(case: Case) -> None:
    contact, link = made(case)
    values = case.read(link.crm_record_id, link.crm_object_type)
    assert {name: values[name] for name in NORA} == NORA
    assert (link.sync_status, link.sync_direction, link.url != "") == ("synced", "outbound", True)
    assert {name: link.base[name] for name in NORA} == NORA
    assert contact.pk == link.local_record_id


@pytest.mark.parametrize(("rule", "company"), [("crm_wins", "Theirs Ltd"), ("dialer_wins", NORA["company"])])
def test_somebody_whom_the_crm_has_already_is_merged_and_nothing_of_theirs_is_lost(
    case: Case,
    sent: Spy,
    rule: str,
    company: str,
) -> None:
    """The record was there before our feed brought it: it was never read when our contact is made there."""
    ConflictPolicy.objects.create(tenant=case.tenant, overrides={"company": rule})
    theirs = known_to_the_crm(case, company="Theirs Ltd", title="Countess")
    contact = editing.create(case.tenant.pk, NORA, API)
    run(case), run(case)
    link = link_of(contact)
    assert (link.crm_record_id, link.sync_status) == (theirs, "synced")
    held = case.read(theirs, link.crm_object_type)
    assert (held["company"], held["title"], held["phone"]) == (company, "Countess", NORA["phone"])
    contact.refresh_from_db()
    assert (contact.company, contact.title) == (company, "Countess")
    lost = {"Theirs Ltd", NORA["company"]} - {company}
    assert {one.lost for one in FieldChange.objects.filter(contact=contact, field="company")} - {None} == lost
    assert not SyncJob.objects.exclude(state="done").exists()
    pushes.enqueue([contact])
    del sent[:]
    run(case)
    assert not sent


def test_a_field_that_waits_for_a_decision_is_not_written_to_somebody_whom_the_crm_has_already(case: Case) -> None:
    ConflictPolicy.objects.create(tenant=case.tenant, overrides={"company": "manual"})
    theirs = known_to_the_crm(case, company="Theirs Ltd")
    contact = editing.create(case.tenant.pk, NORA, API)
    run(case), run(case)
    link = link_of(contact)
    assert (link.crm_record_id, link.sync_status) == (theirs, "conflict")
    held = case.read(theirs, link.crm_object_type)
    assert (held["company"], held["phone"]) == ("Theirs Ltd", NORA["phone"])
    conflict = Conflict.objects.get()
    assert (conflict.ours, conflict.theirs) == (NORA["company"], "Theirs Ltd")


def test_two_contacts_whom_the_crm_takes_for_one_are_asked_about_and_neither_is_written_over(case: Case) -> None:
    first, link = made(case)
    refuse_twins(case)
    second = editing.create(case.tenant.pk, {**NORA, "company": "Second Ltd"}, API)
    run(case), run(case)
    assert case.read(link.crm_record_id, link.crm_object_type)["company"] == NORA["company"]
    review = MatchReview.objects.get()
    assert {review.contact_id, review.candidate_id} == {first.pk, second.pk}
    assert not SyncJob.objects.exclude(state="done").exists()


def test_an_edit_sends_the_changed_field_only_and_a_second_run_sends_nothing(case: Case, sent: Spy) -> None:
    contact, link = made(case)
    del sent[:]
    edited(contact.pk, company="Quill Ltd")
    assert run(case) == {"done": 1}
    (write,) = sent
    assert write.values == case.to_write({"company": "Quill Ltd"}, link.crm_record_id).values
    assert case.read(link.crm_record_id, link.crm_object_type)["company"] == "Quill Ltd"
    pushes.enqueue([contact])
    assert run(case) == {"done": 1}
    assert len(sent) == 1


def test_many_edits_of_one_contact_are_one_write_of_the_newest_state(case: Case, sent: Spy) -> None:
    contact, link = made(case)
    del sent[:]
    for number in range(5):
        edited(contact.pk, company=f"Quill {number}")
    assert run(case) == {"done": 1}
    assert len(sent) == 1
    assert case.read(link.crm_record_id, link.crm_object_type)["company"] == "Quill 4"


def test_a_value_taken_away_here_is_taken_away_there(case: Case) -> None:
    contact, link = made(case)
    edited(contact.pk, phone=None)
    run(case)
    values = case.read(link.crm_record_id, link.crm_object_type)
    assert not values["phone"]
    assert values["email"] == NORA["email"]


def test_what_the_crm_changed_meanwhile_is_merged_and_not_overwritten(case: Case) -> None:
    contact, link = made(case)
    by_hand(case, link, last_name="Ames")
    edited(contact.pk, company="Quill Ltd")
    run(case)
    values = case.read(link.crm_record_id, link.crm_object_type)
    assert (values["last_name"], values["company"]) == ("Ames", "Quill Ltd")
    contact.refresh_from_db()
    assert (contact.last_name, contact.company) == ("Ames", "Quill Ltd")


@pytest.mark.parametrize(
    ("policy", "kept", "lost"), [("crm_wins", "Theirs", "Ours"), ("dialer_wins", "Ours", "Theirs")]
)
def test_what_loses_a_conflict_stands_in_the_history(case: Case, policy: str, kept: str, lost: str) -> None:
    ConflictPolicy.objects.create(tenant=case.tenant, default=policy)
    contact, link = made(case)
    by_hand(case, link, last_name="Theirs")
    edited(contact.pk, last_name="Ours")
    run(case)
    assert case.read(link.crm_record_id, link.crm_object_type)["last_name"] == kept
    contact.refresh_from_db()
    assert contact.last_name == kept
    story = FieldChange.objects.filter(contact=contact, field="last_name", rule=policy)
    assert [(one.new, one.lost) for one in story] == [(kept, lost)]


@pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
def test_a_lost_answer_makes_no_second_person(case: Case, fault: str) -> None:
    before = number_of_records(case)
    contact = editing.create(case.tenant.pk, NORA, API)
    case.server.service.faults.set([{"kind": fault, "match": "POST|PATCH|PUT", "times": 1}])
    for _ in range(3):
        run(case)
    case.server.service.clock.advance(60)
    assert number_of_records(case) == before + 1
    assert case.read(link_of(contact).crm_record_id)["email"] == NORA["email"]
    assert [job.state for job in SyncJob.objects.filter(local_record_id=contact.pk)] == ["done"]


def test_a_worker_that_dies_after_the_write_leaves_one_person_and_the_right_base(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = number_of_records(case)
    contact = editing.create(case.tenant.pk, NORA, API)

    def die(*_args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(queue, "settle", die)
        with pytest.raises(KeyboardInterrupt):
            run(case)
    SyncJob.objects.update(lease_until="2026-01-01T00:00:00Z")
    assert queue.release_expired() == 1
    case.server.service.clock.advance(60)
    assert run(case)["done"] == 1
    assert number_of_records(case) == before + 1
    assert {name: link_of(contact).base[name] for name in NORA} == NORA


def number_of_records(case: Case) -> int:
    return sum(len(page) for page in case.provider.ids(case.provider.mapping_object))


def test_one_bad_record_is_laid_aside_with_its_cause_and_stops_nobody(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people = [
        made(case, first_name=f"N{number}", email=f"n{number}@example.com", phone=f"+1415555011{number}")
        for number in range(3)
    ]
    for contact, _link in people:
        edited(contact.pk, company="Changed")
    bad = people[1][1]
    write = provider_class(case.slug).write

    def refuse_one(self: CrmProvider, kind: str, writes: Sequence[RecordWrite]) -> list[Written]:
        fine = [one for one in writes if one.record_id != bad.crm_record_id]
        refused = [one for one in writes if one.record_id == bad.crm_record_id]
        return write(self, kind, fine) + [Written(one.key, error=errors.FixData("Too long.")) for one in refused]

    monkeypatch.setattr(provider_class(case.slug), "write", refuse_one)
    assert run(case) == {"done": 2, "dead": 1}
    assert [(job.cause, job.error) for job in SyncJob.objects.filter(state="dead")] == [("invalid_data", "Too long.")]
    states = [(link_of(contact).sync_status, link_of(contact).base["company"]) for contact, _link in people]
    assert states == [("synced", "Changed"), ("error", NORA["company"]), ("synced", "Changed")]


def test_a_record_that_is_gone_needs_nothing_more(case: Case, sent: Spy) -> None:
    contact, link = made(case)
    case.server.service.remove(link.crm_object_type, link.crm_record_id)
    case.server.service.clock.advance(60)
    edited(contact.pk, company="Changed")
    del sent[:]
    assert run(case) == {"done": 1}
    assert not sent
    assert Contact.objects.get(pk=contact.pk).company == "Changed"


def test_a_required_field_that_is_missing_makes_no_record_and_says_so(case: Case, sent: Spy) -> None:
    remap(case, "company", is_required=True)
    editing.create(case.tenant.pk, {"last_name": "Quill", "email": "q@example.com"}, API)
    assert run(case) == {"dead": 1}
    assert not sent
    assert "ompany" in SyncJob.objects.get(state="dead").error


def remap(case: Case, field: str, **changes: Any) -> None:
    FieldMapping.objects.filter(crm_provider=case.slug, dialer_field=field).update(**changes)
    publish(case.tenant.pk, case.slug)


@pytest.mark.parametrize(("rule", "there"), [("clear", None), ("ignore", MOBILE), ("fill", MOBILE)], ids=str)
def test_a_blank_of_ours_does_what_the_fields_rule_says(case: Case, rule: str, there: str | None) -> None:
    remap(case, "mobile_phone", on_blank=rule)
    contact, link = made(case, mobile_phone=MOBILE)
    edited(contact.pk, mobile_phone=None)
    run(case)
    assert (case.read(link.crm_record_id, link.crm_object_type)["mobile_phone"] or None) == there


@pytest.mark.parametrize(("rule", "here"), [("clear", ""), ("ignore", MOBILE), ("fill", MOBILE)], ids=str)
def test_a_blank_of_the_crm_does_what_the_fields_rule_says(case: Case, rule: str, here: str) -> None:
    remap(case, "mobile_phone", on_blank=rule)
    contact, link = made(case, mobile_phone=MOBILE)
    by_hand(case, link, mobile_phone=None)
    edited(contact.pk, last_name="Changed")
    run(case)
    contact.refresh_from_db()
    assert contact.mobile_phone == here


def test_a_field_that_only_fills_never_replaces_a_value_of_either_side(case: Case) -> None:
    remap(case, "mobile_phone", on_blank="fill")
    contact, link = made(case, mobile_phone=MOBILE)
    by_hand(case, link, mobile_phone="+14155550166")
    edited(contact.pk, last_name="Changed")
    run(case)
    edited(contact.pk, mobile_phone="+14155550155")
    run(case)
    assert case.read(link.crm_record_id, link.crm_object_type)["mobile_phone"] == "+14155550166"
    assert Contact.objects.get(pk=contact.pk).mobile_phone == "+14155550155"


def test_two_contacts_that_the_crm_keeps_as_one_record_are_left_to_a_person(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, link = made(case)

    def same_record(self: CrmProvider, kind: str, writes: Sequence[RecordWrite]) -> list[Written]:
        return [Written(one.key, link.crm_record_id) for one in writes]

    monkeypatch.setattr(provider_class(case.slug), "write", same_record)
    second = editing.create(case.tenant.pk, {**NORA, "first_name": "N."}, API)
    assert run(case) == {"done": 1}
    assert SyncRecord.objects.filter(local_table="contacts").count() == 1
    assert [(one.contact_id, one.candidate_id) for one in MatchReview.objects.all()] == [(second.pk, first.pk)]


@pytest.mark.parametrize("error", [errors.Throttled("slow", after=30), errors.Retry("down")], ids=["throttled", "down"])
def test_a_batch_that_breaks_off_keeps_what_came_before(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
    error: errors.CrmError,
) -> None:
    people = [
        made(case, first_name=f"N{number}", email=f"n{number}@example.com", phone=f"+1415555011{number}")[0]
        for number in range(3)
    ]
    for contact in people:
        edited(contact.pk, company="Changed")
    monkeypatch.setattr(provider_class(case.slug), "write_batch_size", 2)
    monkeypatch.setattr("sync.outbox.PushHandler.batch_size", lambda *_: 3)
    monkeypatch.setattr(provider_class(case.slug), "write", _second_breaks(provider_class(case.slug).write, error))
    run(case)
    states = (
        SyncJob.objects.filter(kind="push")
        .exclude(payload__has_key="new")
        .order_by("pk")
        .values_list("state", flat=True)
    )
    assert list(states) == ["done", "done", "ready"]


def _second_breaks(write: Any, error: errors.CrmError) -> Callable[..., list[Written]]:
    calls = []

    def breaking(self: CrmProvider, kind: str, writes: Sequence[RecordWrite]) -> list[Written]:
        calls.append(len(writes))
        if len(calls) > 1:
            raise error
        found: list[Written] = write(self, kind, writes)
        return found

    return breaking


def test_a_contact_is_not_made_in_a_crm_that_takes_no_new_people(case: Case, sent: Spy) -> None:
    CrmConnection.objects.update(settings={**case.row.settings, "create_contacts": False})
    editing.create(case.tenant.pk, NORA, API)
    assert not run(case)
    assert not sent


DROPPING = pytest.mark.parametrize("case", ["hubspot", "salesforce"], indirect=True)
"""CRMs whose client leaves out what is not there, and that can keep a record from us."""


@DROPPING
def test_a_field_that_the_crm_has_not_any_more_is_told_of_while_the_rest_is_in_sync(case: Case) -> None:
    contact, link = made(case)
    assert "warnings" not in link.metadata
    remap(case, "title", crm_field="Long_Gone")
    edited(contact.pk, title="Boss", company="Quill Ltd")
    run(case)
    link.refresh_from_db()
    (warning,) = link.metadata["warnings"]
    assert "Long_Gone" in warning
    assert (link.sync_status, link.error_message or "") == ("synced", "")
    assert case.read(link.crm_record_id, link.crm_object_type)["company"] == "Quill Ltd"
    edited(contact.pk, company="Quill Inc")
    run(case)
    link.refresh_from_db()
    assert "warnings" not in link.metadata


@DROPPING
def test_a_hidden_record_is_neither_written_nor_made_again_and_catches_up_once_it_is_shown(
    case: Case,
    sent: Spy,
) -> None:
    contact, link = made(case)
    store = case.server.service.store
    kept = store.get(link.crm_object_type, link.crm_record_id)
    assert kept is not None
    store.delete(link.crm_object_type, link.crm_record_id)
    edited(contact.pk, company="Unseen Ltd")
    run(case)
    link.refresh_from_db()
    assert set(link.metadata) & set(link_states.NO_LONGER_THERE) == {"unseen_at"}
    del sent[:]
    pushes.enqueue([contact], new=True)
    assert run(case) == {"done": 1}
    assert not sent
    store.put(link.crm_object_type, link.crm_record_id, kept)
    edited(contact.pk, last_name="Ames")
    run(case)
    values = case.read(link.crm_record_id, link.crm_object_type)
    assert (values["company"], values["last_name"]) == ("Unseen Ltd", "Ames")
    link.refresh_from_db()
    assert not set(link.metadata) & set(link_states.NO_LONGER_THERE)
