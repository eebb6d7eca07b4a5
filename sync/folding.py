"""Makes one contact of two, and two of one again.

The survivor is the contact that was here first, so that programs keep the id they know. Links, history and calls of the other
move to it; the other stays in the feed as deleted, with `custom.merged_into` naming the survivor, and its id keeps resolving.
What was moved and what the survivor held before is kept in the history of the other contact, which is what undoing reads. Either
holding "do not call" holds for the survivor, and undoing does not take it back from either.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils import timezone

from integrations.models import CrmConnection
from sync import barred, pushes, values
from sync.models import Contact, FieldChange, Lane, MatchReview, SyncRecord

CONTACTS = Contact._meta.db_table
MERGED_INTO = "merged_into"
FOLDED = f"{values.CUSTOM}{MERGED_INTO}"
"""The history's name for the entry that says it all."""
RULE, UNDONE = "merged", "unmerged"
TOLD = "merged_in_crm"
"""How a pair was found that a CRM made one."""
CUSTOM = values.CUSTOM
MOST_HOPS = 10
FILLED = (
    "first_name", "last_name", "email", "phone", "mobile_phone", "company", "title", "lead_status", "owner_email", "ai_score",
)  # fmt: skip
LAST_CALL = ("last_called_at", "last_disposition")
ASKED = ("contact_id", "candidate_id", "record_id", "by", "score", "reasons")


class NotMergeable(ValueError):
    """The two can't be joined, or parted, as they are. The message says what to do first."""


@dataclass(frozen=True, slots=True)
class Decider:
    """Who says that two contacts are one: a person, or a CRM that made one record of two."""

    name: str
    connection: CrmConnection | None = None

    @property
    def source(self) -> str:
        return "crm" if self.connection else "person"


def in_order(contact_ids: Collection[UUID]) -> tuple[Contact, Contact]:
    """Both contacts, locked, the one that was here first before the other. Raises NotMergeable."""
    found = Contact.objects.select_for_update().order_by("pk").in_bulk(list(contact_ids))
    pair = sorted(found.values(), key=lambda one: (one.created_at, one.pk))
    if len(pair) < 2 or any(one.deleted_at for one in pair):
        raise NotMergeable("One of the two contacts has been deleted meanwhile.")
    return pair[0], pair[1]


def fold(
    survivor: Contact, loser: Contact, by: Decider, *, leading: Contact | None = None, decided: Collection[str] = ()
) -> None:
    """Joins the second contact into the first. The caller holds the tenant's lock. Raises NotMergeable, before anything changes.

    Blanks of the survivor are filled; in the `decided` fields the `leading` contact's values are kept, blank or not, since its
    record already holds what was agreed on.
    """
    _refuse_two_of_one_crm(survivor, loser)
    before = values.read(survivor, (*FILLED, *LAST_CALL, *_custom(survivor, loser)))
    _fill(
        survivor, loser, by, before, {name: values.read(leading, [name])[name] for name in decided} if leading else {}
    )
    kept = values.read(survivor, before)
    log = {
        "version": survivor.version,
        "loser_version": loser.version + 1,
        "before": {name: value for name, value in before.items() if value != kept[name]},
        "after": {name: value for name, value in kept.items() if value != before[name]},
        **_re_point(survivor, loser),
    }
    _retire(loser, survivor, by, log)
    pushes.mark_changed([survivor], now=timezone.now())
    pushes.mark_do_not_call([survivor] if loser.do_not_call else [], now=timezone.now())
    pushes.enqueue([survivor], lane=Lane.DO_NOT_CALL if loser.do_not_call else Lane.EDITS)


