"""The story of a value: everything a contact's field has held, who set it, which rule decided, and what lost.

It is read from the history as it was written. One step back is an ordinary edit: it has its own entry and goes to the CRMs like any
other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from mapping.fields import UnknownFieldError, dialer_field
from mapping.models import Strategy
from mapping.publishing import compiled
from sync import editing, values
from sync.folding import FOLDED
from sync.merge import same
from sync.models import Contact, FieldChange, SyncRecord
from sync.times import CREATED

CONTACTS = Contact._meta.db_table
SECRETS = ("access_token", "refresh_token", "secrets")
BLANKS: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class Chapter:
    """One value that the field held."""

    change: FieldChange
    value: Any
    was: Any
    lost: Any
    who: str
    rule: str
    current: bool

    @property
    def at(self) -> datetime:
        found: datetime = self.change.at
        return found

    @property
    def version(self) -> int | None:
        """Of the mapping."""
        return self.change.mapping_version


def story(contact: Contact, field: str) -> list[Chapter]:
    """Newest first. What the field held before its first entry, if anything did, is that entry's `was`."""
    found = FieldChange.objects.filter(contact=contact, field__in=[field, CREATED]).order_by("-pk")
    rows = [row for row in found.select_related("connection") if row.field == field or _named(row, field)]
    now = values.read(contact, [field])[field]
    return [
        _chapter(row, field, current=number == 0 and same(now, _new(row, field))) for number, row in enumerate(rows)
    ]


def latest(contact: Contact) -> dict[str, Chapter]:
    """Field → its last entry, in the order of the fields' names."""
    return read(contact, 0)[0]


def read(contact: Contact, most: int) -> tuple[dict[str, Chapter], list[FieldChange]]:
    """Each field's last entry, and the newest entries of all, by one statement."""
    rows = FieldChange.objects.filter(contact=contact)
    last = rows.exclude(field=FOLDED).order_by("field", "-pk").distinct("field").values("pk")
    newest = rows.order_by("-pk").values("pk")[:most]
    wanted = rows.filter(Q(pk__in=last) | Q(pk__in=newest) if most else Q(pk__in=last))
    found = list(
        wanted.select_related("connection").defer(*(f"connection__{name}" for name in SECRETS)).order_by("-pk")
    )
    return _latest(contact, found), found[:most]


def _latest(contact: Contact, rows: Iterable[FieldChange]) -> dict[str, Chapter]:
    found: dict[str, FieldChange] = {}
    for row in rows:
        if row.field != FOLDED:
            found.setdefault(row.field, row)
    first = found.pop(CREATED, None)
    fields = {**dict.fromkeys(_fields_of(first), first), **found}
    now = values.read(contact, fields)
    return {
        field: _chapter(row, field, current=same(now[field], _new(row, field)))
        for field, row in sorted(fields.items())
        if row is not None
    }


def restorable(field: str) -> bool:
    """Whether people may set the field: not what we count, nor what only the CRM says."""
    try:
        known = dialer_field("contact", field)
    except UnknownFieldError:
        return False
    return field != FOLDED and not known.readonly and known.direction_default != "inbound"


def value_of(change: FieldChange, field: str = "", *, lost: bool = False) -> Any:
    """The value that the entry set, or with `lost` the one that lost there."""
    return change.lost if lost else _new(change, field or change.field)


def restore(change: FieldChange, by: str, *, field: str = "", lost: bool = False) -> Contact | None:
    """Sets the value of an older entry again, as an ordinary edit by a person. None: the contact is gone.

    An entry of a new contact holds all its fields, so `field` has to name one. Raises ValueError for a field that people can't set.
    """
    name = field or change.field
    if not restorable(name):
        raise ValueError(f"{name} is not set by people, so it can't be restored.")
    author = editing.Author("person", by)
    return editing.edit(change.contact_id, {name: value_of(change, name, lost=lost)}, author)


def destinations(contact: Contact, field: str) -> list[SyncRecord]:
    """The CRM records that a change of this field is written to."""
    links = SyncRecord.objects.filter(local_record_id=contact.pk, local_table=CONTACTS, connection__isnull=False)
    rows = list(links.select_related("connection__tenant").order_by("crm_provider", "pk"))
    kinds = {(row.connection_id, row.crm_object_type): row for row in rows}
    writing = {
        key
        for key, row in kinds.items()
        if row.connection and field in compiled(row.connection, row.crm_object_type).engine.dialer_fields("outbound")
    }
    return [row for row in rows if (row.connection_id, row.crm_object_type) in writing]


def who(change: FieldChange) -> str:
    """Who set the value, in words."""
    if change.source == "crm":
        crm = change.connection.get_provider_display() if change.connection else change.actor or "CRM"
        if change.run_id:
            return _("%(crm)s, sync run %(run)s") % {"crm": crm, "run": change.run_id}
        return _("%(crm)s, change reported by the CRM") % {"crm": crm}
    names = {"person": _("Person"), "api": _("API key"), "call": _("Call")}
    kind = names.get(change.source, change.source)
    return f"{kind}: {change.actor}" if change.actor else str(kind)


def rule(change: FieldChange) -> str:
    """The rule that decided, in words."""
    return str(dict(Strategy.choices).get(change.rule, change.rule))


def _chapter(row: FieldChange, field: str, *, current: bool) -> Chapter:
    was = None if row.field == CREATED else row.old
    return Chapter(row, _new(row, field), was, row.lost, who(row), rule(row), current)


def _new(row: FieldChange, field: str) -> Any:
    return (row.new or {}).get(field) if row.field == CREATED else row.new


def _named(row: FieldChange, field: str) -> bool:
    return _new(row, field) not in BLANKS


def _fields_of(first: FieldChange | None) -> Sequence[str]:
    held = (first.new or {}) if first else {}
    return [name for name, value in held.items() if value not in BLANKS]
