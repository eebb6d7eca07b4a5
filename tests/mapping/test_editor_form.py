"""The editor's form: what a browser sends becomes the rows it was made from, and a change becomes that change alone."""

import json
from typing import Any

import pytest
from django.http import QueryDict

from mapping import editor_documents
from mapping.documents import InvalidDocument
from mapping.editor_diff import changes
from mapping.editor_form import HIDDEN, added, read, shown
from mapping.editor_rows import Row, canonical, published
from mapping.samples import samples

OBJECTS = ("Lead", "Contact")


def row(dialer_field: str = "lead_status", crm_field: str = "Status", **more: Any) -> Row:
    plain = {"crm_object": "Lead", "direction": "bidirectional", **more}
    return canonical({"dialer_field": dialer_field, "crm_field": crm_field, **plain})


TABLE = row(
    transform="picklist_map",
    options={"map": {"One": 1, "Two": "2", "Yes": True}, "unmapped": "pass", "default_inbound": None},
    validations=[{"type": "length", "params": {"max": 80}}, {"type": "enum", "params": {"values": [1, "b"]}}],
    object_overrides={"Contact": "Account.Status"},
    strategy="manual",
    on_blank="fill",
    required=True,
)


def sent(one: Row, **changed: Any) -> QueryDict:
    """What the browser sends of a closed row."""
    data = QueryDict(mutable=True)
    data["row"] = "0"
    main = {name: one[name] for name in ("dialer_field", "crm_field", "direction", "transform")}
    rest = json.dumps({name: one[name] for name in HIDDEN})
    for name, value in {"was": one["dialer_field"], "rest": rest, "shown": one["transform"], **main, **changed}.items():
        data[f"0-{name}"] = value
    return data


def opened(one: Row, **changed: Any) -> QueryDict:
    """What the browser sends of an open row with a table of choices."""
    data = sent(one)
    flat = {
        "open": "1", "crm_object": one["crm_object"], "required": "on", "active": "on", "strategy": one["strategy"],
        "on_blank": one["on_blank"], "o-unmapped": "pass", "o-default_inbound": "(empty)", "rules": "2",
        "v0-type": "length", "v0-max": "80", "v1-type": "enum", "v1-values": "1\r\nb", "on1": "other",
        "on1-path": "Account.Status", **changed,
    }  # fmt: skip
    for name, value in flat.items():
        data[f"0-{name}"] = value
    data.setlist("0-map-ours", ["One", "Two", "Yes", "Seen", ""])
    data.setlist("0-map-theirs", ["1", "2", "true", "", ""])
    return data


def test_a_closed_row_comes_back_as_it_was() -> None:
    assert read(sent(TABLE), OBJECTS).plain == [TABLE]


def test_an_open_row_comes_back_as_it_was_with_the_json_types_of_its_values() -> None:
    assert read(opened(TABLE), OBJECTS).plain == [TABLE]


@pytest.mark.parametrize(
    ("changed", "name", "value"),
    [
        ({"required": ""}, "required", False),
        ({"active": ""}, "active", False),
        ({"on1": "none"}, "object_overrides", {"Contact": None}),
        ({"on1": "same"}, "object_overrides", {}),
        ({"strategy": "nonsense"}, "strategy", ""),
        ({"rules": "0"}, "validations", []),
    ],
)
def test_a_change_changes_nothing_else(changed: dict[str, str], name: str, value: Any) -> None:
    (found,) = read(opened(TABLE, **changed), OBJECTS).plain
    assert found == {**TABLE, name: value}


def test_another_transform_begins_with_its_own_options_and_opens_where_it_needs_some() -> None:
    lower = read(sent(TABLE, transform="lowercase"), OBJECTS).rows[0]
    assert (lower.row["options"], lower.open) == ({}, False)
    table = read(sent(row(), transform="picklist_map"), OBJECTS).rows[0]
    assert (table.row["options"], table.open) == ({"map": {}}, True)


