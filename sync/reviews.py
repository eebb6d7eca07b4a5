"""Contacts that may be the same person: kept for somebody to decide, asked once for each pair.

"Different people" is remembered. "Same person" joins both in one transaction: the survivor's values stay, its blanks are filled,
links, history and calls move to it, and the other contact stays in the feed as deleted with `custom.merged_into` naming the
survivor. There is no undoing it: where every row came from is not kept, though both contacts' values stand in the history.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from integrations.models import CrmConnection
from sync import holding, pushes, values
from sync.matching import Suspect
from sync.models import Contact, FieldChange, Lane, MatchReview, SyncRecord

CONTACTS = Contact._meta.db_table
MERGED_INTO = "merged_into"
RULE = "merged"
MOST_HOPS = 10
FILLED = (
    "first_name", "last_name", "email", "phone", "mobile_phone", "company", "title", "lead_status", "owner_email", "ai_score",
)  # fmt: skip


class NotMergeable(ValueError):
    """The two can't be joined as they are. The message says what to do first."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A contact, the record that brought it, and whom it may be the same as."""

    contact_id: UUID
    record: SyncRecord | None
    suspects: Sequence[Suspect]


def note(connection: CrmConnection, doubts: Iterable[Doubt]) -> None:
    """Asks about each pair once, whichever of the two came first."""
    wanted = [(one, suspect) for one in doubts for suspect in one.suspects if suspect.id != one.contact_id]
    if not wanted:
        return
    contacts = [one.contact_id for one, _suspect in wanted]
    asked = set(
        MatchReview.objects.filter(candidate__in=contacts, contact__in=[suspect.id for _one, suspect in wanted])
        .values_list("candidate_id", "contact_id")
    )  # fmt: skip
    MatchReview.objects.bulk_create(
        [
            MatchReview(
                tenant_id=connection.tenant_id,
                contact_id=one.contact_id,
                candidate_id=suspect.id,
                record=one.record,
                by=suspect.by,
                score=suspect.score,
                reasons=list(suspect.reasons),
            )
            for one, suspect in wanted
            if (one.contact_id, suspect.id) not in asked
        ],
        ignore_conflicts=True,
    )


def are_different(review: MatchReview, by: str) -> None:
    """Remembers that these are two people; nobody is asked again."""
    MatchReview.objects.filter(pk=review.pk, status=MatchReview.Status.OPEN).update(
        status=MatchReview.Status.DIFFERENT, decided_at=timezone.now(), decided_by=by
    )


def are_same(review: MatchReview, by: str) -> Contact:
    """Joins both contacts and returns the survivor, the one that was here first. Raises NotMergeable."""
    with transaction.atomic():
        holding.lock_tenant(review.tenant_id)
        held = MatchReview.objects.select_for_update().get(pk=review.pk)
        if held.status != MatchReview.Status.OPEN:
            raise NotMergeable("Somebody has decided this already.")
        survivor, loser = _pair(held)
        _refuse_two_of_one_crm(survivor, loser)
        _fill(survivor, loser, by)
        _re_point(survivor, loser)
        _retire(loser, survivor, by)
        held.status, held.decided_at, held.decided_by = MatchReview.Status.SAME, timezone.now(), by
        held.save(update_fields=["status", "decided_at", "decided_by"])
        pushes.mark_changed([survivor], now=timezone.now())
        pushes.mark_do_not_call([survivor] if loser.do_not_call else [], now=timezone.now())
        pushes.enqueue([survivor], lane=Lane.DO_NOT_CALL if loser.do_not_call else Lane.EDITS)
    return survivor


def _pair(review: MatchReview) -> tuple[Contact, Contact]:
    found = Contact.objects.select_for_update().order_by("pk").in_bulk([review.contact_id, review.candidate_id])
    pair = sorted(found.values(), key=lambda one: (one.created_at, one.pk))
    if len(pair) < 2 or any(one.deleted_at for one in pair):
        raise NotMergeable("One of the two contacts has been deleted meanwhile.")
    return pair[0], pair[1]


