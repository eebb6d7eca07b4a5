import copy
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mapping.paths import MISSING, Path, PathError, compile_path
from mapping.places import At, Place, Segment, Where

PERSON: dict[str, Any] = {
    "FirstName": "Ann",
    "Middle": "",
    "Owner": {"Email": "bob@example.com"},
    "Account": None,
    "emails": [{"value": "a@example.com"}, {"value": "b@example.com"}],
    "phones": [
        {"type": "home", "value": "1"},
        {"type": "work", "value": "", "isPrimary": 1},
        {"type": "mobile", "value": "3", "isPrimary": 0},
    ],
    "faxes": [],
    "customFields": {"Last Called": "2024-01-15", 'a "b" \\c': 7},
    "tags": ["x", None],
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("FirstName", "Ann", id="name"),
        pytest.param(" FirstName ", "Ann", id="blanks around"),
        pytest.param("Middle", "", id="empty"),
        pytest.param("Unknown", MISSING, id="not in the record"),
        pytest.param("Owner.Email", "bob@example.com", id="nested"),
        pytest.param("Owner.Phone", MISSING, id="nested, not in the record"),
        pytest.param("Account.Name", None, id="behind null"),
        pytest.param("FirstName.Email", MISSING, id="behind text"),
        pytest.param("emails[1].value", "b@example.com", id="place"),
        pytest.param("emails[2].value", None, id="place behind the end"),
        pytest.param("faxes[0].value", None, id="place in an empty list"),
        pytest.param("letters[0].value", MISSING, id="place in no list"),
        pytest.param("Owner[0].value", MISSING, id="place in an object"),
        pytest.param("tags[0]", "x", id="place without a name behind"),
        pytest.param("tags[0].x", MISSING, id="name behind text"),
        pytest.param("tags[1].x", None, id="name behind null"),
        pytest.param("phones[type=mobile].value", "3", id="condition"),
        pytest.param("phones[type=fax].value", None, id="condition nobody meets"),
        pytest.param("phones[isPrimary=1].type", "work", id="condition on a number"),
        pytest.param("phones[isPrimary=true].type", None, id="a number is no boolean"),
        pytest.param('customFields."Last Called"', "2024-01-15", id="quoted"),
        pytest.param('customFields."a \\"b\\" \\\\c"', 7, id="escapes"),
        pytest.param("phones[type=work].value || phones[type=home].value", "1", id="falls through an empty one"),
        pytest.param("phones[type=fax].value||phones[type=work].value", None, id="nothing in any alternative"),
        pytest.param("Unknown || Middle", "", id="an empty one beats a missing one"),
        pytest.param("Unknown || Other", MISSING, id="all missing"),
        pytest.param("phones[0].value (type:mobile)", "3", id="place annotated with its type"),
    ],
)
def test_get_tells_a_value_from_nothing_and_from_not_said(text: str, value: object) -> None:
    assert compile_path(text).get(PERSON) is value or compile_path(text).get(PERSON) == value


@pytest.mark.parametrize(
    ("text", "after"),
    [
        pytest.param("FirstName", {"FirstName": "new"}, id="name"),
        pytest.param("Owner.Email", {"Owner": {"Email": "new"}}, id="nested"),
        pytest.param("emails[0].value", {"emails": [{"value": "new"}]}, id="place"),
        pytest.param("tags[1]", {"tags": [{}, "new"]}, id="place without a name behind"),
        pytest.param("phones[type=work].value", {"phones": [{"type": "work", "value": "new"}]}, id="condition"),
        pytest.param("p[isPrimary=1].value", {"p": [{"isPrimary": 1, "value": "new"}]}, id="condition on a number"),
        pytest.param('p[on="1"].value', {"p": [{"on": "1", "value": "new"}]}, id="condition on quoted digits"),
        pytest.param("p[on=true].value", {"p": [{"on": True, "value": "new"}]}, id="condition on a boolean"),
        pytest.param('customFields."Last Called"', {"customFields": {"Last Called": "new"}}, id="quoted"),
        pytest.param("a || b", {"a": "new"}, id="the first alternative"),
    ],
)
def test_set_makes_what_is_not_there(text: str, after: object) -> None:
    record: dict[str, Any] = {}
    compile_path(text).set(record, "new")
    assert record == after


def test_set_changes_one_list_entry_and_keeps_the_others() -> None:
    record = copy.deepcopy(PERSON)
    compile_path("phones[type=work].value").set(record, "2")
    assert record["phones"] == [
        {"type": "home", "value": "1"},
        {"type": "work", "value": "2", "isPrimary": 1},
        {"type": "mobile", "value": "3", "isPrimary": 0},
    ]


@pytest.mark.parametrize("text", ["FirstName.x", "FirstName[0].x", "Owner[type=a].x", "emails.x", "tags[0].x"])
def test_set_refuses_to_replace_a_value_of_another_kind_on_the_way(text: str) -> None:
    record = copy.deepcopy(PERSON)
    with pytest.raises(PathError, match="cannot be written into"):
        compile_path(text).set(record, "new")
    assert record == PERSON


def test_entries_without_a_value_are_dropped_only_when_asked() -> None:
    record: dict[str, Any] = {
        "phones": [{"type": "home", "value": "1"}, {"type": "work", "value": "2", "isPrimary": 1}]
    }
    path = compile_path("phones[type=work].value")
    path.set(record, None)
    assert len(record["phones"]) == 2
    path.drop_emptied(record)
    assert record["phones"] == [{"type": "home", "value": "1"}]


