"""Possible duplicates: both people side by side, and what the two answers do."""

import re

import pytest
from django.db.models import F
from django.test import Client

from integrations import tenancy
from integrations.models import CrmConnection
from sync.models import Contact, MatchReview, Quarantine
from tests import factories
from tests.admin import pages
from tests.factories import World


def stored(row: MatchReview) -> MatchReview:
    with tenancy.everyone():
        found: MatchReview = MatchReview.objects.select_related("contact", "candidate").get(pk=row.pk)
    return found


def answered(client: Client, row: MatchReview, button: str) -> str:
    return client.post(pages.page(MatchReview, button, row.pk), follow=True).content.decode()


def test_both_people_and_the_reasons_are_shown(admin_client: Client, ours: World) -> None:
    shown = pages.html(admin_client, pages.page(MatchReview, "change", ours[MatchReview].pk))
    assert "Gracie" in shown
    assert "Name and company are spelled alike" in shown
    assert "Side by side" in shown


@pytest.mark.parametrize("button", ["same_person", "different_people"])
def test_a_link_only_asks(admin_client: Client, ours: World, button: str) -> None:
    assert '<form method="post">' in pages.html(admin_client, pages.page(MatchReview, button, ours[MatchReview].pk))
    assert stored(ours[MatchReview]).status == "open"


def test_the_same_person_becomes_one_contact(admin_client: Client, ours: World) -> None:
    assert "is one contact now" in answered(admin_client, ours[MatchReview], "same_person")
    row = stored(ours[MatchReview])
    assert (row.status, bool(row.decided_by)) == ("same", True)
    assert [bool(one.deleted_at) for one in (row.contact, row.candidate)] == [False, True]


def test_different_people_stay_two(admin_client: Client, ours: World) -> None:
    assert "They stay two contacts" in answered(admin_client, ours[MatchReview], "different_people")
    row = stored(ours[MatchReview])
    assert (row.status, row.contact.deleted_at, row.candidate.deleted_at) == ("different", None, None)


def test_what_cannot_be_joined_is_said(admin_client: Client, ours: World) -> None:
    row = stored(ours[MatchReview])
    factories.link(ours[CrmConnection], row.candidate, crm_record_id="second")
    assert "Merge them there" in answered(admin_client, row, "same_person")
    with tenancy.everyone():
        assert Contact.objects.get(pk=row.candidate_id).deleted_at is None


def test_another_tenants_question_is_not_there(admin_client: Client, theirs: World) -> None:
    for button in ("change", "same_person", "different_people"):
        assert admin_client.get(pages.page(MatchReview, button, theirs[MatchReview].pk)).status_code == 404


def test_who_was_joined_can_be_parted_again(admin_client: Client, ours: World) -> None:
    answered(admin_client, ours[MatchReview], "same_person")
    page = pages.html(admin_client, pages.page(MatchReview, "change", ours[MatchReview].pk))
    assert pages.page(MatchReview, "undo", ours[MatchReview].pk) in page
    assert "open again" in pages.html(admin_client, pages.page(MatchReview, "undo", ours[MatchReview].pk))
    assert "two contacts again" in answered(admin_client, ours[MatchReview], "undo")
    row = stored(ours[MatchReview])
    assert (row.status, row.contact.deleted_at, row.candidate.deleted_at) == ("open", None, None)


def test_what_was_edited_since_says_why_it_is_not_parted(admin_client: Client, ours: World) -> None:
    answered(admin_client, ours[MatchReview], "same_person")
    with tenancy.everyone():
        Contact.objects.filter(deleted_at=None).update(version=F("version") + 1)
    assert "changed or called since" in answered(admin_client, ours[MatchReview], "undo")


def test_the_page_of_a_contact_that_was_joined_into_another_opens(admin_client: Client, ours: World) -> None:
    answered(admin_client, ours[MatchReview], "same_person")
    row = stored(ours[MatchReview])
    loser, survivor = (row.contact, row.candidate) if row.contact.deleted_at else (row.candidate, row.contact)
    shown = pages.html(admin_client, pages.page(Contact, "change", loser.pk))
    assert f"Merged into: {survivor.pk}" in shown


def test_open_questions_come_first_and_an_empty_list_says_what_it_is_for(admin_client: Client, ours: World) -> None:
    row = stored(ours[MatchReview])
    with tenancy.everyone():
        other = factories.contact(row.tenant, first_name="Zoe", email="zoe@example.com")
        decided = MatchReview.objects.create(
            tenant=row.tenant, contact=other, candidate=row.candidate, by="fuzzy", score=0.99, status="different"
        )
    listed = pages.html(admin_client, pages.page(MatchReview, "changelist"))
    own, last = (listed.index(pages.page(MatchReview, "change", one.pk)) for one in (row, decided))
    assert own < last
    with tenancy.everyone():
        MatchReview.objects.all().delete()
    assert "Nobody has to decide anything here" in pages.html(admin_client, pages.page(MatchReview, "changelist"))


def test_after_an_answer_the_next_question_comes_by_itself(admin_client: Client, ours: World) -> None:
    first = ours[MatchReview]
    second = factories.review(first.contact, score=0.5)
    assert admin_client.get(pages.page(MatchReview, "in_turn"))["Location"] == pages.page(
        MatchReview, "change", first.pk
    )
    skipped = admin_client.get(pages.page(MatchReview, "skip", first.pk))
    assert skipped["Location"] == pages.page(MatchReview, "change", second.pk)
    answer = admin_client.post(pages.page(MatchReview, "different_people", first.pk), follow=True)
    assert answer.redirect_chain[-1][0] == pages.page(MatchReview, "change", second.pk)
    assert "They stay two contacts. 1 is left, this is the next." in answer.content.decode()
    assert "Nothing else waits for a decision." in answered(admin_client, second, "different_people")


def test_what_differs_between_two_people_is_marked(admin_client: Client, ours: World) -> None:
    shown = pages.html(admin_client, pages.page(MatchReview, "change", ours[MatchReview].pk))
    assert '<mark class="db-diff">' in shown


def test_quarantined_fields_are_released_one_after_the_other(admin_client: Client, ours: World) -> None:
    first = ours[Quarantine]
    other = factories.quarantine(first.record, first.contact, field="title", ours="Buyer", theirs="BUYER")
    shown = pages.html(admin_client, pages.page(Quarantine, "change", other.pk))
    assert "HubSpot made of it" in shown
    assert '<mark class="db-diff">' in shown
    assert admin_client.get(pages.page(Quarantine, "in_turn"))["Location"] == pages.page(Quarantine, "change", other.pk)
    answer = admin_client.post(pages.page(Quarantine, "release", other.pk), follow=True)
    assert answer.redirect_chain[-1][0] == pages.page(Quarantine, "change", first.pk)


def test_each_value_stands_under_its_person_and_nothing_else_does(admin_client: Client, ours: World) -> None:
    shown = pages.html(admin_client, pages.page(MatchReview, "change", ours[MatchReview].pk))
    heads = re.findall(r'data-label="([^"]*)"', shown)
    assert {"Gracie Hopper-acme", "Grace Hopper-acme"} <= set(heads)
    assert not [one for one in heads if "<" in one]
    assert "First name" in shown
    assert "Likeness of name and company" in shown
