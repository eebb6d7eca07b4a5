"""Which of the contacts that a run made somebody has to do with since: those stay."""

from collections.abc import Collection
from uuid import UUID

from django.db import models
from django.db.models import Count, Q

from sync.models import Contact, FieldChange, MatchReview, SyncRecord, Undo
from sync.pushes import CONTACTS
from sync.undoing.targets import is_by


def contacts_in_use(undo: Undo, contact_ids: Collection[UUID]) -> frozenset[UUID]:
    """Edited by anybody else, called, known to another CRM, or named by a row of any other table."""
    found: set[UUID] = set()
    history = FieldChange.objects.filter(contact__in=contact_ids).exclude(is_by(undo))
    found |= set(history.values_list("contact_id", flat=True))
    called = Contact.objects.filter(pk__in=contact_ids).filter(Q(call_count__gt=0) | Q(last_called_at__isnull=False))
    found |= set(called.values_list("pk", flat=True))
    links = SyncRecord.objects.filter(local_record_id__in=contact_ids, local_table=CONTACTS).order_by()
    several = links.values("local_record_id").annotate(count=Count("pk")).filter(count__gt=1)
    found |= set(several.values_list("local_record_id", flat=True))
    for relation in Contact._meta.related_objects:
        followed = isinstance(relation.field, models.ForeignKey)
        if followed and relation.related_model not in (FieldChange, MatchReview):
            rows = relation.related_model._default_manager.filter(**{f"{relation.field.name}__in": contact_ids})
            found |= set(rows.values_list(f"{relation.field.name}_id", flat=True))
    return frozenset(found)
