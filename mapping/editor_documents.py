"""The rows of one CRM as a file, and back: the part `field_mappings` of a configuration document. Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from mapping.documents import ROW_KEYS, InvalidDocument, Problem, check_rows, model_row
from mapping.editor_rows import Row, canonical, ordered
from mapping.publishing import ENTITY, edited_row, row_json

PART = "field_mappings"
LARGEST = 1_000_000
"""Bytes of a file that is read."""
MOST_PROBLEMS = 30


@dataclass(frozen=True, slots=True)
class Read:
    rows: list[Row]
    of_others: int
    """Rows of the file that are for another CRM, or for calls; they are left alone."""


def export(rows: Iterable[Row], provider: str) -> dict[str, Any]:
    return {PART: [_columns(row, provider) for row in rows]}


def read(content: bytes, provider: str) -> Read:
    """Raises InvalidDocument with every problem."""
    if len(content) > LARGEST:
        text = _("The file is larger than %(most)s bytes. Is it a mapping?") % {"most": f"{LARGEST:,}"}
        raise InvalidDocument([Problem("$", text)])
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        text = _("This is no JSON file: %(why)s. Choose a file that was exported here.") % {"why": _first_line(error)}
        raise InvalidDocument([Problem("$", text)]) from error
    rows = document.get(PART) if isinstance(document, dict) else None
    if rows is None:
        text = _("The file has no part %(part)s. Choose a file that was exported here.") % {"part": PART}
        raise InvalidDocument([Problem("$", text)])
    problems = list(check_rows(rows, PART))
    if problems:
        raise InvalidDocument(problems[:MOST_PROBLEMS])
    own = [row for row in rows if row["crm_provider"] == provider and row["dialer_entity"] == ENTITY]
    found = [model_row(row) for row in own]
    return Read(ordered(canonical({**row_json(one), "active": one.is_active}) for one in found), len(rows) - len(own))


def no_file() -> Problem:
    return Problem("$", _("Choose a file first."))


def _columns(row: Row, provider: str) -> dict[str, Any]:
    edited = edited_row(UUID(int=0), provider, {name: value for name, value in row.items() if name != "active"})
    edited.is_active = row["active"]
    return {name: getattr(edited, name) for name in ROW_KEYS}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
