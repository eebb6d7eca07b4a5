from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.merge import HELD_BY_NOBODY, Decision, merge, same, taken

EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def decide(
    base: dict[str, Any], ours: Any, theirs: Any, rule: str = "crm_wins", name: str = "title", **at: Any
) -> Decision:
    times = {"ours_at": EARLY, "theirs_at": EARLY, **at}
    return merge(base, {name: ours}, {name: theirs}, strategy=lambda _: rule, **times)[0]


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "value", "agreed", "changed", "conflict"),
    [
        pytest.param("a", "a", "a", "a", "a", False, False, id="nobody moved"),
        pytest.param("a", "a", "b", "b", "b", True, False, id="only the CRM moved"),
        pytest.param("a", "b", "a", "b", "a", False, False, id="only we moved"),
        pytest.param("a", "b", "b", "b", "b", False, False, id="both moved to the same"),
        pytest.param("a", "b", "c", "c", "c", True, True, id="both moved apart"),
        pytest.param("a", "a", None, None, None, True, False, id="the CRM cleared it"),
        pytest.param("a", None, "a", None, "a", False, False, id="we cleared it"),
        pytest.param(None, None, "b", "b", "b", True, False, id="first value from the CRM"),
        pytest.param(None, "", "", "", "", False, False, id="blank on both sides"),
    ],
)
def test_a_field_is_compared_three_ways(
    base: Any, ours: Any, theirs: Any, value: Any, agreed: Any, changed: bool, conflict: bool
) -> None:
    found = decide({"title": base}, ours, theirs)
    assert (found.value, found.agreed, found.changed, found.conflict) == (value, agreed, changed, conflict)


def test_without_a_base_the_side_that_has_a_value_gives_it() -> None:
    assert decide({}, "", "theirs").value == "theirs"
    assert decide({}, "ours", None).value == "ours"
    assert decide({}, "ours", "theirs").conflict


@pytest.mark.parametrize(
    ("rule", "ours_at", "theirs_at", "value", "lost"),
    [
        ("crm_wins", LATE, EARLY, "theirs", "ours"),
        ("dialer_wins", EARLY, LATE, "ours", "theirs"),
        ("last_write_wins", EARLY, LATE, "theirs", "ours"),
        ("last_write_wins", LATE, EARLY, "ours", "theirs"),
        ("last_write_wins", EARLY, EARLY, "theirs", "ours"),
        ("last_write_wins", None, EARLY, "theirs", "ours"),
    ],
)
def test_the_strategy_decides_a_conflict_and_the_loser_is_kept(
    rule: str, ours_at: Any, theirs_at: Any, value: str, lost: str
) -> None:
    found = decide({"title": "base"}, "ours", "theirs", rule, ours_at=ours_at, theirs_at=theirs_at)
    assert (found.value, found.lost, found.strategy) == (value, lost, rule)


def test_a_decided_conflict_is_not_found_again_on_the_next_pass() -> None:
    first = decide({"title": "base"}, "ours", "theirs", "dialer_wins")
    again = decide({"title": first.agreed}, first.value, "theirs", "dialer_wins")
    assert not again.conflict
    assert again.value == "ours"


@pytest.mark.parametrize("rule", ["crm_wins", "dialer_wins", "last_write_wins", "manual", "field_level_merge"])
def test_whoever_says_do_not_call_is_believed(rule: str) -> None:
    assert decide({"do_not_call": None}, True, False, rule, "do_not_call").value is True
    assert decide({"do_not_call": None}, False, True, rule, "do_not_call").value is True


def test_a_field_that_the_crm_does_not_mention_is_left_alone() -> None:
    assert merge({}, {"title": "ours"}, {}, strategy=lambda _: "crm_wins", ours_at=None, theirs_at=None) == []


@pytest.mark.parametrize("rule", ["manual", "field_level_merge"])
def test_what_a_person_has_to_decide_changes_nothing_and_stays_open(rule: str) -> None:
    first = decide({"title": "base"}, "ours", "theirs", rule)
    assert (first.is_open, first.value, first.agreed, first.changed, first.lost) == (True, "ours", "base", False, None)
    again = decide({"title": first.agreed}, first.value, "theirs", rule)
    assert again.is_open


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "value"),
    [
        (["a", "b"], ["a", "b", "c"], ["b", "d"], ["b", "c", "d"]),
        (None, ["a"], ["b"], ["a", "b"]),
        (["a"], [], ["a", "b"], ["b"]),
        ({"x": 1, "y": 1}, {"x": 2, "y": 1}, {"x": 1, "y": 3}, {"x": 2, "y": 3}),
        ({"x": 1}, {"x": 1, "y": 2}, {"z": 3}, {"y": 2, "z": 3}),
        ({"t": ["a"]}, {"t": ["a", "b"]}, {"t": ["a", "c"]}, {"t": ["a", "b", "c"]}),
    ],
    ids=["lists", "no base", "taken away", "other keys", "new and dropped keys", "nested"],
)
def test_parts_that_fit_together_are_kept_from_both_sides(base: Any, ours: Any, theirs: Any, value: Any) -> None:
    found = decide({"title": base}, ours, theirs, "field_level_merge")
    assert (found.value, found.winner, found.changed, found.lost) == (value, "both", True, None)


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [({"x": 1}, {"x": 2}, {"x": 3}), (["a"], "a, b", ["c"]), (["a"], ["c"], "a, b"), ({"x": 1}, {"x": 2}, ["x"])],
    ids=["one key", "a text and a list", "a list and a text", "keys and a list"],
)
def test_what_does_not_fit_together_is_left_to_a_person(base: Any, ours: Any, theirs: Any) -> None:
    assert decide({"title": base}, ours, theirs, "field_level_merge").is_open


def test_times_may_be_known_for_each_field() -> None:
    def theirs_at(name: str) -> datetime | None:
        return {"title": EARLY, "company": LATE}[name]

    decisions = merge(
        {}, {"title": "o", "company": "o"}, {"title": "t", "company": "t"},
        strategy=lambda _: "last_write_wins", ours_at=EARLY.replace(hour=12), theirs_at=theirs_at,
    )  # fmt: skip
    assert [one.value for one in decisions] == ["o", "t"]


VALUES = st.one_of(st.none(), st.text(max_size=3), st.integers(0, 3), st.booleans())


@given(base=VALUES, ours=VALUES, theirs=VALUES, rule=st.sampled_from(["crm_wins", "dialer_wins", "last_write_wins"]))
def test_merging_the_outcome_again_changes_nothing(base: Any, ours: Any, theirs: Any, rule: str) -> None:
    first = decide({"title": base}, ours, theirs, rule)
    again = decide({"title": first.agreed}, first.value, theirs, rule)
    assert not again.changed
    assert not again.conflict
    assert same(again.value, first.value)


def test_what_is_said_of_somebody_new_is_taken_as_the_comparison_would() -> None:
    theirs = {"title": "a", "company": None, "email": "", "do_not_call": True, "custom.a": [1], "custom.b": False}
    for said in (theirs, {**theirs, "do_not_call": False}, {**theirs, "do_not_call": None}):
        compared = merge({}, HELD_BY_NOBODY, said, strategy=lambda _: "manual", ours_at=LATE, theirs_at=EARLY)
        assert taken(said) == {one.field: one.value for one in compared}
        assert said == {one.field: one.agreed for one in compared}