def unfold(loser_id: UUID, by: Decider, *, even_if_edited: bool = False) -> bool:
    """Parts what `fold` joined: the other contact lives again with what was moved from it. False: it was not joined.

    The survivor gets back what it held, except where its value changed since. Raises NotMergeable when either was edited since,
    unless `even_if_edited`. The caller holds the tenant's lock.
    """
    loser = Contact.objects.select_for_update().filter(pk=loser_id).exclude(deleted_at=None).first()
    if loser is None or MERGED_INTO not in loser.custom:
        return False
    survivor = Contact.objects.select_for_update().filter(pk=loser.custom[MERGED_INTO], deleted_at=None).first()
    entry = FieldChange.objects.filter(contact=loser, field=FOLDED, rule=RULE).order_by("-pk").first()
    if survivor is None or entry is None or not entry.lost:
        raise NotMergeable("The contact that they were joined into is not there any more, so they can't be parted.")
    log: Mapping[str, Any] = entry.lost
    if not even_if_edited and (survivor.version, loser.version) != (log["version"], log["loser_version"]):
        raise NotMergeable("The contact was changed or called since, so what belongs to whom is not known any more.")
    _give_back_rows(survivor, loser, log)
    _give_back_values(survivor, loser, log, by)
    _ask_again(survivor, loser, by)
    now = timezone.now()
    pushes.mark_changed([survivor, loser], now=now)
    pushes.enqueue([survivor, loser])
    return True


def survivor_of(contact_id: UUID) -> UUID:
    """The contact that this one was joined into, however often; itself when it was not."""
    for _hop in range(MOST_HOPS):
        custom = Contact.objects.filter(pk=contact_id).exclude(deleted_at=None).values_list("custom", flat=True).first()
        if not custom or MERGED_INTO not in custom:
            break
        contact_id = UUID(custom[MERGED_INTO])
    return contact_id


def note(survivor: Contact, loser: Contact, record: SyncRecord, by: Decider) -> None:
    """Keeps with the possible duplicates that a CRM made these two one, so that somebody can see it and part them."""
    reviews = MatchReview.objects.filter(contact__in=[survivor, loser], candidate__in=[survivor, loser])
    decided = {"status": MatchReview.Status.SAME, "decided_at": timezone.now(), "decided_by": by.name}
    if not reviews.update(**decided):
        MatchReview.objects.create(
            tenant_id=survivor.tenant_id, contact=loser, candidate=survivor, record=record, by=TOLD, score=1.0,
            reasons=["one_record"], **decided,
        )  # fmt: skip


# --- joining --------------------------------------------------------------------------------------------------------


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


def _custom(*contacts: Contact) -> list[str]:
    names = dict.fromkeys(name for one in contacts for name in one.custom)
    return [f"{values.CUSTOM}{name}" for name in names if name != MERGED_INTO]


def _fill(survivor: Contact, loser: Contact, by: Decider, ours: Mapping[str, Any], decided: Mapping[str, Any]) -> None:
    """Calls are added up; "do not call" of either holds for both. What loses stands in the history."""
    names = [name for name in ours if name not in LAST_CALL]
    theirs, rows = values.read(loser, names), []
    for name in names:
        kept = decided[name] if name in decided else theirs[name] if ours[name] is None else ours[name]
        lost = next((one for one in (ours[name], theirs[name]) if one is not None and one != kept), None)
        if kept != ours[name] or lost is not None:
            rows.append(_change(survivor, by, field=name, old=ours[name], new=kept, lost=lost))
            values.write(survivor, {name: kept})
    if loser.do_not_call and not survivor.do_not_call:
        rows.append(_change(survivor, by, field="do_not_call", old=False, new=True))
        survivor.do_not_call = True
    if loser.last_called_at and (not survivor.last_called_at or loser.last_called_at > survivor.last_called_at):
        survivor.last_called_at, survivor.last_disposition = loser.last_called_at, loser.last_disposition
    survivor.call_count += loser.call_count
    _save(survivor)
    FieldChange.objects.bulk_create(rows)
    barred.tell(rows)


def _save(contact: Contact) -> None:
    contact.version += 1
    contact.updated_at = timezone.now()
    contact.save()


def _change(contact: Contact, by: Decider, *, rule: str = RULE, **what: Any) -> FieldChange:
    return FieldChange(
        tenant_id=contact.tenant_id,
        contact=contact,
        source=by.source,
        actor=by.name,
        connection=by.connection,
        rule=rule,
        at=timezone.now(),
        **what,
    )


