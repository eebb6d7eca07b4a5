"""A decision about a conflict is taken back: both sides are as before, what was edited since stays and is listed."""

from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrations.models import CrmConnection
from integrations.sandbox.server import SandboxServer
from mapping.models import ConflictPolicy, FieldMapping, MappingVersion
from mapping.publishing import add_defaults, publish
from sync import conflict_undoing, conflicts, editing, giving_back
from sync.conflicts import Choice
from sync.models import Conflict, ConflictDecision, Contact, FieldChange, SyncJob, SyncRecord
from sync.pull import pull
from sync.work import work
from tests.providers.case import PATIENCE, Case
from tests.sync.test_conflicts import DIALER, disagree, edit, read


@pytest.fixture
def crm(scoped: CrmConnection) -> CrmConnection:
    add_defaults(scoped)
    ConflictPolicy.objects.create(tenant=scoped.tenant, overrides={"company": "manual"})
    return scoped


@pytest.fixture
def conflict(crm: CrmConnection, fake_crm: SandboxServer) -> Conflict:
    return disagree(crm, fake_crm)[0]


def drain(connection: CrmConnection) -> None:
    for _ in range(3):
        SyncJob.objects.filter(state="ready").update(not_before=timezone.now())
        work(connection.pk, patience=PATIENCE)


def take_back(**more: Any) -> conflict_undoing.TakenBack:
    return conflict_undoing.take_back(ConflictDecision.objects.latest("made_at"), "bob", **more)


def state() -> tuple[Any, ...]:
    """Of the only conflict, and of both sides."""
    row = Conflict.objects.get()
    link = SyncRecord.objects.get()
    return (
        row.status, row.base, row.ours, row.theirs, row.decided_by, row.winner, Contact.objects.get().company, link.base["company"],
        link.sync_status,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "value"), [(Choice.OURS, None), (Choice.THEIRS, None), (Choice.OTHER, "Both Ltd")], ids=str
)
def test_after_taking_back_both_sides_are_as_before_the_decision(
    conflict: Conflict,
    crm: CrmConnection,
    choice: Choice,
    value: Any,
) -> None:
    before = state()
    conflicts.resolve(conflict, choice, "ann", value=value)
    assert state() != before
    assert take_back() == conflict_undoing.TakenBack(1, 0, rule_restored=False)
    assert state() == before
    drain(crm)
    read(crm)
    assert state() == before
    assert not SyncJob.objects.filter(state__in=["ready", "dead"]).exists()


def test_taking_back_stands_in_the_history_and_a_conflict_can_be_decided_again(conflict: Conflict) -> None:
    conflicts.resolve(conflict, Choice.THEIRS, "ann")
    take_back()
    change = FieldChange.objects.latest("pk")
    assert (change.old, change.new, change.actor, change.rule) == ("Theirs", "Ours", "bob", "undone")
    assert conflicts.resolve(conflict, Choice.THEIRS, "cem")
    assert Contact.objects.get().company == "Theirs"
    assert ConflictDecision.objects.count() == 2


@pytest.mark.parametrize(
    ("edits", "why"),
    [
        (lambda: edit(Contact.objects.get(), company="Newer"), "It was edited since: now it is “Newer”."),
        (lambda: Contact.objects.update(deleted_at=timezone.now()), "deleted"),
        (lambda: SyncJob.objects.filter(kind="push").update(state="leased"), "at this moment"),
    ],
    ids=["edited", "deleted", "on its way"],
)
def test_what_cannot_be_taken_back_stays_and_is_told(conflict: Conflict, edits: Any, why: str) -> None:
    conflicts.resolve(conflict, Choice.THEIRS, "ann")
    edits()
    before = list(Contact.objects.values())
    assert take_back() == conflict_undoing.TakenBack(0, 1, rule_restored=False)
    assert list(Contact.objects.values()) == before
    assert why in conflict_undoing.why_not(list(Conflict.objects.all()))[conflict.pk]


