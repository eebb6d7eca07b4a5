"""Possible duplicates: both people side by side, and what the two answers do."""

import pytest
from django.test import Client

from integrations import tenancy
from integrations.models import CrmConnection
from sync.models import Contact, MatchReview
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
