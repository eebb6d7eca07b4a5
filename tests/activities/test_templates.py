"""The language of note templates: what it says, and where it says that something is wrong."""

import pytest

from activities.notes import NAMES, USUAL, call_notes
from activities.templates import TemplateError, compile_template

LISTS = {"key_points": ["one", "two"], "summary": "It went <well> & quick", "notes": ""}


def rendered(template: str) -> str:
    return compile_template(template, NAMES).render(LISTS)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{summary}}", "It went <well> & quick"),
        ("{{ summary }}!", "It went <well> & quick!"),
        ("[{{notes}}]", "[]"),
        ("[{{agent}}]", "[]"),
        ("{{#key_points}}- {{.}};{{/key_points}}", "- one;- two;"),
        ("{{#summary}}S: {{summary}}{{/summary}}", "S: It went <well> & quick"),
        ("{{#summary}}S: {{.}}{{/summary}}", "S: It went <well> & quick"),
        ("{{#notes}}never{{/notes}}", ""),
        ("{{^notes}}no notes{{/notes}}", "no notes"),
        ("{{^summary}}never{{/summary}}", ""),
        ("{{key_points}}", "one\ntwo"),
        ("{{#key_points}}{{#summary}}{{summary}};{{/summary}}{{/key_points}}", "It went <well> & quick;" * 2),
        ("a\n{{#key_points}}\n- {{.}}\n{{/key_points}}\nb", "a\n- one\n- two\nb"),
        ("a\r\n  {{#key_points}}  \r\n- {{.}}\r\n{{/key_points}}", "a\r\n- one\r\n- two\r\n"),
        ("a {b} } {c}", "a {b} } {c}"),
    ],
)
def test_a_template_says(template: str, text: str) -> None:
    assert rendered(template) == text


@pytest.mark.parametrize(
    ("template", "line", "column", "words"),
    [
        ("one\n  {{sumary}}", 2, 3, "{{sumary}} is no name. Known are: summary, notes"),
        ("{{#key_points}}\n- {{.}}", 1, 1, "never closed. Write {{/key_points}}"),
        ("x\n{{/summary}}", 2, 1, "{{/summary}} closes nothing"),
        ("{{#summary}}{{#notes}}{{/summary}}", 1, 23, "{{#notes}} has to be closed first"),
        ("{{.}}", 1, 1, "stands for an entry of a list"),
        ("{{^notes}}{{.}}{{/notes}}", 1, 11, "stands for an entry of a list"),
        ("{{#key_points}}{{#key_points}}{{/key_points}}{{/key_points}}", 1, 16, "a section of the same name"),
        ("a {{summary", 1, 3, "{{ belongs to no tag"),
        ("a\nsummary}}", 2, 8, "}} belongs to no tag"),
        ("{{}}", 1, 1, "is no name"),
        ("{{>file}}", 1, 1, "is no name"),
        ("{{{summary}}}", 1, 2, "two braces, not three"),
        ("{{summary.__class__}}", 1, 1, "is no name"),
        ("{{#.}}{{/.}}", 1, 1, "is no name"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(template: str, line: int, column: int, words: str) -> None:
    with pytest.raises(TemplateError) as told:
        compile_template(template, NAMES)
    assert (told.value.line, told.value.column) == (line, column)
    assert words in str(told.value)


def test_values_are_never_read_as_templates() -> None:
    assert call_notes(template="{{notes}}", notes="{{summary}} {{#x}}", summary="S") == "{{summary}} {{#x}}"


def test_the_usual_sections_are_a_template_that_anybody_may_start_from() -> None:
    told = {"notes": "N", "key_points": ["a", "b"], "duration_seconds": 61, "metrics": {"ai_score": 5}}
    assert call_notes(template=USUAL, **told) == call_notes(**told)  # type: ignore[arg-type]


def test_a_template_of_blanks_is_none() -> None:
    assert call_notes(template=" \n", notes="N") == call_notes(notes="N")


def test_shares_that_are_none_stay_as_they_are() -> None:
    assert call_notes(template="{{talk_ratio}}", metrics={"talk_ratio": {"agent": "most", "prospect": 0.1}}) == (
        "Agent most / Prospect 10%"
    )
    assert call_notes(template="{{talk_ratio}}", metrics={"talk_ratio": float("nan")}) == "nan"
