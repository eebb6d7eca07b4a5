import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.expressions import JsboxRuntime
from mapping.rules import E164_PATTERN, EMAIL_PATTERN
from mapping.validation import Problem, Rule, RulesError, check_rules, parse_rules, validate

PHONE = {"type": "format", "params": {"pattern": E164_PATTERN}, "errorMessage": "Invalid E.164 phone"}
EMAIL = {"type": "format", "params": {"pattern": EMAIL_PATTERN}, "errorMessage": "Invalid email"}
STATUS = {"type": "enum", "params": {"values": ["New", "Working"]}, "errorMessage": "Invalid status"}


def broken(rule: Rule, value: object) -> bool:
    return bool(validate({"x": value}, {"x": [rule]}))


def test_all_problems_of_all_fields_are_told_at_once() -> None:
    rules = {"phone": parse_rules([PHONE]), "email": parse_rules([EMAIL, {"type": "length", "params": {"max": 3}}])}
    rules |= {"lead_status": parse_rules([STATUS]), "last_name": parse_rules([{"type": "required"}])}
    values = {"phone": "4155551234", "email": "nobody", "lead_status": "Lost", "first_name": "Ann"}
    assert validate(values, rules) == [
        Problem("phone", "format", "Invalid E.164 phone"),
        Problem("email", "format", "Invalid email"),
        Problem("email", "length", "The value has a length of 6; at most 3 is allowed."),
        Problem("lead_status", "enum", "Invalid status"),
        Problem("last_name", "required", "A value is required."),
    ]


@pytest.mark.parametrize("value", [None, "", "  ", [], {}], ids=repr)
def test_an_empty_value_breaks_only_required(value: object) -> None:
    others = parse_rules(
        [PHONE, STATUS, {"type": "length", "params": {"min": 2}}, {"type": "range", "params": {"min": 1}}]
    )
    assert validate({"x": value}, {"x": others}) == []
    assert broken(Rule("required"), value)


@pytest.mark.parametrize("value", [0, False, "x", [None]], ids=repr)
def test_zero_and_no_are_values(value: object) -> None:
    assert not broken(Rule("required"), value)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        pytest.param(
            Rule("length", {"min": 2, "max": 3}), ["ab", "abc", 12, ["a", "b"]], ["a", "abcd", 1234, ["a"]], id="length"
        ),
        pytest.param(Rule("length", {"min": 2}), ["ab", "a" * 99], ["a"], id="least length"),
        pytest.param(
            Rule("range", {"min": 0, "max": 100}), [0, 100, 55.5, "7"], [-0.1, 101, "abc", True, "1e999"], id="range"
        ),
        pytest.param(Rule("range", {"max": "0.3"}), [0.3, "0.30"], [0.30000001], id="exact range"),
        pytest.param(Rule("enum", {"values": ["a", 1]}), ["a", 1, ["a", 1]], ["A", "1", True, ["a", "b"]], id="enum"),
        pytest.param(Rule("format", {"pattern": "^[a-z]{2}$"}), ["ab"], ["abc", "a", "AB", "ab\n", 12], id="format"),
        pytest.param(Rule("format", {"pattern": "b"}), ["abc"], ["ac"], id="a pattern matches anywhere"),
        pytest.param(Rule("format", {"pattern": "^[a-z]$", "flags": "i"}), ["A"], ["1"], id="flags"),
        pytest.param(Rule("format", {"pattern": "/^[a-z]$/i"}), ["A"], ["1"], id="a literal from JavaScript"),
        pytest.param(
            Rule("format", {"pattern": r"^(?<y>\d{4})-\k<y>$"}), ["2024-2024"], ["2024-2023"], id="JavaScript's own"
        ),
        pytest.param(Rule("format", {"pattern": r"^\d+$"}), [123, "5"], [1.5, "x"], id="a number is matched as text"),
    ],
)
def test_a_rule_accepts_what_fits_and_refuses_the_rest(rule: Rule, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if broken(rule, value)] == []
    assert [value for value in bad if not broken(rule, value)] == []


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(a|aa)+$", r"(a*)*b", r"^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_pattern_that_needs_for_ever_is_stopped_and_reported(pattern: str) -> None:
    rules = parse_rules([{"type": "format", "params": {"pattern": pattern}, "errorMessage": "Bad"}])
    started = time.monotonic()
    problems = validate({"x": "a" * 60 + "!"}, {"x": rules})
    assert time.monotonic() - started < 60, "it ends by its own limit, on whatever machine"
    assert [problem.message for problem in problems] == [
        "The format could not be checked: the pattern takes too long on this value. Simplify the pattern."
    ]
    assert validate({"x": "aaaa"}, {"x": parse_rules([{"type": "format", "params": {"pattern": r"^(a+)+$"}}])}) == []


