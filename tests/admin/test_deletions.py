"""What a deletion in the CRM does here is chosen on the connection's page."""

import pytest
from django.test import Client

from integrations import tenancy
from integrations.models import CrmConnection
from sync import departed
from tests.admin import pages
from tests.factories import World


def address(row: CrmConnection) -> str:
    return pages.page(CrmConnection, "deletions", row.pk)


def stored(row: CrmConnection) -> CrmConnection:
    with tenancy.everyone():
        found: CrmConnection = CrmConnection.objects.get(pk=row.pk)
    return found


def test_the_connections_page_says_what_deletions_do_and_leads_to_the_form(admin_client: Client, ours: World) -> None:
    row = ours[CrmConnection]
    shown = pages.html(admin_client, pages.page(CrmConnection, "change", row.pk))
    assert "Keep the contact and mark its link" in shown
    assert address(row) in shown
    form = pages.html(admin_client, address(row))
    assert "Delete the contact here too" in form
    assert "dialers learn of it" in form


@pytest.mark.parametrize("chosen", ["mark", "unlink", "delete"])
def test_what_is_chosen_is_kept_beside_the_other_settings(admin_client: Client, ours: World, chosen: str) -> None:
    row = ours[CrmConnection]
    others = dict(row.settings)
    answer = admin_client.post(address(row), {"contacts": chosen}, follow=True)
    assert "It holds for deletions from now on" in answer.content.decode()
    assert stored(row).settings == {**others, "on_delete": {"contacts": chosen}}
    assert departed.policy(stored(row), "contacts") == chosen


@pytest.mark.parametrize("chosen", ["explode", ""])
def test_anything_else_is_refused_and_changes_nothing(admin_client: Client, ours: World, chosen: str) -> None:
    row = ours[CrmConnection]
    answer = admin_client.post(address(row), {"contacts": chosen})
    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert stored(row).settings == row.settings


def test_no_other_word_is_ever_stored(ours: World) -> None:
    with tenancy.everyone(), pytest.raises(ValueError, match="mark, unlink or delete"):
        departed.set_policies(ours[CrmConnection], {"contacts": "explode"})


def test_another_tenants_connection_is_not_there(admin_client: Client, theirs: World) -> None:
    assert admin_client.post(address(theirs[CrmConnection]), {"contacts": "delete"}).status_code == 404
    assert "on_delete" not in stored(theirs[CrmConnection]).settings
