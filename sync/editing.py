"""Changes to contacts that come from our side: the dialer's API, a person in the admin, a call's counters.

Each is one transaction: the contact, its history, and the jobs that carry the change to the CRMs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from sync import barred, pushes, values
from sync.merge import DO_NOT_CALL, same
from sync.models import Contact, FieldChange, Lane


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something. `source`: api, person or call."""

    source: str
    name: str = ""


class VersionMismatch(ValueError):
    """Somebody else changed the contact since the caller read it."""

    def __init__(self, contact: Contact) -> None:
        super().__init__(f"The contact is at version {contact.version} now.")
        self.contact = contact


def create(tenant_id: UUID, fields: Mapping[str, Any], author: Author) -> Contact:
    """A new contact, made in every connected CRM that takes new people from us."""
    contact = Contact(tenant_id=tenant_id)
    values.write(contact, fields)
    with transaction.atomic():
        contact.save()
        FieldChange.objects.create(
            tenant_id=tenant_id,
            contact=contact,
            field="*",
            new={name: value for name, value in fields.items() if value is not None},
            source=author.source,
            actor=author.name,
        )
        pushes.enqueue([contact], lane=_lane(fields) if fields.get(DO_NOT_CALL) else Lane.EDITS, new=True)
    return contact


def edit(
    contact_id: UUID, fields: Mapping[str, Any], author: Author, *, expected_version: int | None = None
) -> Contact | None:
    """Applies the fields that differ from what the contact holds; nothing is written when none does. None: no such contact.

    Raises VersionMismatch when `expected_version` is not the contact's.
    """
    with transaction.atomic():
        contact: Contact | None = Contact.objects.select_for_update().filter(pk=contact_id, deleted_at=None).first()
        if contact is None:
            return None
        if expected_version is not None and contact.version != expected_version:
            raise VersionMismatch(contact)
        held = values.read(contact, fields)
        changed = {name: value for name, value in fields.items() if not same(held[name], value)}
        if changed:
            _apply(contact, changed, held, author)
    return contact


def _apply(contact: Contact, changed: Mapping[str, Any], held: Mapping[str, Any], author: Author) -> None:
    now = timezone.now()
    values.write(contact, changed)
    contact.version += 1
    contact.updated_at = now
    contact.save()
    changes = [
        FieldChange(
            tenant_id=contact.tenant_id,
            contact=contact,
            field=name,
            old=held[name],
            new=value,
            source=author.source,
            actor=author.name,
            at=now,
        )
        for name, value in changed.items()
    ]
    FieldChange.objects.bulk_create(changes)
    barred.tell(changes)
    pushes.mark_changed([contact], now=now)
    if changed.get(DO_NOT_CALL):
        pushes.mark_do_not_call([contact], now=now)
    pushes.enqueue([contact], lane=_lane(changed))


def _lane(fields: Mapping[str, Any]) -> Lane:
    return Lane.DO_NOT_CALL if DO_NOT_CALL in fields else Lane.EDITS
