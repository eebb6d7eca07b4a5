"""Drafts of a mapping: one for each person and connection, kept until it is put in force or dropped.

A draft knows which version it was begun from. When somebody else puts another one in force meanwhile, the draft can't be put in
force any more until it was brought up to date: what both changed stays as the draft has it, and is named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from integrations.models import CrmConnection
from mapping.editor_rows import InForce, Row, canonical, in_force, ordered, parked, published
from mapping.models import MappingDraft, MappingVersion
from mapping.publishing import adopt


class Overtaken(Exception):
    """Somebody was faster, in a sentence for the person; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Rebased:
    """A draft's rows on top of another version. `both`: fields that were changed on both sides; the draft's row was kept."""

    rows: list[Row]
    both: tuple[str, ...]


def drafts_of(connection: CrmConnection) -> list[MappingDraft]:
    """Everybody's, newest first."""
    rows = MappingDraft.objects.filter(connection=connection).select_related("user").order_by("-updated_at")
    return list(rows)


def save(connection: CrmConnection, user_id: int, rows: Sequence[Row], *, based_on: int, revision: int) -> MappingDraft:
    """Keeps the draft. `revision` is that of the draft which the person saw, 0 for none.

    Raises Overtaken when it was saved in another window meanwhile.
    """
    with transaction.atomic():
        held = MappingDraft.objects.select_for_update().filter(connection=connection, user_id=user_id).first()
        if (held.revision if held else 0) != revision:
            raise Overtaken(
                _(
                    "Your draft was saved in another window meanwhile. Nothing was overwritten: save again to keep this one."
                )
            )
        draft: MappingDraft = held or MappingDraft(
            tenant_id=connection.tenant_id, connection=connection, user_id=user_id, revision=0
        )
        kept = ordered(map(canonical, rows))
        if published(kept) != published(draft.rows):
            draft.rehearsal = None
        draft.rows, draft.based_on, draft.revision = kept, based_on, draft.revision + 1
        draft.save()
    return draft


def discard(connection: CrmConnection, user_id: int) -> bool:
    """False: there was none."""
    gone, _rows = MappingDraft.objects.filter(connection=connection, user_id=user_id).delete()
    return bool(gone)


def rows_of_version(connection: CrmConnection, number: int) -> list[Row]:
    found = MappingVersion.objects.filter(
        tenant_id=connection.tenant_id, crm_provider=connection.provider, number=number
    ).first()
    return [canonical(row) for row in found.rows] if found else []


def rebased(draft: MappingDraft, now: InForce) -> Rebased:
    """The draft's own changes on top of what is in force now."""
    before = _by_field(rows_of_version(draft.connection, draft.based_on))
    mine, theirs = _by_field(draft.rows), _by_field(now.rows)
    rows: list[Row] = []
    both: list[str] = []
    for name in {**theirs, **mine}:
        was, own, other = before.get(name), mine.get(name), theirs.get(name)
        set_aside = other is not None and not other["active"] and was is None
        chosen = other if own == was or (set_aside and own is None) else own
        if was not in (own, other) and own != other and not set_aside:
            both.append(name)
        if chosen is not None:
            rows.append(chosen)
    return Rebased(ordered(rows), tuple(both))


def take_over(draft: MappingDraft, now: InForce) -> Rebased:
    """Brings a draft up to date and keeps it."""
    found = rebased(draft, now)
    save(draft.connection, draft.user_id, found.rows, based_on=now.number, revision=draft.revision)
    return found


def publish(draft: MappingDraft, *, note: str, user_id: int) -> MappingVersion:
    """Puts the draft in force without a rehearsal. Raises Overtaken, and MappingError with all problems; nothing changed then."""
    connection: Any = draft.connection
    with transaction.atomic():
        if in_force(connection.tenant_id, connection.provider).number != draft.based_on:
            raise Overtaken(overtaken_words())
        version = adopt(
            connection.tenant_id,
            connection.provider,
            published(draft.rows),
            note=note[:300],
            user_id=user_id,
            parked=parked(draft.rows),
        )
        if version.number not in (draft.based_on, draft.based_on + 1):
            raise Overtaken(overtaken_words())
        draft.delete()
    return version


def overtaken_words() -> str:
    return _("Somebody else put another version in force meanwhile. Bring your draft up to date first.")


def parked_for(rehearsal_id: UUID) -> list[Row] | None:
    """Rows that the draft behind a rehearsal keeps switched off; None where there is no such draft."""
    draft: MappingDraft | None = MappingDraft.objects.filter(rehearsal=rehearsal_id).first()
    return parked(draft.rows) if draft else None


def over(rehearsal_id: UUID) -> None:
    """To be called when a rehearsal was put in force: the draft that it came from is done with."""
    MappingDraft.objects.filter(rehearsal=rehearsal_id).delete()


def _by_field(rows: Sequence[Mapping[str, Any]]) -> dict[str, Row]:
    return {row["dialer_field"]: dict(row) for row in rows}
