"""The words of the preview: what a row would make of the record, in the dialer and in the CRM."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from mapping.models import Strategy
from mapping.places import is_blank
from mapping.samples import shortened
from sync.editor_preview import Cell, RowPreview

ICONS = {
    "changes": "edit",
    "same": "check",
    "conflict": "call_split",
    "open": "person",
    "problem": "error",
    "unknown": "help",
    "idle": "block",
    "off": "remove",
}


@dataclass(frozen=True)
class Words:
    """`before` and `after` are shown as values, `text` says what they are."""

    state: str
    text: str
    before: str = ""
    after: str = ""

    @property
    def icon(self) -> str:
        return ICONS[self.state]


def inbound(cells: RowPreview | None, direction: str) -> Words:
    if direction == "outbound":
        return Words("off", _("not read"))
    if cells is None or cells.inbound is None:
        return Words("unknown", _("not tried"))
    return _in_words(cells.inbound)


def outbound(cells: RowPreview | None, direction: str) -> Words:
    if direction == "inbound":
        return Words("off", _("not written"))
    if cells is None or cells.outbound is None:
        return Words("unknown", _("not tried"))
    return _out_words(cells.outbound)


def _in_words(cell: Cell) -> Words:
    if cell.state == "problem":
        return Words("problem", cell.problem)
    if cell.state == "unknown":
        return Words("unknown", _("The CRM's value is not known here. Read the record from the CRM to see it."))
    if cell.state == "open":
        return Words("open", _("Both sides changed it: a person decides. Stays"), after=value(cell.before))
    if cell.state == "conflict":
        rule = Strategy(cell.rule).label if cell.rule in Strategy.values else cell.rule
        return Words("conflict", _("Both sides changed it: %(rule)s.") % {"rule": rule}, *_moved(cell))
    if cell.state == "changes":
        return Words("changes", _("becomes"), *_moved(cell))
    return Words("same", _("stays"), after=value(cell.value))


def _out_words(cell: Cell) -> Words:
    if cell.state == "problem":
        return Words("problem", cell.problem)
    if cell.state == "idle":
        return Words("idle", _("Is not sent: %(why)s") % {"why": cell.problem})
    if cell.state == "changes":
        return Words("changes", _("becomes"), *_moved(cell))
    return Words("same", _("nothing to send:"), after=value(cell.value))


def _moved(cell: Cell) -> tuple[str, str]:
    return value(cell.before), value(cell.value)


def value(found: Any) -> str:
    return _("(empty)") if is_blank(found) or found == [] else shortened(found)
