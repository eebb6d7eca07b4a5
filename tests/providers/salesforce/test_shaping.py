"""Values on their way into fields: whatever a mapping hands over, what is sent suits the describe."""

from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations import errors
from integrations.providers.salesforce.schema import ObjectSchema
from integrations.providers.salesforce.shaping import Shaper, addresses, flat

TOKYO = ZoneInfo("Asia/Tokyo")
AVA = "005xx000001SwiUAAS"
KINDS = ("string", "boolean", "int", "double", "date", "datetime", "picklist", "multipicklist", "reference", "email")


def field(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "createable": True, "updateable": True, "nillable": True, **more}


SCHEMA = ObjectSchema(
    {
        "fields": [
            *(field(kind.title(), kind) for kind in KINDS),
            field("OwnerId", "reference", referenceTo=["User", "Group"], relationshipName="Owner", nillable=False),
            field("Fixed", "string", updateable=False),
            field("LastName", "string", nillable=False),
        ]
    }
)


def shape(values: dict[str, Any], *, create: bool = False, left_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    return Shaper(SCHEMA, {"ava@x.example": AVA}, TOKYO, left_out).shape(values, create=create)


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("String", 5, "5"),
        ("String", True, "true"),
        ("String", date(2026, 3, 2), "2026-03-02"),
        ("String", "", None),
        ("Boolean", "No", False),
        ("Boolean", None, False),
        ("Int", "7.6", 8),
        ("Double", Decimal("1.50"), 1.5),
        ("Double", "2", 2),
        ("Date", "2026-03-02T20:00:00+00:00", "2026-03-03"),
        ("Date", date(2026, 3, 2), "2026-03-02"),
        ("Date", "2026-03-02T20:00:00", "2026-03-02"),
        ("Datetime", "2026-03-02", "2026-03-01T15:00:00.000Z"),
        ("Datetime", datetime(2026, 3, 2, 1, 2, 3, 400_000, tzinfo=UTC), "2026-03-02T01:02:03.400Z"),
        ("Datetime", "2026-03-02T10:00:00", "2026-03-02T01:00:00.000Z"),
        ("Multipicklist", ["a", "b"], "a;b"),
        ("Multipicklist", "a; b", "a;b"),
        ("Reference", AVA[:15], AVA),
        ("OwnerId", "Ava@X.example", AVA),
        ("OwnerId", AVA, AVA),
    ],
)
def test_a_value_becomes_what_its_field_holds(name: str, value: Any, sent: Any) -> None:
    assert shape({name: value}) == {name: sent}


def test_an_owner_may_be_given_through_the_relation_and_never_be_cleared() -> None:
    assert shape({"Owner": {"Email": "ava@x.example"}}) == {"OwnerId": AVA}
    assert shape({"Owner": {"Email": None}, "String": "a"}) == {"String": "a"}


def test_a_creation_leaves_empty_values_out_and_an_update_leaves_out_what_is_set_once() -> None:
    assert shape({"String": None, "Fixed": "x"}, create=True) == {"Fixed": "x"}
    assert shape({"String": None, "Fixed": "x"}) == {"String": None}
    assert shape({"String": "a", "Email": "b"}, left_out=frozenset({"Email"})) == {"String": "a"}


@given(
    st.dictionaries(
        st.sampled_from([*(kind.title() for kind in KINDS), "Nope", "Owner.Email", "Fixed", "LastName"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=12)
        | st.lists(st.text(max_size=3), max_size=3),
        min_size=1,
    ),
    st.booleans(),
)
def test_whatever_comes_is_either_sent_in_the_fields_type_or_refused(values: dict[str, Any], create: bool) -> None:
    sent: dict[str, Any] = {}
    with suppress(errors.FixData, errors.FixConfig):
        sent = shape(values, create=create)
    for name, value in sent.items():
        kind = SCHEMA.fields[name]["type"]
        wanted = {"boolean": bool, "int": int, "double": int | float}.get(kind, str)
        assert value is None or isinstance(value, wanted)
        assert SCHEMA.fields[name]["createable" if create else "updateable"]


def test_nested_values_are_read_by_their_paths() -> None:
    values = {"A": 1, "B": {"C": 2, "D": {"E": "e@x.example"}}, "Owner": {"Email": "a@x.example"}}
    assert list(flat(values)) == [("A", 1), ("B.C", 2), ("B.D.E", "e@x.example"), ("Owner.Email", "a@x.example")]
    assert list(addresses(values)) == ["a@x.example"]
