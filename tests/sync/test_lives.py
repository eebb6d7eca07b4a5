"""Lives of records, in every CRM that can have them: who stands for the person afterwards, and where a call on the old id lands."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.utils import timezone

from activities import targets
from activities.models import Call
from integrations.records.events import Change, RemoteEvent
from integrations.records.remote import ChangePage
from integrations.registry import PROVIDERS
from mapping.publishing import compiled
from sync import inbox
from sync.inbound import PageWriter
from sync.inbox import Arrival
from sync.link_states import NO_LONGER_THERE
from sync.models import Contact, FeedCursor, FieldChange, InboxEvent, MatchReview, SyncRecord
from sync.work import work
from tests import factories
from tests.providers.case import PATIENCE, Case


@dataclass
class Stage:
    """One person in one CRM, and what can happen to them."""

    case: Case
    ids: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return self.case.provider.person_types[0]

    @property
    def service(self) -> Any:
        return self.case.server.service

    def somebody(self, name: str, *, told: bool = True, email: str = "") -> str:
        person = {
            "first_name": "Ann",
            "last_name": name,
            "email": email or f"{name.lower()}@lives.example",
            "company": "Lives",
        }
        fields = {key: one for key, one in self.case.to_write(person).values.items() if not isinstance(one, dict)}
        made = str(self.service.add(self.kind, fields))
        if told:
            self.tell(made, change=Change.CREATED)
        return made

    def tell(self, *ids: str, change: Change = Change.UPDATED, moved_to: str = "", kind: str = "") -> None:
        """An event arrives and everything that follows from it is worked."""
        event = RemoteEvent(
            f"told-{InboxEvent.objects.count()}",
            change,
            kind or self.kind,
            ids,
            occurred_at=timezone.now(),
            moved_to=moved_to,
        )
        inbox.store([Arrival(self.case.tenant.pk, self.case.row.pk, event)], inbox.WEBHOOK)
        self.settle()

    def settle(self) -> None:
        for _ in range(4):
            work(self.case.row.pk, patience=PATIENCE)
        assert not InboxEvent.objects.filter(state="received").exists()
        assert not InboxEvent.objects.filter(state="failed").exists()

    def delete(self, record_id: str) -> None:
        self.service.clock.advance(5)
        self.service.remove(self.kind, record_id)
        self.tell(record_id, change=Change.DELETED)

    def undelete(self, record_id: str) -> None:
        self.service.clock.advance(5)
        (self.service.restore if self.case.slug == "hubspot" else self.service.undelete)(self.kind, record_id)
        self.tell(record_id, change=Change.RESTORED)

    def merge(self, winner: str, loser: str) -> None:
        self.service.clock.advance(5)
        by_hand = self.service if hasattr(self.service, "merge") else self.case.provider
        by_hand.merge(self.kind, winner, loser)
        self.tell(winner, loser, change=Change.MERGED, moved_to=winner)

    def link(self, record_id: str) -> SyncRecord:
        found: SyncRecord = SyncRecord.objects.get(crm_record_id=record_id, local_table="contacts")
        return found

    def contact_of(self, record_id: str) -> Contact:
        found: Contact = Contact.objects.get(pk=self.link(record_id).local_record_id)
        return found

    def on_delete(self, policy: str) -> None:
        self.case.row.settings = {**self.case.row.settings, "on_delete": {self.kind: policy}}
        self.case.row.save(update_fields=["settings"])

    def call_lands_on(self, old_id: str) -> tuple[list[tuple[str, str]], Any]:
        call = Call(tenant=self.case.tenant, crm_provider=self.case.slug, crm_record_id=old_id)
        found = targets.locate(call, None)
        return [(one.object_type, one.record_id) for one in found], call.contact_id

    def lands(self, old_id: str, on: str, contact: Contact, kind: str = "") -> None:
        assert self.call_lands_on(old_id) == ([(kind or self.kind, on)], contact.pk)

    def one_contact(self, survivor: Contact, folded: Contact) -> None:
        """Only the survivor is left, and a call that names the other is the survivor's."""
        assert list(Contact.objects.filter(deleted_at=None)) == [survivor]
        call = Call(tenant=self.case.tenant)
        targets.locate(call, folded.pk)
        assert call.contact_id == survivor.pk

    def gone(self, record_id: str) -> set[str]:
        return set(self.link(record_id).metadata) & set(NO_LONGER_THERE)


