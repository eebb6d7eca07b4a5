from datetime import UTC, datetime
from typing import Any

import pytest

from activities.models import Call
from activities.targets import locate
from integrations.models import CrmConnection
from sync import editing, folding, reviews, values
from sync.matching import Suspect
from sync.models import Contact, FieldChange, MatchReview, SyncJob, SyncRecord
from tests import factories


def two(crm: CrmConnection) -> tuple[Contact, Contact, MatchReview]:
    """Ann, who was here first, and Anne, who came later with a record of the CRM."""
    first = factories.contact(crm.tenant, first_name="Ann", email="", title="Buyer", call_count=2)
    later = factories.contact(crm.tenant, first_name="Anne", email="anne@example.com", do_not_call=True, call_count=3)
    link = factories.link(crm, later)
    reviews.note(crm, [reviews.Doubt(later.pk, link, [Suspect(first.pk, "fuzzy", 0.9, ("name_company_alike",))])])
    return first, later, MatchReview.objects.get()


def test_the_same_pair_is_asked_about_once_from_either_side(scoped: CrmConnection) -> None:
    first, later, review = two(scoped)
    reviews.are_different(review, "sam")
    for one, other in ((first, later), (later, first)):
        reviews.note(scoped, [reviews.Doubt(one.pk, None, [Suspect(other.pk, "email", 0.5)])])
    stored = MatchReview.objects.get()
    assert (stored.status, stored.decided_by) == ("different", "sam")


def test_the_same_person_becomes_one_contact_and_nothing_is_lost(scoped: CrmConnection) -> None:
    first, later, review = two(scoped)
    call = factories.call(scoped.tenant, later)
    factories.change(later)
    assert reviews.are_same(review, "sam").pk == first.pk
    survivor, loser = Contact.objects.get(pk=first.pk), Contact.objects.get(pk=later.pk)
    assert (survivor.first_name, survivor.email, survivor.title) == ("Ann", "anne@example.com", "Buyer")
    assert (survivor.do_not_call, survivor.call_count) == (True, 5)
    assert SyncRecord.objects.get().local_record_id == first.pk
    assert Call.objects.get(pk=call.pk).contact_id == first.pk
    assert loser.deleted_at is not None
    assert loser.custom == {"merged_into": str(first.pk)}
    assert FieldChange.objects.get(contact=first, field="first_name").lost == "Anne"
    assert FieldChange.objects.filter(contact=first, field="company", source="crm").exists()
    assert [job.local_record_id for job in SyncJob.objects.filter(kind="push")] == [first.pk]
    assert MatchReview.objects.get().status == "same"


def test_two_people_of_one_crm_are_not_joined_here(scoped: CrmConnection) -> None:
    first, _later, review = two(scoped)
    factories.link(scoped, first, crm_record_id="other")
    with pytest.raises(folding.NotMergeable, match="Merge them there"):
        reviews.are_same(review, "sam")
    assert Contact.objects.filter(deleted_at=None).count() == 2
    assert SyncRecord.objects.get(crm_record_id="other").local_record_id == first.pk


def test_a_decision_is_made_once(scoped: CrmConnection) -> None:
    _first, _later, review = two(scoped)
    reviews.are_same(review, "sam")
    with pytest.raises(folding.NotMergeable):
        reviews.are_same(review, "sam")


@pytest.mark.parametrize("which", ["first", "later"])
def test_the_last_call_of_either_is_the_survivors(scoped: CrmConnection, which: str) -> None:
    first, later, review = two(scoped)
    moments: dict[str, Any] = {"first": first, "later": later}
    at = datetime(2026, 1, 2, tzinfo=UTC)
    Contact.objects.filter(pk=moments[which].pk).update(last_called_at=at, last_disposition=which)
    survivor = reviews.are_same(review, "sam")
    assert (survivor.last_called_at, survivor.last_disposition) == (at, which)


def test_a_call_for_the_old_id_lands_on_the_survivor(scoped: CrmConnection) -> None:
    first, later, review = two(scoped)
    reviews.are_same(review, "sam")
    call = factories.call(scoped.tenant)
    assert [one.record_id for one in locate(call, later.pk)] == [SyncRecord.objects.get().crm_record_id]
    assert call.contact_id == first.pk


# --- undoing --------------------------------------------------------------------------------------------------------


def test_undoing_makes_two_again_as_they_were(scoped: CrmConnection) -> None:
    first, later, review = two(scoped)
    call = factories.call(scoped.tenant, later)
    factories.change(later)
    before = [shown(one) for one in (first, later)]
    reviews.are_same(review, "sam")
    SyncJob.objects.all().delete()
    reviews.undo(review, "kim")
    first.refresh_from_db()
    later.refresh_from_db()
    first.do_not_call = False  # what either forbids stays forbidden; see below
    assert [shown(one) for one in (first, later)] == before
    assert SyncRecord.objects.get().local_record_id == later.pk
    assert Call.objects.get(pk=call.pk).contact_id == later.pk
    assert FieldChange.objects.filter(contact=later, field="company", source="crm").exists()
    assert {job.local_record_id for job in SyncJob.objects.filter(kind="push")} == {later.pk}
    review.refresh_from_db()
    assert (review.status, review.decided_by, review.decided_at) == ("open", "", None)


def shown(contact: Contact) -> dict[str, Any]:
    return values.read(contact, (*folding.FILLED, "do_not_call", "call_count", "custom", "deleted_at"))


def test_do_not_call_is_not_taken_back_by_undoing(scoped: CrmConnection) -> None:
    first, later, review = two(scoped)
    reviews.are_same(review, "sam")
    reviews.undo(review, "sam")
    assert set(Contact.objects.filter(pk__in=[first.pk, later.pk]).values_list("do_not_call", flat=True)) == {True}


def test_who_was_edited_since_is_not_parted(scoped: CrmConnection) -> None:
    first, later, review = two(scoped)
    reviews.are_same(review, "sam")
    editing.edit(first.pk, {"company": "Elsewhere"}, editing.Author("api"))
    with pytest.raises(folding.NotMergeable, match="changed or called since"):
        reviews.undo(review, "sam")
    assert Contact.objects.filter(deleted_at=None).get().pk == first.pk
    assert SyncRecord.objects.get().local_record_id == first.pk
    assert folding.survivor_of(later.pk) == first.pk


def test_joined_undone_and_joined_again_is_one_contact(scoped: CrmConnection) -> None:
    first, _later, review = two(scoped)
    reviews.are_same(review, "sam")
    reviews.undo(review, "sam")
    reviews.are_same(review, "sam")
    assert Contact.objects.get(deleted_at=None).pk == first.pk
    assert Contact.objects.get(pk=first.pk).call_count == 5


def test_questions_about_the_one_that_went_come_back_with_it(scoped: CrmConnection) -> None:
    _first, later, review = two(scoped)
    other = factories.contact(scoped.tenant, first_name="Anny", email="anny@example.com")
    reviews.note(scoped, [reviews.Doubt(other.pk, None, [Suspect(later.pk, "email", 0.6, ("email_same",))])])
    reviews.are_same(review, "sam")
    assert MatchReview.objects.count() == 1
    reviews.undo(review, "sam")
    back = MatchReview.objects.get(contact=other)
    assert (back.candidate_id, back.reasons, back.status) == (later.pk, ["email_same"], "open")


def test_what_is_open_or_different_has_nothing_to_undo(scoped: CrmConnection) -> None:
    _first, _later, review = two(scoped)
    with pytest.raises(folding.NotMergeable, match="not joined"):
        reviews.undo(review, "sam")
