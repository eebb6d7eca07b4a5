"""Every value a field has held, who set it and which rule decided; and the way back to any of them."""

from typing import Any

import pytest

from integrations.models import CrmConnection
from mapping.publishing import add_defaults
from sync import editing, stories
from sync.editing import Author
from sync.models import Contact, FieldChange, SyncJob, SyncRecord, SyncRun
from tests import factories

DIALER = Author("api", "Dialer")


@pytest.fixture
def contact(scoped: CrmConnection) -> Contact:
    add_defaults(scoped)
    return editing.create(scoped.tenant_id, {"last_name": "Lee", "company": "First Ltd"}, DIALER)


def told_by_crm(contact: Contact, crm: CrmConnection, old: Any, new: Any, **more: Any) -> FieldChange:
    Contact.objects.filter(pk=contact.pk).update(company=new)
    found: FieldChange = FieldChange.objects.create(
        tenant_id=contact.tenant_id, contact=contact, field="company", old=old, new=new, source="crm", connection=crm, **more
    )  # fmt: skip
    contact.refresh_from_db()
    return found


def test_a_story_tells_every_value_newest_first_with_who_and_why(contact: Contact, scoped: CrmConnection) -> None:
    run = SyncRun.objects.create(tenant=scoped.tenant, connection=scoped, kind="catch_up", object_type="people")
    told_by_crm(contact, scoped, "First Ltd", "Second Ltd", run=run, mapping_version=3)
    editing.edit(contact.pk, {"company": "Third Ltd"}, Author("person", "ann"))
    contact.refresh_from_db()
    told_by_crm(contact, scoped, "Third Ltd", "Fourth Ltd", rule="crm_wins", lost="Third Ltd")
    editing.edit(contact.pk, {"last_name": "Leigh"}, DIALER)
    contact.refresh_from_db()
    found = stories.story(contact, "company")
    assert [(one.value, one.was, one.lost, one.who, one.rule, one.version, one.current) for one in found] == [
        ("Fourth Ltd", "Third Ltd", "Third Ltd", "Fake CRM, change reported by the CRM", "The CRM wins", None, True),
        ("Third Ltd", "Second Ltd", None, "Person: ann", "", None, False),
        ("Second Ltd", "First Ltd", None, f"Fake CRM, sync run {run.pk}", "", 3, False),
        ("First Ltd", None, None, "API key: Dialer", "", None, False),
    ]


def test_the_last_word_on_each_field_is_found_at_once(
    contact: Contact, scoped: CrmConnection, django_assert_num_queries: Any
) -> None:
    told_by_crm(contact, scoped, "First Ltd", "Second Ltd")
    with django_assert_num_queries(1):
        found = stories.latest(contact)
        assert {name: (one.value, one.who) for name, one in found.items()} == {
            "company": ("Second Ltd", "Fake CRM, change reported by the CRM"),
            "last_name": ("Lee", "API key: Dialer"),
        }


def test_an_older_value_comes_back_as_an_ordinary_edit(contact: Contact, scoped: CrmConnection) -> None:
    factories.link(scoped, contact, crm_object_type="people")
    told_by_crm(contact, scoped, "First Ltd", "Second Ltd")
    SyncJob.objects.all().delete()
    first = stories.story(contact, "company")[-1]
    restored = stories.restore(first.change, "ann", field="company")
    assert restored is not None
    assert (restored.company, restored.version) == ("First Ltd", 2)
    change = FieldChange.objects.latest("pk")
    assert (change.old, change.new, change.source, change.actor) == ("Second Ltd", "First Ltd", "person", "ann")
    assert SyncJob.objects.get().kind == "push"


def test_what_lost_can_be_restored_which_undoes_a_decision(contact: Contact, scoped: CrmConnection) -> None:
    change = told_by_crm(contact, scoped, "First Ltd", "Theirs", rule="manual", lost="Ours")
    restored = stories.restore(change, "ann", lost=True)
    assert restored is not None
    assert restored.company == "Ours"


def test_what_we_count_ourselves_is_not_restored(contact: Contact, scoped: CrmConnection) -> None:
    change = FieldChange.objects.create(tenant=scoped.tenant, contact=contact, field="call_count", new=3, source="call")
    assert not stories.restorable("call_count")
    with pytest.raises(ValueError, match="not set by people"):
        stories.restore(change, "ann")


def test_where_a_change_would_be_written_is_known_beforehand(contact: Contact, scoped: CrmConnection) -> None:
    linked: SyncRecord = factories.link(scoped, contact, crm_object_type="people")
    assert stories.destinations(contact, "company") == [linked]
    assert stories.destinations(contact, "title") == []