def _followers() -> list[tuple[Any, str]]:
    """Every table, of any app, with rows about a contact, and the name of its field. Questions about pairs are no such."""
    return [
        (relation.related_model, relation.field.name)
        for relation in Contact._meta.related_objects
        if relation.related_model is not MatchReview and isinstance(relation.field, models.ForeignKey)
    ]


def _re_point(survivor: Contact, loser: Contact) -> dict[str, Any]:
    """Everything that stands for the other contact stands for the survivor. Returns what was moved."""
    links = SyncRecord.objects.filter(local_record_id=loser.pk, local_table=CONTACTS)
    moved: dict[str, Any] = {"links": [str(pk) for pk in links.values_list("pk", flat=True)], "rows": {}}
    links.update(local_record_id=survivor.pk, updated_at=timezone.now())
    for model, name in _followers():
        rows = model._default_manager.filter(**{name: loser})
        moved["rows"][model._meta.label_lower] = [str(pk) for pk in rows.values_list("pk", flat=True)]
        rows.update(**{name: survivor})
    # Another open question about the loser is one about somebody who is gone.
    others = MatchReview.objects.filter(Q(contact=loser) | Q(candidate=loser), status=MatchReview.Status.OPEN).exclude(
        Q(contact=survivor) | Q(candidate=survivor)
    )
    moved["questions"] = [[_plain(one) for one in row] for row in others.values_list(*ASKED)]
    others.delete()
    return moved


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def _retire(loser: Contact, survivor: Contact, by: Decider, log: Mapping[str, Any]) -> None:
    _change(loser, by, field=FOLDED, new=str(survivor.pk), lost=dict(log)).save()
    loser.custom = {**loser.custom, MERGED_INTO: str(survivor.pk)}
    loser.deleted_at = timezone.now()
    _save(loser)


# --- parting --------------------------------------------------------------------------------------------------------


def _give_back_rows(survivor: Contact, loser: Contact, log: Mapping[str, Any]) -> None:
    links = SyncRecord.objects.filter(pk__in=log["links"], local_record_id=survivor.pk)
    links.update(local_record_id=loser.pk, updated_at=timezone.now())
    for model, name in _followers():
        moved = log["rows"].get(model._meta.label_lower)
        if moved:
            model._default_manager.filter(pk__in=moved, **{name: survivor}).update(**{name: loser})
    held = Contact.objects.in_bulk({UUID(pk) for row in log["questions"] for pk in row[:2]})
    MatchReview.objects.bulk_create(
        [
            MatchReview(tenant_id=loser.tenant_id, **dict(zip(ASKED, row, strict=True)))
            for row in log["questions"]
            if {UUID(pk) for pk in row[:2]} <= held.keys()
        ],
        ignore_conflicts=True,
    )


def _ask_again(survivor: Contact, loser: Contact, by: Decider) -> None:
    """A pair that a CRM alone made one, and now parts, is no question."""
    pair = MatchReview.objects.filter(
        contact__in=[survivor, loser], candidate__in=[survivor, loser], status=MatchReview.Status.SAME
    )
    if by.connection:
        pair.filter(by=TOLD).delete()
    pair.update(status=MatchReview.Status.OPEN, decided_at=None, decided_by="")


def _give_back_values(survivor: Contact, loser: Contact, log: Mapping[str, Any], by: Decider) -> None:
    held = values.read(survivor, log["after"])
    back = {name: value for name, value in log["before"].items() if held[name] == log["after"][name]}
    values.write(survivor, back)
    survivor.custom = {
        name: value
        for name, value in survivor.custom.items()
        if value is not None or f"{values.CUSTOM}{name}" not in back
    }
    survivor.call_count = max(survivor.call_count - loser.call_count, 0)
    loser.custom = {name: value for name, value in loser.custom.items() if name != MERGED_INTO}
    loser.deleted_at = None
    FieldChange.objects.bulk_create(
        [
            *(
                _change(survivor, by, rule=UNDONE, field=name, old=held[name], new=value)
                for name, value in back.items()
            ),
            _change(loser, by, rule=UNDONE, field=FOLDED, old=str(survivor.pk)),
        ]
    )
    _save(survivor)
    _save(loser)
