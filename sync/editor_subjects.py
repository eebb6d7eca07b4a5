"""Whose record the editor's preview shows: the people who changed last, somebody looked for, or one just read from the CRM."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core import signing
from django.db.models import Q, QuerySet
from django.utils import timezone

from integrations.crm import open_crm
from integrations.form_texts import text_of
from integrations.models import CrmConnection
from integrations.registry import provider_class
from integrations.transport.client import PERSON
from mapping.editor_catalog import Catalog
from mapping.editor_form import EditedRow
from mapping.editor_rows import engine_row_of
from mapping.paths import PathError, compile_path
from sync import link_states
from sync.editor_preview import Subject, with_fields
from sync.models import Contact, SyncRecord
from sync.named import begins
from sync.phone_numbers import to_e164

CONTACTS = Contact._meta.db_table
LOOKED_AT = 40
"""So many people who changed last are looked at for one who is linked."""
OFFERED = 12
LONGEST_SEARCH = 200
MOST_FIELDS = 150
"""Of the CRM's fields, read with a record so that each shows a value."""
SALT = "mapping editor: a record just read"
MOST_VALUES = 30
MINUTES = 30
"""How long a record that was read for the preview counts as fresh."""


def last_changed(connection: CrmConnection) -> list[Subject]:
    """People of the tenant, the last changed first; those that this CRM has come with their records."""
    people = Contact.objects.filter(tenant_id=connection.tenant_id, deleted_at=None)
    return _subjects(connection, list(people.order_by("-change_xid", "-id")[:LOOKED_AT]))[:OFFERED]


def searched(connection: CrmConnection, text: str) -> list[Subject]:
    """By e-mail address, phone number, id in the CRM, or the beginning of a name."""
    term = text.strip()[:LONGEST_SEARCH]
    if not term:
        return []
    people = Contact.objects.filter(tenant_id=connection.tenant_id, deleted_at=None)
    found = list(people.filter(_named(connection, term))[:OFFERED])
    if not found:
        links = SyncRecord.objects.filter(
            tenant_id=connection.tenant_id,
            crm_provider=connection.provider,
            crm_object_type__in=provider_class(connection.provider).person_types,
            crm_record_id=term,
        )
        found = list(people.filter(pk__in=[one.local_record_id for one in links if one.local_record_id]))
    return _subjects(connection, found)


def one(connection: CrmConnection, contact_id: str) -> Subject | None:
    try:
        wanted = UUID(contact_id)
    except ValueError:
        return None
    people = Contact.objects.filter(tenant_id=connection.tenant_id, deleted_at=None, pk=wanted)
    return next(iter(_subjects(connection, list(people))), None)


def _named(connection: CrmConnection, term: str) -> Q:
    found = Q(email=term.lower()) | Q(email=term)
    try:
        number = to_e164(term, str(connection.tenant.region))
        found |= Q(phone=number) | Q(mobile_phone=number)
    except ValueError:
        pass
    return found | Q(pk__in=begins(connection.tenant_id, term))


def _subjects(connection: CrmConnection, people: Sequence[Contact]) -> list[Subject]:
    """Those with a record in this CRM first, in the order given."""
    kinds = list(provider_class(connection.provider).person_types)
    rows = SyncRecord.objects.filter(
        connection=connection,
        local_table=CONTACTS,
        crm_object_type__in=kinds,
        local_record_id__in=[person.pk for person in people],
    ).select_related("snapshot")
    links: dict[UUID, SyncRecord] = {}
    for link in sorted(rows, key=lambda row: kinds.index(row.crm_object_type)):
        if link.local_record_id and not link_states.is_gone(link):
            links.setdefault(link.local_record_id, link)
    made = [_subject(connection, person, links.get(person.pk)) for person in people]
    return sorted(made, key=lambda subject: subject.link is None)


def _subject(connection: CrmConnection, person: Contact, link: SyncRecord | None) -> Subject:
    if link is None:
        return Subject(person, None, provider_class(connection.provider).mapping_object)
    fields = link.snapshot.fields if hasattr(link, "snapshot") else None
    known = fields if link.last_crm_modified_at else None
    return Subject(person, link, link.crm_object_type, known, link.last_crm_modified_at)


# --- reading one from the CRM ----------------------------------------------------------------------------------------


def read_now(
    connection: CrmConnection, subject: Subject, edited: Iterable[EditedRow], catalog: Catalog
) -> Subject | None:
    """Asks the CRM once. None: it doesn't show the record now. Raises CrmError."""
    if subject.link is None:
        return None
    provider, _api = open_crm(connection, PERSON)
    paths = _paths(edited, subject.object_type, catalog)
    answer = provider.fetch(subject.object_type, [subject.link.crm_record_id], paths)
    record = next((one for one in answer.records if not one.deleted), None)
    return with_fields(subject, record.fields, max(record.modified_at, _held(subject))) if record else None


def _held(subject: Subject) -> datetime:
    known: datetime | None = subject.link.last_crm_modified_at if subject.link else None
    return known or timezone.now()


def _paths(edited: Iterable[EditedRow], object_type: str, catalog: Catalog) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for row in edited:
        text = engine_row_of(row.row).path_on(object_type)
        try:
            found.update(dict.fromkeys(str(place) for place in compile_path(text or "").places))
        except PathError:
            continue
    there = [path for path, field in catalog.fields.get(object_type, {}).items() if field.missing_since is None]
    found.update(dict.fromkeys(there[:MOST_FIELDS]))
    return tuple(found)


def sealed(subject: Subject) -> str:
    """The record as a text that the page carries: it is stored nowhere, and nobody can change it."""
    held = {
        "contact": str(subject.contact.pk),
        "fields": subject.fields,
        "at": subject.modified_at.isoformat() if subject.modified_at else "",
    }
    return signing.dumps(held, salt=SALT, compress=True)


def unsealed(subject: Subject | None, text: str) -> Subject | None:
    """The subject with the fresh record, if the text is about this person."""
    if subject is None or not text:
        return subject
    try:
        held: Any = signing.loads(text, salt=SALT, max_age=MINUTES * 60)
    except signing.BadSignature:
        return subject
    if held["contact"] != str(subject.contact.pk) or subject.link is None:
        return subject
    return with_fields(subject, held["fields"], datetime.fromisoformat(held["at"]))


def values_seen(connection: CrmConnection, fields: Sequence[str], newest: int = 200) -> dict[str, list[str]]:
    """What the dialer holds in these fields, by the people who changed last; the most frequent values first."""
    columns = {name.partition(".")[0] for name in fields} & {one.name for one in Contact._meta.fields}
    if not columns:
        return {}
    people: QuerySet[Any] = Contact.objects.filter(tenant_id=connection.tenant_id, deleted_at=None)
    rows = list(people.order_by("-change_xid", "-id").values(*columns)[:newest])
    return {name: _frequent([_held_in(row, name) for row in rows]) for name in fields}


def _held_in(row: Mapping[str, Any], name: str) -> Any:
    column, _dot, key = name.partition(".")
    value = row.get(column)
    return value.get(key) if key and isinstance(value, Mapping) else value


def _frequent(found: Iterable[Any]) -> list[str]:
    texts = [text_of(value) for value in found if isinstance(value, str | int | float | bool) and value != ""]
    return [value for value, _count in Counter(texts).most_common(MOST_VALUES)]
