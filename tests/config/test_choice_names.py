"""Names of choices are kept by their fields, and are those that Django gives."""

import pytest
from django.apps import apps
from django.db.models import Model
from django.utils.translation import gettext_lazy, override

from integrations.models import CrmConnection


def test_every_value_of_every_field_is_called_as_django_calls_it() -> None:
    looked_at = 0
    for model in apps.get_models():
        for field in model._meta.fields:
            for value, _name in (*(field.flatchoices or ()), ("no such value", "")):
                row = model(**{field.attname: value})
                name = getattr(row, f"get_{field.name}_display", None)
                assert name is None or name() == Model._get_FIELD_display(row, field), f"{field}: {value}"  # type: ignore[attr-defined]
                looked_at += name is not None
    assert looked_at > 50


def test_a_name_is_in_the_language_of_who_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    field = CrmConnection._meta.get_field("status")
    monkeypatch.setattr(field, "choices", [("connected", gettext_lazy("Yes"))])
    row = CrmConnection(status="connected")
    assert row.get_status_display() == "Yes"
    with override("de"):
        assert row.get_status_display() == "Ja"


def test_choices_that_were_replaced_give_their_names_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    field = CrmConnection._meta.get_field("status")
    row = CrmConnection(status="connected")
    before = row.get_status_display()
    monkeypatch.setattr(field, "choices", [("connected", "In step")])
    assert row.get_status_display() == "In step"
    monkeypatch.undo()
    assert row.get_status_display() == before
