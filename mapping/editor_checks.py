"""What is wrong, or may go wrong, with a mapping before it is saved: each thing at its row, with what to do about it.

An error keeps the mapping from being published, a warning has to be seen first, a note is only said. What the CRM was found to have
decides about a row that differs from what is in force; of a row that has worked until now the same is only a warning.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from django.utils.translation import gettext as _

from mapping.compiled import CompiledMapping, MappingError, MappingRow
from mapping.editor_catalog import Catalog, names_of
from mapping.editor_form import EditedRow
from mapping.editor_kinds import kind_findings
from mapping.editor_rows import Row, engine_row_of, published
from mapping.fields import DialerField, UnknownFieldError, dialer_field
from mapping.models import CrmField
from mapping.publishing import ENTITY

ERROR, WARNING, NOTE = "error", "warning", "note"
PLACES = {
    "field": "dialer_field",
    "path": "crm_field",
    "direction": "direction",
    "transform": "transform",
    "options": "options",
    "validations": "validations",
}
"""Which part of the row a problem of the engine belongs to."""


@dataclass(frozen=True, slots=True)
class Finding:
    level: str
    text: str
    key: str = ""
    """Of the row; empty for the mapping as a whole."""
    place: str = ""
    add: str = ""
    """CRM field that a new row should send, where that would help."""


def findings(edited: Sequence[EditedRow], catalog: Catalog, in_force: Sequence[Row]) -> list[Finding]:
    """Everything, in the order of the rows; what concerns the whole mapping last."""
    before = {row["dialer_field"]: row for row in in_force}
    found = [*_blanks(edited), *_of_engine(edited, catalog)]
    broken = {one.key for one in found if one.level == ERROR}
    for one in edited:
        if one.row["active"] and one.key not in broken:
            known = _of_catalog(one, catalog)
            worked = before.get(one.row["dialer_field"]) == one.row
            found += [replace(said, level=_milder(said.level)) for said in known] if worked else known
    return [*sorted(found, key=lambda one: _place_of(edited, one)), *_unsent(edited, catalog)]


def blocks(found: Iterable[Finding]) -> bool:
    return any(one.level == ERROR for one in found)


def _milder(level: str) -> str:
    return {ERROR: WARNING, WARNING: NOTE}.get(level, level)


def _place_of(edited: Sequence[EditedRow], finding: Finding) -> int:
    return next((place for place, one in enumerate(edited) if one.key == finding.key), len(edited))


# --- what the engine says --------------------------------------------------------------------------------------------


def _blanks(edited: Sequence[EditedRow]) -> Iterator[Finding]:
    for one in edited:
        if not one.row["dialer_field"]:
            yield Finding(ERROR, _("Choose the dialer field of this row, or remove the row."), one.key, "dialer_field")
        elif not one.row["crm_field"]:
            yield Finding(ERROR, _("Choose the CRM field of this row, or remove the row."), one.key, "crm_field")


def _of_engine(edited: Sequence[EditedRow], catalog: Catalog) -> list[Finding]:
    """Rows that are switched off are not published, but a row that can't be read is told all the same when it is switched on."""
    complete = [one for one in edited if one.row["active"] and one.row["dialer_field"] and one.row["crm_field"]]
    found: dict[Finding, None] = {}
    for kind in catalog.objects:
        try:
            CompiledMapping.compile(
                [MappingRow(**row) for row in published([one.row for one in complete])], object_type=kind
            )
        except MappingError as error:
            for problem in error.problems:
                same = [one.key for one in complete if one.row["dialer_field"] == problem.field]
                place = PLACES.get(problem.rule, "")
                found[Finding(ERROR, problem.message, same[-1] if same else "", place)] = None
    return list(found)


# --- what the CRM has ------------------------------------------------------------------------------------------------


def _of_catalog(one: EditedRow, catalog: Catalog) -> list[Finding]:
    if not catalog.is_known:
        return []
    try:
        ours = dialer_field(ENTITY, one.row["dialer_field"])
    except UnknownFieldError:
        return []
    texts: dict[tuple[str, str, str], None] = {}
    for kind in catalog.objects:
        path = engine_row_of(one.row).path_on(kind)
        if path is not None and catalog.fields.get(kind):
            texts.update(dict.fromkeys(_on(one.row, ours, catalog.on(kind, path), path, kind)))
    return [Finding(level, text, one.key, place) for level, place, text in texts]


def _on(row: Row, ours: DialerField, field: CrmField | None, path: str, kind: str) -> Iterator[tuple[str, str, str]]:
    names = {"field": field.label if field else path, "object": kind, "path": path}
    if field is None:
        text = _(
            "%(object)s has no field %(path)s as far as we know. Choose one of the list, or read the CRM's fields again."
        )
        yield WARNING, "crm_field", text % names
        return
    if field.missing_since is not None:
        text = _(
            "%(field)s is gone from %(object)s, or hidden from us. Choose another field, or ask the CRM's administrator to show it."
        )
        yield ERROR, "crm_field", text % names
        return
    if row["direction"] != "inbound" and not field.writable:
        text = _("%(field)s can't be written in %(object)s. Choose the direction CRM → dialer, or another field.")
        yield ERROR, "direction", text % names
        return
    for level, place, text in kind_findings(row, ours, field):
        yield level, place, text


def _unsent(edited: Sequence[EditedRow], catalog: Catalog) -> Iterator[Finding]:
    """Fields without which the CRM makes no record."""
    kind = catalog.objects[0]
    sent = {
        name
        for one in edited
        if one.row["active"] and one.row["direction"] != "inbound"
        for name in names_of(engine_row_of(one.row).path_on(kind) or "")
    }
    for path, field in catalog.fields.get(kind, {}).items():
        if field.required and field.writable and field.missing_since is None and path not in sent:
            text = _("%(object)s takes no new record without %(field)s, and no row sends it. Add a row that does.")
            yield Finding(WARNING, text % {"object": kind, "field": field.label}, add=path)
