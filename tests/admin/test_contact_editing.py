"""A person changes a contact in the admin: as if the dialer had done it, and never over somebody else's change."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations import tenancy
from integrations.models import Tenant
from sync.models import Contact, FieldChange, Lane, SyncJob
from tests import factories
from tests.admin import pages
from tests.factories import World


def fields_of(contact: Contact, **changes: Any) -> dict[str, Any]:
    names = ("first_name", "last_name", "email", "phone", "mobile_phone", "company", "title", "lead_status")
    return {name: getattr(contact, name) for name in names} | {"seen_version": contact.version} | changes


def save(client: Client, contact: Contact, **changes: Any) -> Any:
    return client.post(pages.page(Contact, "change", contact.pk), fields_of(contact, **changes))


def test_an_edit_is_kept_with_its_author_and_carried_to_the_crms(admin_client: Client, ours: World) -> None:
    grace = ours[Contact]
    answer = save(admin_client, grace, title="Admiral", mobile_phone="(415) 555-0188", do_not_call="on")
    assert answer.status_code == 302
    with tenancy.everyone():
        held = Contact.objects.get(pk=grace.pk)
        story = FieldChange.objects.filter(contact=grace, source="person").order_by("field")
        assert list(story.values_list("field", "new", "actor")) == [
            ("do_not_call", True, ours[User].get_username()),
            ("mobile_phone", "+14155550188", ours[User].get_username()),
            ("title", "Admiral", ours[User].get_username()),
        ]
        assert (held.title, held.mobile_phone, held.do_not_call, held.version) == ("Admiral", "+14155550188", True, 2)
        assert held.call_count == grace.call_count
        jobs = SyncJob.objects.filter(kind="push", local_record_id=grace.pk)
        assert list(jobs.values_list("lane", flat=True)) == [Lane.DO_NOT_CALL]


def test_saving_without_a_change_changes_nothing(admin_client: Client, ours: World) -> None:
    assert save(admin_client, ours[Contact]).status_code == 302
    with tenancy.everyone():
        assert Contact.objects.get(pk=ours[Contact].pk).version == 1
        assert not SyncJob.objects.filter(kind="push").exists()


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(admin_client: Client, ours: World) -> None:
    with tenancy.everyone():
        Contact.objects.filter(pk=ours[Contact].pk).update(version=2, title="Rear admiral")
    answer = save(admin_client, ours[Contact], title="Admiral")
    assert answer.status_code == 200
    assert "Somebody changed this contact meanwhile" in answer.content.decode()
    with tenancy.everyone():
        assert Contact.objects.get(pk=ours[Contact].pk).title == "Rear admiral"


@pytest.mark.parametrize(
    ("field", "value"), [("phone", "555"), ("email", "nobody")], ids=["a phone", "an e-mail address"]
)
def test_what_can_not_be_dialled_or_written_to_is_refused(
    admin_client: Client, ours: World, field: str, value: str
) -> None:
    assert save(admin_client, ours[Contact], **{field: value}).status_code == 200
    with tenancy.everyone():
        assert Contact.objects.get(pk=ours[Contact].pk).version == 1


def test_a_deleted_contact_is_shown_and_not_changed(admin_client: Client, tenant: Tenant, ours: World) -> None:
    gone = factories.contact(tenant, email="gone@example.com", deleted_at=factories.now())
    assert admin_client.get(pages.page(Contact, "change", gone.pk)).status_code == 200
    assert save(admin_client, gone, title="Ghost").status_code == 403