# --- the lives ------------------------------------------------------------------------------------------------------


def deleted(stage: Stage) -> None:
    """The contact stays with its calls; the record can take no more of them."""
    one = stage.somebody("Deleted")
    contact = stage.contact_of(one)
    stage.delete(one)
    contact.refresh_from_db()
    assert (stage.gone(one), contact.deleted_at) == ({"deleted_at"}, None)
    assert stage.call_lands_on(one) == ([], contact.pk)


def undeleted(stage: Stage) -> None:
    one = stage.somebody("Undeleted")
    contact = stage.contact_of(one)
    stage.delete(one)
    stage.undelete(one)
    assert stage.gone(one) == set()
    stage.lands(one, one, contact)


def back_and_forth(stage: Stage) -> None:
    one = stage.somebody("Restless")
    contact = stage.contact_of(one)
    for _ in range(2):
        stage.delete(one)
        stage.undelete(one)
    stage.lands(one, one, contact)
    stage.delete(one)
    assert stage.gone(one) == {"deleted_at"}
    assert Contact.objects.count() == 1


def created_again(stage: Stage) -> None:
    """Under a new id, but the same address: the same person, and the old id leads to the new record."""
    one = stage.somebody("Again")
    contact = stage.contact_of(one)
    stage.delete(one)
    other = stage.somebody("Again")
    assert (other != one, Contact.objects.count()) == (True, 1)
    stage.lands(other, other, contact)
    stage.lands(one, other, contact)


def told_late(stage: Stage) -> None:
    """Neither an older event nor a page that was read before brings a deleted record back."""
    one = stage.somebody("Late")
    contact = stage.contact_of(one)
    record = stage.case.fetch(one)
    stage.delete(one)
    stage.tell(one)
    with compiled(stage.case.row, stage.kind).engine.session() as session:
        writer = PageWriter(stage.case.row, None, session, object_type=stage.kind)
        held = FeedCursor.objects.filter(feed="poll:late").first()
        writer.apply(ChangePage([record], {"at": 1}), "poll:late", held and held.value)
    assert stage.gone(one) == {"deleted_at"}
    assert stage.call_lands_on(one) == ([], contact.pk)


def deleted_here_too(stage: Stage) -> None:
    stage.on_delete("delete")
    one = stage.somebody("Follower")
    contact = stage.contact_of(one)
    version = contact.version
    stage.delete(one)
    contact.refresh_from_db()
    assert contact.deleted_at is not None
    assert contact.version == version + 1


def deleted_here_too_and_undeleted(stage: Stage) -> None:
    deleted_here_too(stage)
    one = SyncRecord.objects.get(local_table="contacts").crm_record_id
    stage.undelete(one)
    contact = stage.contact_of(one)
    assert contact.deleted_at is None
    assert "contact_deleted" not in stage.link(one).metadata
    stage.lands(one, one, contact)


def unlinked(stage: Stage) -> None:
    stage.on_delete("unlink")
    one = stage.somebody("Loose")
    contact = stage.contact_of(one)
    stage.delete(one)
    assert stage.link(one).local_record_id is None
    assert Contact.objects.get().deleted_at is None
    assert stage.call_lands_on(one) == ([], None)
    assert stage.link(one).metadata["contact"] == str(contact.pk)


def merged_into_a_stranger(stage: Stage) -> None:
    one, stranger = stage.somebody("Loser"), stage.somebody("Stranger", told=False)
    contact = stage.contact_of(one)
    stage.merge(stranger, one)
    assert Contact.objects.count() == 1
    stage.lands(one, stranger, contact)