def test_a_text_too_long_for_patterns_is_refused_without_trying() -> None:
    problems = validate({"x": "a" * 10_001}, {"x": [Rule("format", {"pattern": "a"})]})
    assert "10,000 characters" in problems[0].message


def test_one_runtime_serves_many_records() -> None:
    runtime, rules = JsboxRuntime(), {"x": [Rule("format", {"pattern": "^[a-z]+$"})]}
    assert [len(validate({"x": value}, rules, runtime)) for value in ("ab", "AB", "c")] == [0, 1, 0]
    runtime.close()


def test_rules_survive_their_json_form() -> None:
    raw = [PHONE, EMAIL, STATUS, {"type": "required", "params": {}, "errorMessage": ""}]
    rules = parse_rules(raw)
    assert [rule.as_json() for rule in rules] == raw
    assert parse_rules([rule.as_json() for rule in rules]) == rules


def test_a_javascript_literal_is_kept_as_pattern_and_flags() -> None:
    (rule,) = parse_rules([{"type": "format", "params": {"pattern": "/^a$/i"}}])
    assert rule.params == {"pattern": "^a$", "flags": "i"}


@pytest.mark.parametrize(
    ("raw", "problems"),
    [
        pytest.param(None, [], id="none"),
        pytest.param("required", ["Validations are a list"], id="no list"),
        pytest.param(["required"], ["Validation 1: it is an object"], id="no object"),
        pytest.param(
            [{"type": "unique"}], ["Validation 1: the type must be one of required, format"], id="unknown type"
        ),
        pytest.param([{"type": ["format"]}], ["Validation 1: the type must be one of"], id="type that is a list"),
        pytest.param(
            [{"type": "required", "message": "x"}], ['Validation 1: "message" is not a part'], id="unknown key"
        ),
        pytest.param([{"type": "required", "errorMessage": 5}], ["Validation 1: errorMessage is text"], id="message"),
        pytest.param([{"type": "length", "params": [1]}], ["Validation 1: params is an object"], id="params"),
        pytest.param([{"type": "format"}], ["Validation 1: format needs a pattern"], id="no pattern"),
        pytest.param(
            [{"type": "format", "params": {"pattern": "("}}], ["Validation 1: The pattern is not a valid"], id="("
        ),
        pytest.param(
            [{"type": "format", "params": {"pattern": "a" * 501}}], ["Validation 1: The pattern has 501"], id="long"
        ),
        pytest.param(
            [{"type": "format", "params": {"pattern": "a", "flags": "g"}}], ["Validation 1: the flags"], id="flag"
        ),
        pytest.param(
            [{"type": "length", "params": {}}], ["Validation 1: length needs min, max or both"], id="no limit"
        ),
        pytest.param(
            [{"type": "length", "params": {"max": -1}}], ["Validation 1: min and max of length"], id="negative"
        ),
        pytest.param(
            [{"type": "range", "params": {"min": "low"}}], ["Validation 1: min and max of range"], id="no number"
        ),
        pytest.param(
            [{"type": "range", "params": {"min": 5, "max": 1}}], ["Validation 1: min of range is larger"], id="order"
        ),
        pytest.param([{"type": "enum", "params": {"values": []}}], ["Validation 1: enum needs"], id="no values"),
        pytest.param(
            [{"type": "enum", "params": {"values": [{}]}}], ["Validation 1: the values of enum"], id="odd values"
        ),
        pytest.param(
            [PHONE, {"type": "length", "params": {"minimum": 1}, "why": ""}, {"type": "nope"}],
            [
                'Validation 2: "why" is not a part',
                'Validation 2: "minimum" is not a parameter of length',
                "Validation 2: length needs",
                "Validation 3: the type",
            ],
            id="several",
        ),
    ],
)
def test_all_problems_of_rules_are_told_at_once(raw: object, problems: list[str]) -> None:
    found = check_rules(raw)
    assert len(found) == len(problems)
    assert all(one.startswith(start) for one, start in zip(found, problems, strict=True))
    if problems:
        with pytest.raises(RulesError) as caught:
            parse_rules(raw)
        assert list(caught.value.problems) == found


@given(st.text("ab@. \n.é", max_size=12) | st.emails())
def test_the_direct_check_of_an_address_agrees_with_its_pattern(text: str) -> None:
    if text.strip():
        plain = re.fullmatch(r"[^\s@]+@[^\s@]+\.[^\s@]+", text) is not None
        assert broken(Rule("format", {"pattern": EMAIL_PATTERN}), text) is not plain


def test_the_direct_check_of_an_address_takes_linear_time() -> None:
    started = time.monotonic()
    assert broken(Rule("format", {"pattern": EMAIL_PATTERN}), "a@" + "." * 2_000_000 + " ")
    assert time.monotonic() - started < 60, "by its pattern it would take hours"