def test_nonsense_from_a_browser_becomes_a_row_that_the_checks_refuse() -> None:
    for rest in ("{", "[1]", '{"options": 5, "validations": [5]}', ""):
        (found,) = read(sent(row(), rest=rest, direction="sideways"), OBJECTS).plain
        assert (found["options"], found["validations"], found["direction"]) == ({}, [], "bidirectional")
    data = QueryDict("row=x&row=1&row=1&revision=99999999999&based_on=-1")
    assert [one.key for one in read(data, OBJECTS).rows] == ["1"]
    assert (read(data, OBJECTS).revision, read(data, OBJECTS).based_on) == (0, 0)


def test_a_new_row_is_open_at_the_end_in_the_direction_of_its_field() -> None:
    edited, key = added(shown([TABLE], revision=1, based_on=1), "Lead", "call_count", "Calls__c")
    assert (key, edited.rows[-1].key, edited.rows[-1].open) == ("1", "1", True)
    assert edited.rows[-1].row["direction"] == "outbound"


# --- files -------------------------------------------------------------------------------------------------------------


def test_an_export_read_again_has_the_same_rows_switched_off_ones_too() -> None:
    rows = [TABLE, row("title", "Title", active=False)]
    content = json.dumps(editor_documents.export(rows, "salesforce")).encode()
    found = editor_documents.read(content, "salesforce")
    assert sorted(found.rows, key=str) == sorted(rows, key=str)
    assert editor_documents.read(content, "hubspot").of_others == 2
    assert [one["dialer_field"] for one in published(found.rows)] == ["lead_status"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\x00", "This is no JSON file"),
        (b"{", "This is no JSON file"),
        (b"[" * 100_000, "This is no JSON file"),
        (b"[]", "has no part field_mappings"),
        (b'{"field_mappings": 5}', "Write a list of rows"),
        (b'{"field_mappings": [{"crm_provider": "hubspot"}]}', "field_mappings[0].dialer_field: This is missing"),
        (b" " * 1_000_001, "larger than 1,000,000 bytes"),
    ],
    ids=["bytes", "cut", "deep", "other", "no list", "row", "large"],
)
def test_a_file_that_is_no_mapping_is_refused_with_the_reason(content: bytes, words: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        editor_documents.read(content, "hubspot")
    assert words in str(refused.value)


# --- differences -------------------------------------------------------------------------------------------------------


def test_a_difference_is_told_in_words() -> None:
    before = [TABLE, row("title", "Title")]
    after = [{**TABLE, "options": {"map": {"One": 1}}, "required": False}, row("company", "Company")]
    told = {
        (one.kind, one.label): [(line.what, line.before, line.after) for line in one.lines]
        for one in changes(before, after)
    }
    before_words = "One → 1; Two → 2; Yes → True; a choice without an entry: pass; otherwise, in the dialer: empty"
    assert told["changed", "Lead status"] == [
        ("Transform options", before_words, "One → 1"),
        ("Required", "yes", "no"),
    ]
    assert [kind for kind, _label in told] == ["added", "changed", "removed"]
    assert ("CRM field", "", "Company") in told["added", "Company"]
    assert ("CRM field", "Title", "") in told["removed", "Job title"]
    assert changes(before, before) == []


def test_rows_of_an_old_version_without_all_keys_differ_in_nothing() -> None:
    old = {"dialer_field": "title", "crm_object": "Lead", "crm_field": "Title", "direction": "inbound"}
    assert changes([old], [row("title", "Title", direction="inbound")]) == []


def test_samples_are_a_few_different_short_values() -> None:
    records: list[dict[str, Any]] = [
        {"a": "x"},
        {"a": "x", "b": {"c": True}},
        {"a": ""},
        {"a": "y" * 90},
        {"a": 3},
        {"a": 4},
    ]
    assert samples(records, ["a", "b.c", "nothing", "a["]) == {"a": ["x", "y" * 39 + "…", "3"], "b.c": ["true"]}