def test_taking_back_twice_changes_nothing_more(conflict: Conflict) -> None:
    conflicts.resolve(conflict, Choice.THEIRS, "ann")
    decision = ConflictDecision.objects.get()
    conflict_undoing.take_back(decision, "bob")
    changes = FieldChange.objects.count()
    assert conflict_undoing.take_back(decision, "bob").reopened == 0
    assert FieldChange.objects.count() == changes
    assert Conflict.objects.get().status == "open"


# --- all alike ------------------------------------------------------------------------------------------------------


def test_all_alike_are_taken_back_with_their_rule_but_for_those_edited_since(
    crm: CrmConnection,
    fake_crm: SandboxServer,
) -> None:
    first, *_others = disagree(crm, fake_crm, 1, 2, 3)
    FieldMapping.objects.filter(dialer_field="company").update(strategy="manual")
    before = publish(crm.tenant_id, crm.provider)
    assert conflicts.resolve_alike(first, Choice.THEIRS, "ann") == 3
    edit(Contact.objects.get(email="ann2@example.com"), company="Newer")
    assert take_back() == conflict_undoing.TakenBack(2, 1, rule_restored=True)
    assert FieldMapping.objects.get(dialer_field="company").strategy == "manual"
    assert MappingVersion.objects.order_by("-number")[0].rows == before.rows
    found = dict(Contact.objects.values_list("email", "company"))
    assert found == {"ann1@example.com": "Ours", "ann2@example.com": "Newer", "ann3@example.com": "Ours"}
    read(crm)
    assert Conflict.objects.filter(status="open").count() == 2


def test_a_rule_in_the_policy_is_taken_back_unless_it_was_changed_since(
    crm: CrmConnection,
    fake_crm: SandboxServer,
) -> None:
    first, *_others = disagree(crm, fake_crm)
    FieldMapping.objects.filter(dialer_field="company").delete()
    conflicts.resolve_alike(first, Choice.OURS, "ann")
    assert ConflictPolicy.objects.get().overrides["company"] == "dialer_wins"
    take_back()
    assert ConflictPolicy.objects.get().overrides["company"] == "manual"
    conflicts.resolve_alike(Conflict.objects.get(status="open"), Choice.OURS, "ann")
    ConflictPolicy.objects.update(overrides={"company": "last_write_wins"})
    assert not take_back().rule_restored
    assert ConflictPolicy.objects.get().overrides == {"company": "last_write_wins"}


def seeded(crm: CrmConnection, count: int) -> Conflict:
    """So many open conflicts about the company."""
    people = Contact.objects.bulk_create(
        Contact(tenant_id=crm.tenant_id, first_name=f"Ann {number}", company="Ours") for number in range(count)
    )
    common = {"tenant_id": crm.tenant_id, "connection": crm, "crm_provider": crm.provider, "crm_object_type": "people"}
    links = SyncRecord.objects.bulk_create(
        SyncRecord(
            crm_record_id=f"n{number}", local_record_id=one.pk, local_table="contacts", sync_direction="inbound",
            base={"company": "Base"}, sync_status="conflict", **common,
        )
        for number, one in enumerate(people)
    )  # fmt: skip
    Conflict.objects.bulk_create(
        Conflict(
            tenant_id=crm.tenant_id, record=link, contact=one, field="company", base="Base", ours="Ours", theirs="Theirs",
            strategy="manual",
        )
        for link, one in zip(links, people, strict=True)
    )  # fmt: skip
    first: Conflict = Conflict.objects.order_by("pk")[0]
    return first


def test_a_thousand_alike_cost_the_same_statements_for_each_batch(crm: CrmConnection) -> None:
    first = seeded(crm, 1000)
    assert conflicts.resolve_alike(first, Choice.THEIRS, "ann") == 1000
    decision = ConflictDecision.objects.get()
    with CaptureQueriesContext(database) as asked:
        assert conflict_undoing.take_back(decision, "bob").reopened == 1000
    thousand = len(asked)
    seeded_half = Conflict.objects.filter(status="open").order_by("-pk").values_list("pk", flat=True)[:500]
    Conflict.objects.exclude(pk__in=list(seeded_half)).delete()
    conflicts.resolve_alike(Conflict.objects.order_by("pk")[0], Choice.THEIRS, "ann")
    with CaptureQueriesContext(database) as asked:
        assert take_back().reopened == 500
    batch = thousand - len(asked)
    assert batch <= 25
    assert thousand <= 60
    assert set(Contact.objects.values_list("company", flat=True)) == {"Ours"}