def merged_of_two_known(stage: Stage) -> None:
    """The contact that was here first is left, with the winner's values and the calls of both."""
    one, other = stage.somebody("Loser"), stage.somebody("Winner")
    survivor, folded = stage.contact_of(one), stage.contact_of(other)
    calls = [factories.call(stage.case.tenant, survivor, external_id="one"), factories.call(stage.case.tenant, folded)]
    stage.merge(other, one)
    assert stage.gone(one) >= {"moved_to"}
    assert stage.link(one).metadata["same_as"] == str(survivor.pk)
    stage.lands(one, other, survivor)
    stage.one_contact(survivor, folded)
    survivor.refresh_from_db()
    assert survivor.last_name == stage.case.read(other)["last_name"]
    assert {call.contact_id for call in Call.objects.filter(pk__in=[call.pk for call in calls])} == {survivor.pk}


def merged_twice(stage: Stage) -> None:
    first, second, third = (stage.somebody(name) for name in ("First", "Second", "Third"))
    survivor = stage.contact_of(first)
    stage.merge(second, first)
    stage.merge(third, second)
    stage.lands(first, third, survivor)
    stage.lands(second, third, survivor)
    assert list(Contact.objects.filter(deleted_at=None)) == [survivor]


def unmerged(stage: Stage) -> None:
    one, other = stage.somebody("Loser"), stage.somebody("Winner")
    contact, survivor = stage.contact_of(one), stage.contact_of(other)
    call = factories.call(stage.case.tenant, survivor)
    stage.merge(other, one)
    stage.service.clock.advance(5)
    stage.service.undelete(stage.kind, one)
    row = stage.service.store.get(stage.kind, one)
    stage.service.store.put(stage.kind, one, {**row, "MasterRecordId": None})
    stage.tell(one, change=Change.RESTORED)
    assert stage.gone(one) == set()
    stage.lands(one, one, contact)
    stage.lands(other, other, survivor)
    assert Call.objects.get(pk=call.pk).contact_id == survivor.pk
    assert [Contact.objects.get(pk=each.pk).last_name for each in (contact, survivor)] == ["Loser", "Winner"]
    assert not MatchReview.objects.exists()


def converted(stage: Stage) -> None:
    """The lead's contact of ours goes with its calls to the record that the lead became."""
    lead = stage.somebody("Convert")
    contact = stage.contact_of(lead)
    stage.service.clock.advance(5)
    heir = stage.service.convert(lead)
    stage.tell(lead)
    assert Contact.objects.count() == 1
    stage.lands(lead, heir, contact, "Contact")
    assert stage.link(heir).local_record_id == contact.pk


def converted_after_its_heir_was_seen(stage: Stage) -> None:
    """The new record is met first, as a stranger: once the conversion is known both are one, under the id we knew first."""
    lead = stage.somebody("Early")
    contact = stage.contact_of(lead)
    call = factories.call(stage.case.tenant, contact)
    stage.service.clock.advance(5)
    heir = stage.service.convert(lead)
    stage.tell(heir, change=Change.CREATED, kind="Contact")
    stranger = stage.contact_of(heir)
    assert stranger.pk != contact.pk
    stage.tell(lead)
    stage.lands(lead, heir, contact, "Contact")
    stage.one_contact(contact, stranger)
    assert Call.objects.get(pk=call.pk).contact_id == contact.pk
    stage.tell(heir, lead, kind="Contact")
    assert Contact.objects.filter(deleted_at=None).count() == 1


def hidden(stage: Stage) -> None:
    """Not shown and not called deleted: whatever the policy, the person stays."""
    stage.on_delete("delete")
    one = stage.somebody("Hidden")
    contact = stage.contact_of(one)
    held = stage.service.store.get(stage.kind, one)
    stage.service.store.delete(stage.kind, one)
    stage.tell(one)
    contact.refresh_from_db()
    assert (stage.gone(one), contact.deleted_at) == ({"unseen_at"}, None)
    stage.lands(one, one, contact)
    stage.service.store.put(stage.kind, one, held)
    stage.tell(one)
    assert stage.gone(one) == set()
    stage.lands(one, one, contact)