def _refuse_two_of_one_crm(survivor: Contact, loser: Contact) -> None:
    links = SyncRecord.objects.filter(local_record_id__in=[survivor.pk, loser.pk], local_table=CONTACTS).exclude(
        connection=None
    )
    seen: dict[UUID, UUID] = {}
    for link in links:
        if seen.setdefault(link.connection_id, link.local_record_id) != link.local_record_id:
            raise NotMergeable(
                f"{link.get_crm_provider_display()} has a record for each of the two. Merge them there; it is followed here."
            )


def _fill(survivor: Contact, loser: Contact, by: str) -> None:
    """Blanks are filled; calls are added up; "do not call" of either holds for both. What loses stands in the history."""
    names = [*FILLED, *(f"{values.CUSTOM}{name}" for name in loser.custom if name != MERGED_INTO)]
    ours, theirs = values.read(survivor, names), values.read(loser, names)
    rows = []
    for name in names:
        if theirs[name] is None or theirs[name] == ours[name]:
            continue
        kept = theirs[name] if ours[name] is None else ours[name]
        lost = None if ours[name] is None else theirs[name]
        rows.append(_change(survivor, by, field=name, old=ours[name], new=kept, lost=lost))
        values.write(survivor, {name: kept})
    if loser.do_not_call and not survivor.do_not_call:
        rows.append(_change(survivor, by, field="do_not_call", old=False, new=True))
        survivor.do_not_call = True
    if loser.last_called_at and (not survivor.last_called_at or loser.last_called_at > survivor.last_called_at):
        survivor.last_called_at, survivor.last_disposition = loser.last_called_at, loser.last_disposition
    survivor.call_count += loser.call_count
    survivor.version += 1
    survivor.updated_at = timezone.now()
    survivor.save()
    FieldChange.objects.bulk_create(rows)


def _change(contact: Contact, by: str, **what: Any) -> FieldChange:
    return FieldChange(
        tenant_id=contact.tenant_id, contact=contact, source="person", actor=by, rule=RULE, at=timezone.now(), **what
    )


def _re_point(survivor: Contact, loser: Contact) -> None:
    """Everything that stands for the other contact stands for the survivor: links, and each row of any app that names it."""
    SyncRecord.objects.filter(local_record_id=loser.pk, local_table=CONTACTS).update(
        local_record_id=survivor.pk, updated_at=timezone.now()
    )
    for relation in Contact._meta.related_objects:
        model: Any = relation.related_model
        if model is not MatchReview and isinstance(relation.field, models.ForeignKey):
            model._default_manager.filter(**{relation.field.name: loser}).update(**{relation.field.name: survivor})
    # Another open question about the loser is one about somebody who is gone; its twin about the survivor is asked anew.
    MatchReview.objects.filter(Q(contact=loser) | Q(candidate=loser), status=MatchReview.Status.OPEN).exclude(
        Q(contact=survivor) | Q(candidate=survivor)
    ).delete()


def _retire(loser: Contact, survivor: Contact, by: str) -> None:
    now = timezone.now()
    _change(loser, by, field="*", old=values.read(loser, FILLED), new={MERGED_INTO: str(survivor.pk)}).save()
    loser.custom = {**loser.custom, MERGED_INTO: str(survivor.pk)}
    loser.deleted_at = loser.updated_at = now
    loser.version += 1
    loser.save()


def survivor_of(contact_id: UUID) -> UUID:
    """The contact that this one was joined into, however often; itself when it was not."""
    for _hop in range(MOST_HOPS):
        custom = Contact.objects.filter(pk=contact_id).exclude(deleted_at=None).values_list("custom", flat=True).first()
        if not custom or MERGED_INTO not in custom:
            break
        contact_id = UUID(custom[MERGED_INTO])
    return contact_id