def test_an_entry_with_other_data_is_not_dropped() -> None:
    record: dict[str, Any] = {"addresses": [{"type": "home", "city": None, "state": "CA"}]}
    compile_path("addresses[type=home].city").drop_emptied(record)
    assert record == {"addresses": [{"type": "home", "city": None, "state": "CA"}]}


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        pytest.param("a.", 3, "a field name, but the text ends there", id="ends with a dot"),
        pytest.param(".a", 1, 'a field name, but found ".a"', id="starts with a dot"),
        pytest.param("Last Called", 5, '"." or "||"', id="blank without quotes"),
        pytest.param("a | b", 2, '"." or "||"', id="one bar"),
        pytest.param("a || ", 5, "a field name", id="no second alternative"),
        pytest.param("a[", 3, "a place such as 0", id="bracket not closed"),
        pytest.param("a[0", 4, '"]"', id="place not closed"),
        pytest.param("a[type", 7, '"="', id="condition without a value"),
        pytest.param("a[type=", 8, "a value", id="condition without a value behind ="),
        pytest.param("a[type=b]", 10, "the field of the entry", id="condition without a name behind"),
        pytest.param("a[type=b].type", 11, "another field than type", id="the field it is chosen by"),
        pytest.param("a[100]", 3, "a place in the list from 0 to 99", id="place too large"),
        pytest.param("a[0][1]", 5, '"." or "||"', id="list in a list"),
        pytest.param('"a', 1, "text between two quotes", id="quote not closed"),
        pytest.param('""', 1, "text between two quotes", id="empty quotes"),
        pytest.param(".".join("abcdefghijk"), 22, "at most 10 names", id="too deep"),
    ],
)
def test_a_faulty_path_is_explained_with_its_position(text: str, position: int, expected: str) -> None:
    with pytest.raises(PathError) as caught:
        compile_path(text)
    assert f"character {position} " in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize("text", ["", "   ", "a" * 501], ids=["empty", "blank", "too long"])
def test_an_empty_or_endless_path_is_refused(text: str) -> None:
    with pytest.raises(PathError):
        compile_path(text)


def test_root_is_what_has_to_be_fetched() -> None:
    path = compile_path("phones[type=mobile].value || cell.value || phones[0].value")
    assert path.root == "phones"
    assert (path.plain_key, compile_path("Email").plain_key) == (None, "Email")
    assert (path.writes_list, compile_path("Owner.Email").writes_list) == (True, False)


# Two names come often, so that a path meets what is in a record.
names = st.sampled_from(["a", "b"]) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
picks = (
    st.none()
    | st.integers(0, 5).map(At)
    | st.builds(Where, names, names | st.integers(-(10**12), 10**12) | st.booleans())
)


@st.composite
def places(draw: st.DrawFn) -> Place:
    segments = draw(st.lists(st.builds(Segment, names, picks), min_size=1, max_size=4))
    if isinstance(segments[-1].pick, Where):
        segments.append(Segment(draw(names)))
    chosen_by = [one.pick.key if isinstance(one.pick, Where) else None for one in segments]
    assume(all(key != one.name for key, one in zip(chosen_by, segments[1:], strict=False)))
    return Place(tuple(segments))


paths = st.lists(places(), min_size=1, max_size=3).map(lambda some: Path("", tuple(some)))
leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
records = st.dictionaries(
    names,
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(paths)
def test_the_plainest_spelling_of_a_path_reads_back_as_the_same_path(path: Path) -> None:
    if len(str(path)) <= 500:
        assert compile_path(str(path)) == path


@given(st.text(max_size=40) | st.text('ab.[]="\\| 01', max_size=20))
def test_garbage_raises_nothing_but_a_path_error(text: str) -> None:
    try:
        path = compile_path(text)
    except PathError:
        return
    assert compile_path(str(path)) == path


def _leaves(value: Any, at: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        return {at: value}
    return {place: leaf for key, one in inner for place, leaf in _leaves(one, (*at, key)).items()}


@given(paths, records, st.text(min_size=1, max_size=5))
def test_what_was_set_is_what_is_got(path: Path, record: dict[str, Any], value: str) -> None:
    before = copy.deepcopy(record)
    try:
        path.set(record, value)
    except PathError:
        assert _leaves(record) == _leaves(before)
        return
    assert path.get(record) == value


@given(places(), places(), st.text(min_size=1, max_size=5))
def test_set_leaves_every_other_leaf_as_it_was(made: Place, path: Place, value: str) -> None:
    record: dict[str, Any] = {}
    made.set(record, "old")
    before = _leaves(copy.deepcopy(record))
    try:
        path.set(record, value)
    except PathError:
        return
    after = _leaves(record)
    changed = [at for at, leaf in before.items() if at in after and after[at] != leaf]
    gone = [at for at in before if at not in after]
    assert all(after[at] == value for at in changed)
    assert len(changed) <= 1
    # Only a value set in the place of an object or a list takes the leaves inside of it away.
    written = [at for at, leaf in after.items() if leaf == value]
    assert all(any(at[: len(new)] == new for new in written) for at in gone)
