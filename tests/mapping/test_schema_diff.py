"""What a changed field means for the mapping."""

from dataclasses import replace
from typing import Any

import pytest

from integrations.records.fields import FieldSpec
from mapping.compiled import MappingRow
from mapping.schema_diff import Difference, broken_by, differences

PHONE = FieldSpec("Phone", "Phone", "phone", max_length=40)
STATUS = FieldSpec("Status", "Lead status", "picklist", options=(("Open", "Open"), ("Working", "Working")))


def row(field: str, path: str, direction: str = "bidirectional", **more: Any) -> MappingRow:
    return MappingRow(field, "Lead", path, direction, **more)


def test_two_equal_looks_differ_in_nothing() -> None:
    assert differences({"Phone": PHONE, "Status": STATUS}, [], [STATUS, PHONE]) == []


def test_the_order_of_choices_means_nothing() -> None:
    turned = replace(STATUS, options=tuple(reversed(STATUS.options)))
    assert differences({"Status": STATUS}, [], [turned]) == []


@pytest.mark.parametrize(
    ("known", "missing", "found", "expected"),
    [
        ([], [], [PHONE], [("Phone", "added")]),
        ([PHONE], [], [], [("Phone", "removed")]),
        ([PHONE], ["Phone"], [], []),
        ([PHONE], ["Phone"], [PHONE], [("Phone", "returned")]),
        ([PHONE], [], [replace(PHONE, kind="string", writable=False)], [("Phone", "kind"), ("Phone", "writable")]),
        ([PHONE], [], [replace(PHONE, max_length=20)], [("Phone", "max_length")]),
        ([STATUS], [], [replace(STATUS, options=(("Open", "Open"),))], [("Status", "options")]),
    ],
    ids=["new", "gone", "still gone", "back", "type and right", "length", "choices"],
)
def test_each_kind_of_change_is_named(
    known: list[FieldSpec], missing: list[str], found: list[FieldSpec], expected: list[tuple[str, str]]
) -> None:
    result = differences({spec.path: spec for spec in known}, missing, found)
    assert [(one.path, one.change) for one in result] == expected


@pytest.mark.parametrize(
    ("difference", "mapped", "word"),
    [
        (Difference("Phone", "Phone", "removed"), row("phone", "Phone"), "no such field"),
        (Difference("phones", "Phones", "removed"), row("phone", "phones[type=work].value"), "no such field"),
        (Difference('customFields."Last Called"', "x", "removed"), row("a", 'customFields."Last Called"'), "no such"),
        (Difference("Owner.Email", "Owner", "removed"), row("owner_email", "Owner.Email", "inbound"), "no such"),
        (Difference("Fax", "Fax", "removed"), row("phone", "Phone || Fax"), "no such field"),
        (Difference("Phone", "Phone", "writable", True, False), row("phone", "Phone"), "write this field"),
        (Difference("Phone", "Phone", "kind", "phone", "number"), row("phone", "Phone", "inbound"), "type phone"),
        (Difference("Phone", "Phone", "max_length", 40, 20), row("phone", "Phone", "outbound"), "20 characters"),
        (Difference("Phone", "Phone", "required", False, True), row("phone", "Phone", "inbound"), "demands"),
        (
            Difference("Status", "Status", "options", [["Open", "Open"], ["Won", "Won"]], [["Open", "Open"]]),
            row("lead_status", "Status", transform="picklist_map", options={"map": {"New": "Won"}}),
            "no longer offers Won",
        ),
    ],
    ids=["gone", "list", "custom", "related", "alternative", "read-only", "type", "length", "required", "choice"],
)
def test_a_change_that_breaks_a_row_says_why(difference: Difference, mapped: MappingRow, word: str) -> None:
    broken = broken_by(difference, [mapped], "Lead")
    assert [one.dialer_field for one in broken] == [mapped.dialer_field]
    assert word in broken[0].why


@pytest.mark.parametrize(
    ("difference", "mapped"),
    [
        (Difference("Phone", "Phone", "label", "Phone", "Telephone"), row("phone", "Phone")),
        (Difference("Phone", "Phone", "added"), row("phone", "Phone")),
        (Difference("Phone", "Phone", "writable", True, False), row("phone", "Phone", "inbound")),
        (Difference("Phone", "Phone", "max_length", 20, 40), row("phone", "Phone")),
        (Difference("Email", "E-mail", "removed"), row("phone", "Phone")),
        (Difference("Email", "E-mail", "removed"), row("email", "Email", object_overrides={"Lead": None})),
        (
            Difference("Status", "Status", "options", [["Open", "Open"], ["Won", "Won"]], [["Open", "Open"]]),
            row("lead_status", "Status", transform="picklist_map", options={"map": {"New": "Open"}}),
        ),
    ],
    ids=["label", "new", "read-only but only read", "longer", "other field", "not mapped there", "unused choice"],
)
def test_a_harmless_change_breaks_nothing(difference: Difference, mapped: MappingRow) -> None:
    mapped = replace(mapped, crm_object="Contact") if mapped.object_overrides else mapped
    assert broken_by(difference, [mapped], "Lead") == []
