"""What a call's disposition does to its contact: "do not call" and the lead status, in the transaction that stores the call.

Both are edits like any other: the contact gets a new version, its history says that a call did it, and the outbox carries them to
the CRMs, "do not call" before everything else. Whatever the number of calls it takes the same few statements, and only one while no
disposition among them has an effect. "Do not call" counts whenever it was said and no later disposition takes it back; a lead
status counts only from the newest call of its contact. Follow-ups and meetings, the other effects, are jobs: see `booking`.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.utils import timezone

from activities.dispositions import plain
from activities.models import Call, DispositionEffect
from sync import barred, pushes, values
from sync.bulk import upsert
from sync.merge import DO_NOT_CALL
from sync.models import Contact, FieldChange, Lane

Effects = Mapping[str, DispositionEffect]
"""Plain name of a disposition → what it brings about."""

LEAD_STATUS = "lead_status"
USUAL: Effects = {plain(name): DispositionEffect(disposition=name, do_not_call=True) for name in ("DNC", "Do Not Call")}
"""In force for every tenant that has no row of its own for the disposition."""


def of_tenant(tenant_id: UUID) -> dict[str, DispositionEffect]:
    """The tenant's effects, and the usual ones that it did not replace."""
    rows = DispositionEffect.objects.filter(tenant_id=tenant_id)
    return {**USUAL, **{plain(row.disposition): row for row in rows}}


def apply(calls: Sequence[Call], known: Effects | None = None) -> None:
    """Applies the dispositions of calls of one tenant, in the transaction that stored them.

    For calls that are new, or whose disposition or contact is. To be called after the statements that lock their contacts in the
    order of their ids, and before jobs that carry the same contacts later. `known`: the tenant's rows, where the caller has read
    them already.
    """
    told = [call for call in calls if call.contact_id is not None and call.disposition]
    if not told:
        return
    rows = of_tenant(told[0].tenant_id) if known is None else {**USUAL, **known}
    found = [(call, rows[plain(call.disposition)]) for call in told if plain(call.disposition) in rows]
    wanted = _wanted([(call, effect) for call, effect in found if effect.do_not_call or effect.lead_status])
    if wanted:
        _write(wanted)


def _wanted(found: Sequence[tuple[Call, DispositionEffect]]) -> dict[UUID, dict[str, Any]]:
    """By contact: the fields to set."""
    wanted: dict[UUID, dict[str, Any]] = {}
    for call, effect in found:
        if effect.do_not_call and call.contact_id:
            wanted.setdefault(call.contact_id, {})[DO_NOT_CALL] = True
    stating = [(call, effect.lead_status) for call, effect in found if effect.lead_status]
    newest = _newest_of([call for call, _status in stating])
    for call, status in stating:
        if call.contact_id and newest.get(call.contact_id) == call.pk:
            wanted.setdefault(call.contact_id, {})[LEAD_STATUS] = status
    return wanted


def _newest_of(calls: Sequence[Call]) -> dict[UUID, UUID]:
    """Contact → its newest call that has a disposition."""
    if not calls:
        return {}
    rows = Call.objects.filter(contact__in={call.contact_id for call in calls}).exclude(disposition="")
    newest = rows.order_by("contact_id", "-started_at", "-created_at").distinct("contact_id")
    return dict(newest.values_list("contact_id", "pk"))


def _write(wanted: Mapping[UUID, Mapping[str, Any]]) -> None:
    now = timezone.now()
    rows = Contact.objects.select_for_update(no_key=True).filter(pk__in=list(wanted), deleted_at=None)
    contacts = list(rows.order_by("pk"))
    stories = [change for contact in contacts for change in _changes(contact, wanted[contact.pk])]
    changed_ids = {change.contact_id for change in stories}
    changed = [contact for contact in contacts if contact.pk in changed_ids]
    for contact in changed:
        contact.version += 1
        contact.updated_at = now
    upsert(Contact, changed, [DO_NOT_CALL, LEAD_STATUS, "version", "updated_at"])
    FieldChange.objects.bulk_create(stories)
    barred.tell(stories)
    pushes.mark_changed(changed, now=now)
    # Said again it is said later: what a CRM took back in between is taken back no more.
    pushes.mark_do_not_call([one for one in contacts if DO_NOT_CALL in wanted[one.pk]], now=now)
    first = {change.contact_id for change in stories if change.field == DO_NOT_CALL}
    pushes.enqueue([one for one in changed if one.pk in first], lane=Lane.DO_NOT_CALL)
    pushes.enqueue([one for one in changed if one.pk not in first])


def _changes(contact: Contact, wanted: Mapping[str, Any]) -> list[FieldChange]:
    """Sets what differs, and says what it was before."""
    held = values.read(contact, wanted)
    changed = {name: value for name, value in wanted.items() if held[name] != value}
    values.write(contact, changed)
    return [
        FieldChange(tenant_id=contact.tenant_id, contact=contact, field=name, old=held[name], new=value, source="call")
        for name, value in changed.items()
    ]