Life = Callable[[Stage], None]
LIVES: tuple[Life, ...] = (
    deleted, undeleted, back_and_forth, created_again, told_late, deleted_here_too, deleted_here_too_and_undeleted, unlinked,
    merged_into_a_stranger, merged_of_two_known, merged_twice, unmerged, converted, converted_after_its_heir_was_seen, hidden,
)  # fmt: skip
CONVERSIONS = (converted, converted_after_its_heir_was_seen)
NO_BIN = "There is no recycle bin that anybody could take a record out of."
NO_MERGE = "A merge is told as the deletion of one of the two."
NO_CONVERSION = "A person stays the same kind of record."
CANNOT_HAVE: dict[tuple[str, Life], str] = {
    **{("followupboss", one): NO_BIN for one in (undeleted, back_and_forth, deleted_here_too_and_undeleted)},
    **{("followupboss", one): NO_MERGE for one in (merged_into_a_stranger, merged_of_two_known, merged_twice)},
    ("followupboss", unmerged): NO_MERGE,
    ("hubspot", unmerged): "A merge can't be undone.",
    **{(slug, one): NO_CONVERSION for slug in ("followupboss", "hubspot") for one in CONVERSIONS},
    ("followupboss", hidden): "Whom a credential does not see is never called missing.",
}
ROWS = [(slug, life) for slug in PROVIDERS for life in LIVES if (slug, life) not in CANNOT_HAVE]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("case", "life"), ROWS, indirect=["case"], ids=[f"{slug}-{life.__name__}" for slug, life in ROWS]
)
def test_a_record_lives(case: Case, life: Life) -> None:
    life(Stage(case))


# --- erased for privacy ---------------------------------------------------------------------------------------------


def erased_in_hubspot(stage: Stage) -> Contact:
    one = stage.somebody("Private")
    contact = stage.contact_of(one)
    factories.call(stage.case.tenant, contact, notes="Their secret")
    stage.service.erase(stage.service.store.get(stage.kind, one))
    stage.tell(one, change=Change.ERASED)
    contact.refresh_from_db()
    return contact


@pytest.mark.django_db
@pytest.mark.parametrize("case", ["hubspot"], indirect=True)
def test_somebody_who_was_erased_in_the_crm_is_forgotten_here_with_all_that_was_said(case: Case) -> None:
    contact = erased_in_hubspot(Stage(case))
    assert contact.deleted_at is not None
    assert (contact.first_name, contact.last_name, contact.email, contact.custom) == ("", "", "", {})
    change = FieldChange.objects.get(contact=contact)
    assert (change.field, change.old, change.new, change.rule) == ("*", None, None, "erased")
    link = SyncRecord.objects.get(local_record_id=contact.pk, local_table="contacts")
    assert (link.base, "erased_at" in link.metadata) == ({}, True)
    call = Call.objects.get()
    assert (call.phone, call.notes, call.duration_seconds) == ("", "", 342)
    assert {bytes(one.body) for one in InboxEvent.objects.all()} == {b""}


@pytest.mark.django_db
@pytest.mark.parametrize("case", ["hubspot"], indirect=True)
def test_what_was_joined_into_somebody_is_forgotten_with_them(case: Case) -> None:
    stage = Stage(case)
    one, other = stage.somebody("Private"), stage.somebody("Secret")
    stage.merge(other, one)
    stage.service.erase(stage.service.store.get(stage.kind, other))
    stage.tell(other, change=Change.ERASED)
    assert {(row.last_name, row.email, bool(row.deleted_at)) for row in Contact.objects.all()} == {("", "", True)}
    assert Contact.objects.count() == 2
    assert {(row.old, row.new, row.lost) for row in FieldChange.objects.all()} == {(None, None, None)}


@pytest.mark.django_db
@pytest.mark.parametrize("case", ["hubspot"], indirect=True)
def test_somebody_whom_another_crm_still_has_is_not_forgotten(case: Case) -> None:
    stage = Stage(case)
    one = stage.somebody("Private")
    contact = stage.contact_of(one)
    other = factories.connection(case.tenant, "followupboss")
    factories.link(other, contact, crm_object_type="people")
    stage.service.erase(stage.service.store.get(stage.kind, one))
    stage.tell(one, change=Change.ERASED)
    contact.refresh_from_db()
    assert (contact.deleted_at, contact.last_name) == (None, "Private")
