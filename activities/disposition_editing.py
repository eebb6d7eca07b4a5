"""The matrix of dispositions as one form: what each cell offers, and what was changed in it.

Only what somebody changed is stored, so words that mean a choice stay as they were written, and a row that somebody else
changed meanwhile is refused instead of written over. A form's fields are named by the number of the line, the CRM and the
number of the path; the state that a line was shown in goes with it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from activities import matrix
from activities.dispositions import plain
from activities.matrix import Cell, Choices, Discovered, Line, Lost
from activities.models import DispositionEffect
from integrations.providers.base import CrmProvider
from integrations.registry import provider_class

LONGEST_NAME = 100
LONGEST_STATUS = 200
MOST_DAYS = 365
ALIKE = 0.5
"""From which likeness a choice is suggested for a value that is gone."""
Posted = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pick:
    """One select of a cell: a field of the CRM's call and its choices."""

    name: str
    path: str
    choices: Sequence[tuple[str, str]]
    held: str
    """As a choice; the value itself where the CRM has no such choice any more."""
    lost: Lost | None = None
    suggested: tuple[str, str] | None = None


@dataclass(slots=True)
class Square:
    """A cell of the matrix with its selects, and what of it can't be chosen."""

    cell: Cell
    picks: list[Pick] = field(default_factory=list)
    others: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Row:
    """One disposition."""

    number: int
    line: Line
    squares: list[Square]

    @property
    def own(self) -> bool:
        """Whether something is stored of it."""
        return any(one.cell.row for one in self.squares) or bool(self.line.effect and self.line.effect.pk)

    def effect_name(self, what: str) -> str:
        return f"{what}:{self.number}"

    @property
    def state(self) -> str:
        """Which state of the row a form shows."""
        effect = _effect_values(self.line.effect)
        told = [[one.cell.connection.provider, bool(one.cell.row), one.cell.values] for one in self.squares]
        text = json.dumps([self.line.disposition, told, effect], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def rows_of(tenant_id: UUID) -> list[Row]:
    """The matrix, to be edited. Six queries."""
    lines = matrix.lines(tenant_id)
    connections = [cell.connection for cell in lines[0].cells] if lines else []
    known = matrix.discovered(connections)
    offered = {one.pk: known.get(one.pk, Discovered()) for one in connections}
    paths = {
        one.pk: _paths(one.pk, provider_class(one.provider), lines, offered[one.pk].choices) for one in connections
    }
    return [
        Row(
            number,
            line,
            [_square(number, cell, paths[cell.connection.pk], offered[cell.connection.pk]) for cell in line.cells],
        )
        for number, line in enumerate(lines)
    ]


def _paths(connection_id: UUID, provider: type[CrmProvider], lines: Iterable[Line], choices: Choices) -> list[str]:
    """The fields that are chosen from a list: those that are usual in this CRM, and those that any map names."""
    usual = [path for values in provider.default_dispositions.values() for path in values]
    named = [
        path for line in lines for cell in line.cells if cell.connection.pk == connection_id for path in cell.values
    ]
    return [path for path in dict.fromkeys([*usual, *named]) if path in choices]


def _square(number: int, cell: Cell, paths: Sequence[str], known: Discovered) -> Square:
    provider = provider_class(cell.connection.provider)
    lost = {one.field: one for one in cell.lost}
    picks = []
    for at, path in enumerate(paths):
        value = cell.values.get(path)
        held = "" if value in (None, "") else str(value)
        choice = provider.call_choice(path, held, known.choices[path]) if held else ""
        picks.append(
            Pick(
                f"pick:{number}:{cell.connection.provider}:{at}",
                path,
                known.choices[path],
                choice or held,
                lost.get(path),
                _suggested(provider, cell.disposition, path, known.choices[path], held) if path in lost else None,
            )
        )
    others = {path: value for path, value in cell.values.items() if path not in paths}
    return Square(cell, picks, others)


def _suggested(
    provider: type[CrmProvider], name: str, path: str, choices: Sequence[tuple[str, str]], held: str
) -> tuple[str, str] | None:
    """The choice that is usual for the disposition, else the one that is spelled most alike."""
    labels = dict(choices)
    usual = matrix.default_values(provider, name).get(path)
    choice = provider.call_choice(path, str(usual), choices) if usual else None
    if choice and choice in labels:
        return choice, labels[choice]
    by_label = {label: value for value, label in choices}
    near = get_close_matches(held, list(by_label), 1, ALIKE) or get_close_matches(name, list(by_label), 1, ALIKE)
    return (by_label[near[0]], near[0]) if near else None


# --- what was said --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Said:
    """What a form says: new values of maps and effects, and what is wrong with it, by the field's name."""

    maps: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """(CRM, disposition) → its values."""
    effects: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def changes(self) -> int:
        return len(self.maps) + len(self.effects)


def read(rows: Sequence[Row], data: Posted) -> Said:
    """Compares a form with what is stored."""
    said = Said()
    for row in rows:
        before = said.changes
        for square in row.squares:
            values = _new_values(square, data, said)
            if values is not None:
                said.maps[square.cell.connection.provider, row.line.disposition] = values
        effect = _new_effect(row, data, said)
        if effect is not None:
            said.effects[row.line.disposition] = effect
        if said.changes > before and data.get(f"seen:{row.number}") != row.state:
            said.problems[f"seen:{row.number}"] = _(
                "Somebody else changed “%(name)s” meanwhile. Look at it again, then repeat your change."
            ) % {"name": row.line.disposition}
    return said


def _new_values(square: Square, data: Posted, said: Said) -> dict[str, Any] | None:
    """None where nothing was changed. What the selects don't show stays."""
    values = dict(square.cell.values)
    changed = False
    for pick in square.picks:
        chosen = str(data.get(pick.name, pick.held))
        if chosen == pick.held:
            continue
        if chosen and chosen not in dict(pick.choices):
            said.problems[pick.name] = _("The CRM has no such choice. Choose one of the list.")
            continue
        changed = True
        if chosen:
            values[pick.path] = chosen
        else:
            values.pop(pick.path, None)
    return values if changed else None


def _new_effect(row: Row, data: Posted, said: Said) -> dict[str, Any] | None:
    if row.effect_name("effects") not in data:
        return None
    held = _effect_values(row.line.effect)
    status = " ".join(str(data.get(row.effect_name("lead"), "")).split())
    days = str(data.get(row.effect_name("days"), "")).strip()
    if len(status) > LONGEST_STATUS:
        said.problems[row.effect_name("lead")] = _("This is too long.")
    if days and not (days.isascii() and days.isdigit() and int(days[:6]) <= MOST_DAYS):
        said.problems[row.effect_name("days")] = _("Write a number of days up to %(most)d, or leave it empty.") % {
            "most": MOST_DAYS
        }
        return None
    new = {
        "do_not_call": bool(data.get(row.effect_name("dnc"))),
        "lead_status": status,
        "follow_up_days": int(days) if days else None,
        "books_meeting": bool(data.get(row.effect_name("meeting"))),
    }
    return new if new != held else None


def _effect_values(effect: DispositionEffect | None) -> dict[str, Any]:
    """A disposition without a row of its own books every meeting that comes with a call."""
    if effect is None:
        return {"do_not_call": False, "lead_status": "", "follow_up_days": None, "books_meeting": True}
    return {
        "do_not_call": effect.do_not_call,
        "lead_status": effect.lead_status,
        "follow_up_days": effect.follow_up_days,
        "books_meeting": effect.books_meeting if effect.pk else True,
    }


effect_values = _effect_values


def new_name(rows: Sequence[Row], text: str) -> tuple[str, str]:
    """The name of a disposition that is to be added, and what is wrong with it."""
    name = " ".join(text.split())
    if len(name) > LONGEST_NAME:
        return name, _("This name is too long: %(most)d characters are the most.") % {"most": LONGEST_NAME}
    if any(plain(row.line.disposition) == plain(name) for row in rows):
        return name, _("There is “%(name)s” already. Change its row.") % {"name": name}
    return name, ""