# --- against every CRM ----------------------------------------------------------------------------------------------


class Dispute:
    """Both sides changed the last name of one person; it is decided, and the decision has reached the CRM."""

    def __init__(self, case: Case, choice: Choice, value: Any = None) -> None:
        ConflictPolicy.objects.create(tenant=case.tenant, overrides={"last_name": "manual"})
        self.case = case
        self.kind, self.record_id = case.record()
        pull(case.row, self.kind, PATIENCE)
        self.edit_in_crm("Theirs")
        editing.edit(self.contact.pk, {"last_name": "Ours"}, DIALER)
        drain(case.row)
        self.before = self.state()
        conflicts.resolve(Conflict.objects.get(), choice, "ann", value=value)
        drain(case.row)
        self.decided = {Choice.OURS: "Ours", Choice.THEIRS: "Theirs", Choice.OTHER: value}[choice]
        assert case.read(self.record_id)["last_name"] == self.decided

    def edit_in_crm(self, name: str) -> None:
        self.case.server.service.clock.advance(120)
        values = dict(self.case.to_write({"last_name": name}, self.record_id).values)
        self.case.server.service.edit(self.kind, self.record_id, values)
        self.case.server.service.clock.advance(120)

    @property
    def link(self) -> SyncRecord:
        return SyncRecord.objects.get(crm_object_type=self.kind, crm_record_id=self.record_id)  # type: ignore[no-any-return]

    @property
    def contact(self) -> Contact:
        return Contact.objects.get(pk=self.link.local_record_id)  # type: ignore[no-any-return]

    def state(self) -> tuple[Any, ...]:
        row = Conflict.objects.get()
        sides = (row.status, row.base, row.ours, row.theirs, row.winner)
        in_crm = self.case.read(self.record_id)["last_name"]
        return (*sides, self.contact.last_name, in_crm, self.link.base["last_name"], self.link.sync_status)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("choice", "value"),
    [
        (Choice.THEIRS, None),
        pytest.param(Choice.OURS, None, marks=pytest.mark.thorough),
        pytest.param(Choice.OTHER, "Both", marks=pytest.mark.thorough),
    ],
    ids=str,
)
def test_every_crm_gets_its_value_back_after_the_decision_reached_it(case: Case, choice: Choice, value: Any) -> None:
    found = Dispute(case, choice, value)
    assert take_back().reopened == 1
    drain(case.row)
    assert found.state() == found.before
    case.pull_all(found.kind)
    drain(case.row)
    assert found.state() == found.before
    assert not SyncJob.objects.filter(state="dead").exists()


@pytest.mark.django_db
def test_a_page_that_comes_before_the_value_is_given_back_does_not_end_the_conflict(case: Case) -> None:
    found = Dispute(case, Choice.OURS)
    take_back()
    case.pull_all(found.kind)
    assert Conflict.objects.get().status == "decided"
    drain(case.row)
    assert found.state() == found.before


@pytest.mark.django_db
def test_what_somebody_edits_in_the_crm_meanwhile_is_not_written_over(case: Case) -> None:
    found = Dispute(case, Choice.OURS)
    take_back()
    found.edit_in_crm("Anew")
    drain(case.row)
    case.pull_all(found.kind)
    assert case.read(found.record_id)["last_name"] == "Anew"
    assert (Conflict.objects.get().status, Conflict.objects.get().theirs) == ("open", "Anew")


@pytest.mark.django_db
def test_a_person_who_is_forgotten_leaves_no_value_in_a_job(case: Case) -> None:
    found = Dispute(case, Choice.OURS)
    take_back()
    assert "Ours" in str(SyncJob.objects.get(kind=giving_back.KIND).payload)
    giving_back.forget_people(sender=Contact, contact_ids=[found.contact.pk])
    assert not SyncJob.objects.filter(kind=giving_back.KIND).exists()
