from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapping import steps
from mapping.compiled import CompiledMapping, MappingRow

ROWS = (
    MappingRow("first_name", "Lead", "First", "bidirectional"),
    MappingRow("last_name", "Lead", "Last", "bidirectional", required=True),
    MappingRow("email", "Lead", "Email", "bidirectional", "lowercase"),
    MappingRow("owner_email", "Lead", "Owner.Email", "inbound"),
    MappingRow("phone", "Lead", "Phone", "bidirectional", "phone_e164"),
    MappingRow("mobile_phone", "Lead", "phones[type=mobile].value", "bidirectional", "phone_e164"),
    MappingRow("do_not_call", "Lead", "Dnc", "bidirectional", "boolean_checkbox"),
    MappingRow("lead_status", "Lead", "Status", "bidirectional", "picklist_map", {"map": {"New": "Open"}}),
    MappingRow("title", "Lead", "Title", "bidirectional", validations=({"type": "length", "params": {"max": 3}},)),
)
SIMPLE = (None, "", " ", "Ann", "x" * 255, "x" * 256, True, False, 0, 1.5, ["a"], {"b": 1}, "Open", "yes")
ADDRESSES = (
    "Ann@Example.com",
    " ann@example.com ",
    "ann@x",
    "a@b.c",
    "ä@exämple.com",
    "a b@c.de",
    "a" * 250 + "@example.com",
    "a@b..c",
)
NUMBERS = ("(415) 555-1234", "+14155551234", "+442071838750", "12345", 4155551234)
VALUES = st.sampled_from(SIMPLE + ADDRESSES + NUMBERS)
FIELDS = ("First", "Last", "Email", "Phone", "Dnc", "Status", "Title")
RECORDS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(FIELDS, VALUES)
    | {"Owner": st.fixed_dictionaries({}, optional={"Email": VALUES}) | st.none()}
    | {"phones": st.lists(st.fixed_dictionaries({"type": st.just("mobile"), "value": VALUES}), max_size=2)},
)
KEPT = st.fixed_dictionaries({}, optional={row.dialer_field: VALUES for row in ROWS})


@pytest.fixture
def by_steps(monkeypatch: pytest.MonkeyPatch) -> CompiledMapping:
    """Whose sessions settle nothing on the spot."""
    monkeypatch.setattr("mapping.compiled.read_line", lambda *about: bare(steps.read_line(*about)))
    monkeypatch.setattr("mapping.compiled.write_line", lambda *about: bare(steps.write_line(*about)))
    return MAPPING


def bare(line: Any) -> Any:
    return line._replace(source=None)


MAPPING = CompiledMapping.compile(ROWS, object_type="Lead")
QUICK = MAPPING.session()


def told(mapped: Any) -> tuple[Mapping[str, Any], set[Any]]:
    return mapped.values, set(mapped.problems)


def test_what_is_settled_on_the_spot_is_what_the_full_steps_give(by_steps: CompiledMapping) -> None:
    slow = by_steps.session()

    @settings(max_examples=150, deadline=None, database=None)
    @given(record=RECORDS, kept=KEPT, partial=st.booleans())
    def check(record: dict[str, Any], kept: dict[str, Any], partial: bool) -> None:
        assert told(QUICK.inbound(record, partial=partial)) == told(slow.inbound(record, partial=partial))
        assert told(QUICK.outbound(kept)) == told(slow.outbound(kept))

    check()


def test_a_name_in_a_mapping_never_becomes_code() -> None:
    odd = '"]; raise SystemExit #'
    rows = [replace(ROWS[0], crm_field=f'"{odd.replace(chr(34), chr(92) + chr(34))}"')]
    session = CompiledMapping.compile(rows, object_type="Lead").session()
    assert session.inbound({odd: "Ann"}).values == {"first_name": "Ann"}
    assert session.outbound({"first_name": "Ann"}).values == {odd: "Ann"}
