"""Contacts that may be the same person: kept for somebody to decide, asked once for each pair.

"Different people" is remembered. "Same person" joins both in one transaction (see `sync.folding`) and can be undone until either of
them is changed. Where a CRM made one record of two the same is done at once, and stands here as decided by that CRM.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from integrations.models import CrmConnection
from sync import folding, holding
from sync.folding import MERGED_INTO, Decider, NotMergeable
from sync.matching import Suspect
from sync.models import Contact, MatchReview, SyncRecord


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
        survivor, loser = folding.in_order([held.contact_id, held.candidate_id])
        folding.fold(survivor, loser, Decider(by))
        held.status, held.decided_at, held.decided_by = MatchReview.Status.SAME, timezone.now(), by
        held.save(update_fields=["status", "decided_at", "decided_by"])
    return survivor


def undo(review: MatchReview, by: str) -> None:
    """Parts both contacts again and asks anew. Raises NotMergeable when either was changed since."""
    with transaction.atomic():
        holding.lock_tenant(review.tenant_id)
        held = MatchReview.objects.select_for_update().select_related("contact", "candidate").get(pk=review.pk)
        loser = joined(held)
        if held.status != MatchReview.Status.SAME or loser is None:
            raise NotMergeable("These two are not joined.")
        folding.unfold(loser.pk, Decider(by))


def joined(review: MatchReview) -> Contact | None:
    """The one of the two contacts that was joined into the other."""
    pair = (review.contact, review.candidate)
    return next(
        (one for one, other in (pair, pair[::-1]) if one.deleted_at and one.custom.get(MERGED_INTO) == str(other.pk)),
        None,
    )
