"""Templates of notes: names and sections in double braces, and no logic beyond "if there is one" and "for each".

    {{name}}                       the text, as it is: each CRM's own part escapes what that CRM would take for markup
    {{#name}}…{{/name}}            once for each entry of a list, where {{.}} is the entry; once if there is a text, else not at all
    {{^name}}…{{/name}}            if there is none

A line that holds nothing but an opening or closing tag leaves no empty line behind. The dialect is that part of Mustache which
people need here. The libraries for Mustache escape for HTML, read partial templates from files, and neither know which names there
are nor say where something is wrong, so the reader below is our own: it knows no files, no attributes and no calls. Pure.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Value = str | Sequence[str]

EACH = "."
_TAG = re.compile(r"\{\{\s*([#^/]?)\s*([^{}]*?)\s*\}\}")
_ALONE = re.compile(r"^[ \t]*(\{\{\s*[#^/][^{}]*\}\})[ \t]*(?:\r?\n|\Z)", re.MULTILINE)


class TemplateError(ValueError):
    """What is wrong with a template, and where: line and column from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"Line {line}, column {column}: {message}")
        self.line, self.column = line, column


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    parts: "tuple[str | Name | Section, ...]"
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was found to be right."""

    parts: "tuple[str | Name | Section, ...]"

    def render(self, values: Mapping[str, Value]) -> str:
        """The text. A value that is missing counts as empty."""
        return "".join(_written(self.parts, values, ""))


def compile_template(text: str, names: Sequence[str]) -> Template:
    """Raises TemplateError for the first thing that is wrong."""
    return Template(_Reader(text, names).read())


# --- reading --------------------------------------------------------------------------------------------------------


class _Reader:
    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text = text
        self.names = names
        # Of a line with nothing but a section's tag, the tag stands for the whole line.
        self.alone = {match.start(1): match.span() for match in _ALONE.finditer(text)}

    def read(self) -> "tuple[str | Name | Section, ...]":
        open_tags: list[tuple[re.Match[str], list[str | Name | Section]]] = []
        parts: list[str | Name | Section] = []
        place = 0
        for tag in _TAG.finditer(self.text):
            start, end = self.alone.get(tag.start(), tag.span())
            parts += self._plain(place, max(start, place))
            place = end
            kind, name = tag.groups()
            if kind == "/":
                parts = self._closed(tag, open_tags, parts)
            elif kind:
                self._check(tag, open_tags)
                open_tags.append((tag, parts))
                parts = []
            else:
                self._check(tag, open_tags)
                parts.append(Name(name))
        parts += self._plain(place, len(self.text))
        if open_tags:
            tag = open_tags[-1][0]
            raise self._error(tag.start(), f"{tag[0]} is never closed. Write {{{{/{tag[2]}}}}} where it ends.")
        return tuple(parts)

    def _plain(self, start: int, end: int) -> list[str | Name | Section]:
        found = self.text[start:end]
        for braces in ("{{", "}}"):
            if braces in found:
                raise self._error(
                    start + found.index(braces), f"{braces} belongs to no tag. Write for instance {{{{summary}}}}."
                )
        return [found] if found else []

    def _closed(
        self,
        tag: re.Match[str],
        open_tags: list[tuple[re.Match[str], list[str | Name | Section]]],
        parts: list[str | Name | Section],
    ) -> list[str | Name | Section]:
        if not open_tags or open_tags[-1][0][2] != tag[2]:
            inner = f" {open_tags[-1][0][0]} has to be closed first." if open_tags else ""
            raise self._error(tag.start(), f"{tag[0]} closes nothing.{inner}")
        opened, outer = open_tags.pop()
        return [*outer, Section(tag[2], tuple(parts), inverted=opened[1] == "^")]

    def _check(self, tag: re.Match[str], open_tags: Sequence[tuple[re.Match[str], object]]) -> None:
        kind, name = tag.groups()
        if self.text[: tag.start()].endswith("{") or self.text.startswith("}", tag.end()):
            raise self._error(tag.start(), "Write two braces, not three: nothing is escaped here.")
        around = {opened[2] for opened, _parts in open_tags if opened[1] == "#"}
        if name == EACH and not kind:
            if not around:
                text = "{{.}} stands for an entry of a list: write it between {{#key_points}} and {{/key_points}}."
                raise self._error(tag.start(), text)
        elif name not in self.names:
            raise self._error(tag.start(), f"{tag[0]} is no name. Known are: {', '.join(self.names)}.")
        if kind == "#" and name in around:
            raise self._error(tag.start(), f"{tag[0]} stands in a section of the same name. Close that one first.")

    def _error(self, place: int, message: str) -> TemplateError:
        line = self.text.count("\n", 0, place) + 1
        return TemplateError(message, line, place - (self.text.rfind("\n", 0, place) + 1) + 1)


# --- writing --------------------------------------------------------------------------------------------------------


def _written(parts: "Sequence[str | Name | Section]", values: Mapping[str, Value], entry: str) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Name):
            yield entry if part.name == EACH else _text(values.get(part.name, ""))
        else:
            yield from _section(part, values, entry)


def _section(part: Section, values: Mapping[str, Value], entry: str) -> Iterator[str]:
    value = values.get(part.name, "")
    if part.inverted or not value:
        if part.inverted and not value:
            yield from _written(part.parts, values, entry)
        return
    for one in [value] if isinstance(value, str) else value:
        yield from _written(part.parts, values, one)


def _text(value: Value) -> str:
    return value if isinstance(value, str) else "\n".join(value)
