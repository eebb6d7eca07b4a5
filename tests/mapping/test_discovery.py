"""Looking at a CRM's fields again: what is kept, what is noted, what it costs."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import tenancy
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.fields import Description, FieldSpec
from mapping import discovery
from mapping.models import CrmField, CrmObject, SchemaChange
from mapping.publishing import add_defaults

FIELDS = [
    FieldSpec("first", "First name", "string"),
    FieldSpec("email", "E-mail", "email"),
    FieldSpec("company", "Company", "string", max_length=80),
]


class Described:
    """Stands for a provider as far as discovery asks it: what it says is what a test puts here."""

    person_types, call_type = ("people",), "calls"

    def __init__(self) -> None:
        self.fields = {"people": list(FIELDS), "calls": [FieldSpec("note", "Note", "text")]}
        self.stamp = "monday"
        self.read: list[str] = []

    def describe_if_changed(self, object_type: str, stamp: str) -> Description:
        if stamp and stamp == self.stamp:
            return Description(None, stamp)
        self.read.append(object_type)
        return Description(self.fields[object_type], self.stamp)


@pytest.fixture
def known(connection: CrmConnection) -> Iterator[tuple[CrmConnection, Any]]:
    """A connection whose fields were looked at once, and the CRM that said them."""
    with tenancy.scope(connection.tenant_id):
        crm = Described()
        add_defaults(connection)
        discovery.refresh(connection, crm)  # type: ignore[arg-type]
        crm.read.clear()
        yield connection, crm


def test_the_first_look_is_no_change(known: tuple[CrmConnection, Any]) -> None:
    assert CrmField.objects.count() == 4
    assert not SchemaChange.objects.exists()


def test_an_unchanged_object_is_not_read_again(known: tuple[CrmConnection, Any]) -> None:
    connection, crm = known
    before = CrmObject.objects.get(object_type="people").checked_at
    assert discovery.refresh(connection, crm, full=False) == []
    assert crm.read == []
    assert CrmObject.objects.get(object_type="people").checked_at > before


def test_once_a_day_everything_is_read_since_rights_change_in_silence(known: tuple[CrmConnection, Any]) -> None:
    connection, crm = known
    CrmObject.objects.update(read_at=timezone.now() - timedelta(days=1))
    discovery.refresh(connection, crm, full=False)
    assert crm.read == ["people", "calls"]


def test_a_field_that_is_gone_is_kept_marked_and_the_broken_row_named(known: tuple[CrmConnection, Any]) -> None:
    connection, crm = known
    crm.fields["people"] = [spec for spec in FIELDS if spec.path != "company"]
    changes = discovery.refresh(connection, crm)
    assert [(one.path, one.change, [row["dialer_field"] for row in one.breaks]) for one in changes] == [
        ("company", "removed", ["company"])
    ]
    assert CrmField.objects.get(path="company").missing_since is not None
    assert discovery.refresh(connection, crm) == [], "the same look again is news of nothing"


def test_a_field_that_comes_back_is_found_again(known: tuple[CrmConnection, Any]) -> None:
    connection, crm = known
    crm.fields["people"] = FIELDS[:2]
    discovery.refresh(connection, crm)
    crm.fields["people"] = FIELDS
    assert [one.change for one in discovery.refresh(connection, crm)] == ["returned"]
    assert CrmField.objects.get(path="company").missing_since is None


def test_what_breaks_nothing_is_noted_all_the_same(known: tuple[CrmConnection, Any]) -> None:
    connection, crm = known
    crm.fields["people"] = [*FIELDS, FieldSpec("fax", "Fax", "phone")]
    assert [(one.change, one.breaks) for one in discovery.refresh(connection, crm)] == [("added", [])]


def test_a_real_provider_is_asked_the_same_way(connection: CrmConnection) -> None:
    from integrations.crm import open_crm
    from integrations.transport.client import PERSON

    with tenancy.scope(connection.tenant_id):
        provider: CrmProvider = open_crm(connection, PERSON)[0]
        assert discovery.refresh(connection, provider) == []
        assert CrmField.objects.filter(object_type="people").count() == len(provider.describe("people"))
