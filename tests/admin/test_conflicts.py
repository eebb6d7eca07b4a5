"""The pages on which people decide conflicts, follow a value's story, go back to an older one, and release what was quarantined."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from integrations import tenancy
from integrations.models import CrmConnection
from mapping.models import FieldMapping
from sync.models import Conflict, Contact, FieldChange, Quarantine, SyncJob, SyncRecord
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.factories import World
from tests.rows import reread

BUTTONS = ("keep_ours", "take_theirs", "another_value", "ours_for_all", "theirs_for_all")


@pytest.fixture
def conflict(ours: World) -> Conflict:
    """The dialer says "Ours", the CRM "Theirs"."""
    with tenancy.everyone():
        Contact.objects.filter(pk=ours[Contact].pk).update(company="Ours")
        Conflict.objects.filter(pk=ours[Conflict].pk).update(ours="Ours", theirs="Theirs", base="Base")
        factories.mapping(ours[CrmConnection].tenant, "company", "company")
    return reread(ours[Conflict])  # type: ignore[no-any-return]


def press(client: Client, row: Any, name: str, data: Any = None) -> str:
    return client.post(pages.page(type(row), name, row.pk), data or {}, follow=True).content.decode()


def test_a_conflict_shows_both_sides_and_what_was_agreed(admin_client: Client, conflict: Conflict) -> None:
    shown = pages.html(admin_client, pages.page(Conflict, "change", conflict.pk))
    for words in ("Both sides", "Agreed before", "Base", "Ours", "Theirs", "somebody in HubSpot", "Story of Company"):
        assert words in shown
    for name in BUTTONS:
        assert pages.page(Conflict, name, conflict.pk) in shown


@pytest.mark.parametrize("name", BUTTONS)
def test_a_button_of_a_conflict_only_asks(name: str, admin_client: Client, conflict: Conflict) -> None:
    shown = pages.html(admin_client, pages.page(Conflict, name, conflict.pk))
    assert '<form method="post"' in shown
    assert reread(conflict).status == "open"


@pytest.mark.parametrize("name", BUTTONS)
def test_who_may_only_look_decides_nothing(
    name: str, ours: World, conflict: Conflict, sign_in: SignIn, tenant: Any
) -> None:
    looker = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = sign_in(looker)
    assert client.get(pages.page(Conflict, "change", conflict.pk)).status_code == 200
    assert client.post(pages.page(Conflict, name, conflict.pk)).status_code == 403
    assert reread(conflict).status == "open"


@pytest.mark.parametrize(("name", "kept"), [("keep_ours", "Ours"), ("take_theirs", "Theirs")])
def test_a_decision_is_made_and_its_buttons_are_gone(
    name: str, kept: str, admin_client: Client, conflict: Conflict
) -> None:
    shown = press(admin_client, conflict, name)
    assert "Decided. Both sides get the value now." in shown
    assert pages.page(Conflict, "keep_ours", conflict.pk) not in shown
    row = reread(conflict)
    assert (row.status, row.value, row.decided_by) == ("decided", kept, "admin-of-acme")
    assert reread(conflict.contact).company == kept
    assert "over already" in press(admin_client, conflict, "take_theirs")
    assert reread(conflict.contact).company == kept


def test_another_value_is_checked_before_it_is_taken(admin_client: Client, conflict: Conflict) -> None:
    with tenancy.everyone():
        Conflict.objects.filter(pk=conflict.pk).update(field="phone", ours="+14155550100", theirs="+14155550101")
    refused = press(admin_client, conflict, "another_value", {"value": "call me maybe"})
    assert "no valid phone number" in refused
    assert reread(conflict).status == "open"
    press(admin_client, conflict, "another_value", {"value": "(415) 555-0177"})
    assert reread(conflict.contact).phone == "+14155550177"
    assert reread(conflict).winner == "other"


def test_all_like_it_are_counted_before_and_decided_together(
    admin_client: Client, conflict: Conflict, ours: World, tenant: Any
) -> None:
    other = factories.contact(tenant, email="two@example.com", company="Mine")
    linked = factories.link(ours[CrmConnection], other, crm_record_id="502")
    factories.conflict(linked, other, ours="Mine", theirs="Yours")
    factories.conflict(linked, other, field="title", ours="a", theirs="b")
    asked = pages.html(admin_client, pages.page(Conflict, "theirs_for_all", conflict.pk))
    assert "2 open conflicts about Company with HubSpot are decided this way." in asked
    shown = press(admin_client, conflict, "theirs_for_all")
    assert "2 conflicts are decided." in shown
    assert "The rule for Company is now: The CRM wins." in shown
    with tenancy.everyone():
        assert set(Conflict.objects.filter(field="company").values_list("status", flat=True)) == {"decided"}
        assert Conflict.objects.get(field="title").status == "open"
        assert FieldMapping.objects.get(dialer_field="company").strategy == "crm_wins"


def test_another_tenants_conflict_is_not_there(
    admin_client: Client, ours: World, theirs: World, conflict: Conflict
) -> None:
    assert admin_client.post(pages.page(Conflict, "keep_ours", theirs[Conflict].pk)).status_code == 404
    assert reread(theirs[Conflict]).status == "open"


# --- the story of a value -------------------------------------------------------------------------------------------


def story(ours: World) -> tuple[FieldChange, FieldChange]:
    """The company was "Old Ltd", then the CRM made it "New Ltd"."""
    contact = ours[Contact]
    first = factories.change(contact, new="Old Ltd", source="person", actor="ann", rule="")
    last = factories.change(contact, old="Old Ltd", new="New Ltd", lost="Old Ltd", connection=ours[CrmConnection])
    with tenancy.everyone():
        Contact.objects.filter(pk=contact.pk).update(company="New Ltd")
    return first, last


def test_a_change_shows_the_story_of_its_field_with_ways_back(admin_client: Client, ours: World) -> None:
    first, last = story(ours)
    shown = pages.html(admin_client, pages.page(FieldChange, "change", last.pk))
    for words in ("Story of Company", "Old Ltd", "New Ltd", "Person: ann", "HubSpot, change reported", "The CRM wins"):
        assert words in shown
    assert pages.page(FieldChange, "restore", first.pk) in shown
    assert pages.page(FieldChange, "restore", last.pk) + "?lost=1" in shown


def test_restoring_tells_what_is_written_where_and_then_does_it(admin_client: Client, ours: World) -> None:
    first, _last = story(ours)
    asked = pages.html(admin_client, pages.page(FieldChange, "restore", first.pk))
    assert "becomes “Old Ltd” here. Now it is “New Ltd”." in asked
    assert "It is then written to: HubSpot contacts acme-501." in asked
    assert reread(ours[Contact]).company == "New Ltd"
    assert "Restored." in press(admin_client, first, "restore")
    assert reread(ours[Contact]).company == "Old Ltd"
    with tenancy.everyone():
        assert SyncJob.objects.filter(kind="push", local_record_id=ours[Contact].pk).exists()
        assert FieldChange.objects.latest("pk").actor == "admin-of-acme"


def test_a_value_that_stands_is_not_restored(admin_client: Client, ours: World) -> None:
    _first, last = story(ours)
    shown = admin_client.get(pages.page(FieldChange, "restore", last.pk), follow=True).content.decode()
    assert "is “New Ltd” already. There is nothing to restore." in shown


def test_a_value_from_the_contacts_creation_comes_back_too(admin_client: Client, ours: World) -> None:
    born = factories.change(ours[Contact], field="*", new={"title": "Buyer"}, source="api", actor="Dialer", rule="")
    page = pages.page(FieldChange, "restore", born.pk) + "?field=title"
    assert "Job title of" in pages.html(admin_client, page)
    admin_client.post(page)
    assert reread(ours[Contact]).title == "Buyer"
    assert admin_client.get(pages.page(FieldChange, "restore", born.pk)).status_code == 404


def test_who_may_only_look_restores_nothing(ours: World, sign_in: SignIn, tenant: Any) -> None:
    first, _last = story(ours)
    looker = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    assert sign_in(looker).post(pages.page(FieldChange, "restore", first.pk)).status_code == 403
    assert reread(ours[Contact]).company == "New Ltd"


# --- quarantine -----------------------------------------------------------------------------------------------------


def test_a_quarantined_field_shows_its_reason_and_can_be_released(admin_client: Client, ours: World) -> None:
    row = ours[Quarantine]
    shown = pages.html(admin_client, pages.page(Quarantine, "change", row.pk))
    assert "It bounced." in shown
    assert pages.page(Quarantine, "release", row.pk) in shown
    assert "is written to HubSpot again" in pages.html(admin_client, pages.page(Quarantine, "release", row.pk))
    assert reread(row).released_at is None
    shown = press(admin_client, row, "release")
    assert "Released." in shown
    assert pages.page(Quarantine, "release", row.pk) not in shown
    assert reread(row).released_by == "admin-of-acme"
    with tenancy.everyone():
        linked = SyncRecord.objects.get(pk=row.record_id)
        assert SyncJob.objects.filter(kind="push", connection=linked.connection_id).exists()
