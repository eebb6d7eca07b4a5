"""What the editor says of a mapping before it is saved: each mistake at its row, and what to do about it."""

from typing import Any

import pytest

from mapping.editor_catalog import Catalog
from mapping.editor_checks import Finding, blocks, findings
from mapping.editor_form import EditedRow
from mapping.editor_rows import Row, canonical
from mapping.models import CrmField

CHOICES = [["new", "New"], ["won", "Won"]]


def field(path: str, kind: str = "string", **facts: Any) -> CrmField:
    return CrmField(path=path, kind=kind, object_type="contacts", label=path.capitalize(), **facts)


CATALOG = Catalog(
    ("contacts",),
    {
        "contacts": {
            one.path: one
            for one in (
                field("firstname"),
                field("jobtitle", max_length=40),
                field("age", "integer"),
                field("stage", "picklist", options=CHOICES),
                field("created", "datetime", writable=False),
                field("birthday", "date"),
                field("agreed", "boolean"),
                field("account", "reference"),
                field("owner", "user"),
                field("nick", missing_since="2026-01-01T00:00Z"),
            )
        }
    },
)


def row(dialer_field: str = "first_name", crm_field: str = "firstname", **more: Any) -> Row:
    plain = {"crm_object": "contacts", "direction": "bidirectional", **more}
    return canonical({"dialer_field": dialer_field, "crm_field": crm_field, **plain})


def said(*rows: Row, in_force: tuple[Row, ...] = (), catalog: Catalog = CATALOG) -> list[Finding]:
    edited = [EditedRow(str(number), one) for number, one in enumerate(rows)]
    return findings(edited, catalog, list(in_force))


TABLE = {"transform": "picklist_map"}


@pytest.mark.parametrize(
    ("one", "level", "place", "words"),
    [
        (row("", "firstname"), "error", "dialer_field", "Choose the dialer field"),
        (row("first_name", ""), "error", "crm_field", "Choose the CRM field"),
        (row("compny", "firstname"), "error", "dialer_field", "did you mean"),
        (row("call_count", "age"), "error", "direction", "cannot be set by a CRM"),
        (row("first_name", "phones["), "error", "crm_field", "is not a path"),
        (row("first_name", "firstname", transform="custom", options={"expression": "value +"}), "error", "options", "JavaScript"),
        (row("first_name", "nickname"), "warning", "crm_field", "has no field nickname"),
        (row("first_name", "nick"), "error", "crm_field", "is gone"),
        (row("first_name", "created"), "error", "direction", "can't be written"),
        (row("first_name", "age"), "error", "transform", "the CRM will refuse it"),
        (row("first_name", "age", direction="inbound"), "", "", ""),
        (row("ai_score", "firstname", direction="outbound"), "", "", ""),
        (row("do_not_call", "age", transform="boolean_checkbox"), "error", "transform", "takes a whole number"),
        (row("last_called_at", "birthday", direction="outbound"), "warning", "transform", "a day without a time"),
        (row("last_called_at", "birthday", direction="outbound", transform="date_sfdc"), "", "", ""),
        (row("first_name", "account"), "error", "crm_field", "link to another record"),
        (row("first_name", "owner"), "error", "crm_field", "Choose the owner's e-mail"),
        (row("do_not_call", "firstname", direction="inbound"), "warning", "transform", "holds text"),
        (row("first_name", "firstname", transform="date_iso"), "warning", "transform", "doesn't go with"),
        (row("title", "jobtitle"), "warning", "validations", "at most 40 characters"),
        (row("title", "jobtitle", validations=[{"type": "length", "params": {"max": 40}}]), "", "", ""),
        (row("lead_status", "stage"), "warning", "transform", "takes only its own choices"),
        (row("lead_status", "stage", **TABLE, options={"map": {"A": "new", "B": "lost"}}, direction="outbound"),
         "error", "options", "has no choice “lost”"),
        (row("lead_status", "stage", **TABLE, options={"map": {"A": "new"}}), "warning", "options", "“Won” have no entry"),
        (row("lead_status", "stage", **TABLE, options={"map": {"A": "new"}, "unmapped": "pass"}), "", "", ""),
        (row("lead_status", "stage", **TABLE, options={"map": {}}), "error", "options", "at least one entry"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_mistake_is_told_at_its_place(one: Row, level: str, place: str, words: str) -> None:
    found = said(one)
    assert [(finding.level, finding.place, finding.key) for finding in found] == (
        [(level, place, "0")] if level else []
    )
    assert all(words in finding.text for finding in found)
    assert blocks(found) == (level == "error")


def test_what_has_worked_until_now_does_not_block() -> None:
    one = row("first_name", "created")
    changed = {**one, "required": True}
    assert [finding.level for finding in said(one, in_force=(one,))] == ["warning"]
    assert [finding.level for finding in said(changed, in_force=(one,))] == ["error"]


def test_two_rows_for_one_field_of_the_crm_are_an_error_at_the_second() -> None:
    found = said(row("title", "firstname"), row("first_name", "firstname"))
    assert [(one.level, one.key, one.place) for one in found] == [("error", "0", "crm_field")]
    assert "already written by first_name" in found[0].text


def test_two_rows_for_one_dialer_field_are_an_error() -> None:
    found = said(row(), row("first_name", "jobtitle"))
    assert [(one.level, one.key) for one in found] == [("error", "1")]


def test_a_required_field_that_nothing_sends_is_told_with_the_way_to_add_it() -> None:
    needed = Catalog(
        ("contacts",), {"contacts": {"firstname": field("firstname"), "lastname": field("lastname", required=True)}}
    )
    found = said(row(), catalog=needed)
    assert [(one.level, one.key, one.add) for one in found] == [("warning", "", "lastname")]
    assert said(row(), row("last_name", "lastname"), catalog=needed) == []
    only_read = said(row(), row("last_name", "lastname", direction="inbound"), catalog=needed)
    assert [one.add for one in only_read] == ["lastname"]


def test_a_row_that_is_switched_off_is_not_checked_against_the_crm() -> None:
    assert said(row("first_name", "age", active=False)) == []


def test_nothing_is_said_of_a_crm_whose_fields_are_not_known() -> None:
    assert said(row("first_name", "nickname"), catalog=Catalog(("contacts",))) == []


def test_a_field_on_another_object_is_checked_there() -> None:
    catalog = Catalog(
        ("Lead", "Contact"), {"Lead": {"Company": field("Company")}, "Contact": {"Age": field("Age", "integer")}}
    )
    one = row("company", "Company", crm_object="Lead", object_overrides={"Contact": "Age"})
    assert [finding.place for finding in said(one, catalog=catalog)] == ["transform"]
    elsewhere = row("company", "Company", crm_object="Lead", object_overrides={"Contact": None})
    assert said(elsewhere, catalog=catalog) == []
