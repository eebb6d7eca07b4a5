"""What the editor's page shows: the rows with their fields, findings and previews, and what is known around them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _

from integrations.admin_html import ago
from integrations.models import CrmConnection
from mapping.editor_catalog import Catalog, catalog_of
from mapping.editor_checks import ERROR, NOTE, Finding, findings
from mapping.editor_details import Details, details, selected
from mapping.editor_diff import RowChange, changes, label_of
from mapping.editor_drafts import drafts_of
from mapping.editor_form import Edited, EditedRow, hidden_part, shown
from mapping.editor_kinds import kind_name
from mapping.editor_rows import InForce, Row, in_force, ordered
from mapping.fields import DIALER_FIELDS
from mapping.models import Blank, CrmField, MappingDraft
from mapping.publishing import ENTITY
from mapping.samples import samples
from mapping.transforms import TRANSFORMS
from sync import editor_subjects
from sync.admin.editor.cells import Words, inbound, outbound
from sync.editor_preview import RowPreview, Subject, preview

LEVELS = {"error": "bad", "warning": "warning", "note": "muted"}


def directions() -> list[tuple[str, str]]:
    return [
        ("bidirectional", _("⇄ both ways")),
        ("inbound", _("← to the dialer")),
        ("outbound", _("→ to the CRM")),
    ]


@dataclass(frozen=True)
class Said:
    """A finding with what the template needs."""

    finding: Finding

    @property
    def level(self) -> str:
        return LEVELS[self.finding.level]

    @property
    def word(self) -> str:
        return {ERROR: _("Error"), NOTE: _("Note")}.get(self.finding.level, _("Warning"))

    @property
    def text(self) -> str:
        return self.finding.text


@dataclass(frozen=True)
class RowView:
    edited: EditedRow
    number: int
    state: str
    """new, changed, same"""
    about: str
    """What the CRM field is, in words."""
    said: Sequence[Said]
    inbound: Words
    outbound: Words
    details: Details | None = None

    @property
    def key(self) -> str:
        return self.edited.key

    @property
    def row(self) -> Row:
        return self.edited.row

    @property
    def label(self) -> str:
        return label_of(self.row["dialer_field"]) or _("New row")

    @property
    def rest(self) -> str:
        return hidden_part(self.row)

    @property
    def has_error(self) -> bool:
        return any(one.finding.level == ERROR for one in self.said)

    @property
    def directions(self) -> list[tuple[str, str, bool]]:
        return selected(directions(), self.row["direction"])

    @property
    def transforms(self) -> list[tuple[str, str, bool]]:
        return selected([(name, str(one.label)) for name, one in TRANSFORMS.items()], self.row["transform"])

    @property
    def marks(self) -> list[str]:
        """What a closed row says of its details."""
        row = self.row
        found = [] if row["active"] else [_("switched off")]
        found += [_("required")] if row["required"] else []
        found += [_("own rule for conflicts")] if row["strategy"] else []
        found += (
            [_("an empty value %(rule)s") % {"rule": Blank(row["on_blank"]).label}]
            if row["on_blank"] != "clear"
            else []
        )
        found += [_("checks: %(count)d") % {"count": len(row["validations"])}] if row["validations"] else []
        found += [_("entries: %(count)d") % {"count": len(row["options"]["map"])}] if row["options"].get("map") else []
        return found + [f"{name}: {path or _('not there')}" for name, path in row["object_overrides"].items()]


class Page:
    """Everything about one showing of the editor. Whatever asks the database is asked once."""

    def __init__(self, connection: CrmConnection, user_id: int) -> None:
        self.connection = connection
        self.user_id = user_id
        self.fresh: Subject | None = None

    # --- what is held -------------------------------------------------------------------------------------------------

    @cached_property
    def now(self) -> InForce:
        return in_force(self.connection.tenant_id, self.connection.provider)

    @cached_property
    def drafts(self) -> list[MappingDraft]:
        return drafts_of(self.connection)

    @property
    def draft(self) -> MappingDraft | None:
        return next((one for one in self.drafts if one.user_id == self.user_id), None)

    @property
    def others(self) -> list[tuple[MappingDraft, object]]:
        """Drafts of other people, and when each was saved."""
        return [(one, ago(one.updated_at)) for one in self.drafts if one.user_id != self.user_id]

    @property
    def published_when(self) -> object:
        return ago(self.now.version.created_at if self.now.version else None)

    @cached_property
    def catalog(self) -> Catalog:
        return catalog_of(self.connection)

    @property
    def stored(self) -> list[Row]:
        return list(self.draft.rows) if self.draft else self.now.rows

    def opened(self) -> Edited:
        """The form as it is before anybody has touched it."""
        if self.draft:
            return shown(self.draft.rows, revision=self.draft.revision, based_on=self.draft.based_on)
        return shown(self.now.rows, revision=0, based_on=self.now.number)

    def is_dirty(self, edited: Edited) -> bool:
        return ordered(edited.plain) != ordered(self.stored)

    def is_overtaken(self, edited: Edited) -> bool:
        return bool(edited.based_on != self.now.number)

    # --- whose record -------------------------------------------------------------------------------------------------

    @cached_property
    def last_changed(self) -> list[Subject]:
        return editor_subjects.last_changed(self.connection)

    def subject(self, chosen: str, search: str, sealed: str = "") -> Subject | None:
        """The person somebody looked for, else the one chosen, else whoever changed last."""
        found = next(iter(editor_subjects.searched(self.connection, search)), None) if search else None
        if found is None and chosen:
            found = next((one for one in self.last_changed if str(one.contact.pk) == chosen), None)
            found = found or editor_subjects.one(self.connection, chosen)
        found = found or next(iter(self.last_changed), None)
        return editor_subjects.unsealed(found, sealed)

    def previews(self, edited: Edited, subject: Subject | None) -> Mapping[str, RowPreview]:
        return preview(self.connection, edited.kept, subject) if subject else {}

    # --- rows ---------------------------------------------------------------------------------------------------------

    def findings(self, edited: Edited) -> list[Finding]:
        return findings(edited.kept, self.catalog, self.now.rows)

    def changes(self, edited: Edited) -> list[RowChange]:
        return changes(self.now.rows, [row for row in edited.plain if row["dialer_field"]])

    def rows(self, edited: Edited, said: Sequence[Finding], subject: Subject | None) -> list[RowView]:
        tried = self.previews(edited, subject)
        before = {row["dialer_field"]: row for row in self.now.rows}
        opened = [one.row["dialer_field"] for one in edited.rows if one.open and one.row["transform"] == "picklist_map"]
        seen = editor_subjects.values_seen(self.connection, opened)
        views = []
        for number, one in enumerate(edited.rows, 1):
            direction = one.row["direction"]
            cells = tried.get(one.key)
            views.append(
                RowView(
                    one,
                    number,
                    _state(one, before),
                    self._about(one),
                    [Said(found) for found in said if found.key == one.key],
                    inbound(cells, direction),
                    outbound(cells, direction),
                    self._details(one, seen),
                )
            )
        return views

    def _details(self, one: EditedRow, seen: Mapping[str, Sequence[str]]) -> Details | None:
        if not one.open or one.removed:
            return None
        return details(one, self.catalog, seen.get(one.row["dialer_field"], ()), self.connection.tenant)

    def _about(self, one: EditedRow) -> str:
        field = self.catalog.on(one.row["crm_object"], one.row["crm_field"])
        return about(field) if field else ""

    # --- suggestions --------------------------------------------------------------------------------------------------

    def dialer_fields(self) -> list[tuple[str, str]]:
        return [(key, f"{field.label} · {kind_name(field.kind)}") for key, field in DIALER_FIELDS[ENTITY].items()]

    def crm_fields(self, subject: Subject | None) -> list[tuple[str, str]]:
        """(path, what it is, with a few values that it holds)."""
        known = [subject] if subject and subject.fields else []
        records = [one.fields for one in (*known, *self.last_changed) if one.fields]
        offered = self.catalog.suggestions()
        values = samples(records, [field.path for field, _objects in offered])
        several = len(self.catalog.objects) > 1
        found = []
        for field, objects in offered:
            parts = [about(field), ", ".join(objects) if several else "", _samples(values.get(field.path))]
            found.append((field.path, " · ".join(part for part in parts if part)))
        return found


def about(field: CrmField) -> str:
    marks = [_("required")] if field.required else []
    marks += [] if field.writable else [_("read only")]
    marks += [_("gone")] if field.missing_since else []
    return " · ".join([field.label, kind_name(field.kind), *marks])


def _samples(values: Sequence[str] | None) -> str:
    return _("for instance %(values)s") % {"values": ", ".join(f"“{one}”" for one in values)} if values else ""


def _state(one: EditedRow, before: Mapping[str, Any]) -> str:
    was = before.get(one.was or one.row["dialer_field"])
    if was is None:
        return "new"
    return "same" if was == one.row else "changed"
