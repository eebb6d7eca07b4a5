"""The steps of an undo, planning and doing: slices of contacts on the back-fill lane. The items' own states say how far it is, so a
step goes on after a crash where it stopped.
"""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from integrations.errors import CrmError, Throttled
from integrations.providers.base import CrmProvider
from sync import holding
from sync.handlers import Result
from sync.models import Contact, FieldChange, SyncRun, Undo, UndoItem
from sync.pull import is_paused
from sync.queue import Claim, Outcome
from sync.undoing import targets, writing
from sync.undoing.deciding import Decided, Verdict, decide
from sync.undoing.looking import Seen, links, look
from sync.undoing.uses import contacts_in_use

SLICE_SECONDS = 5.0
CONTACTS_AT_ONCE = 500
ONE_BY_ONE = 100
"""So many in a CRM that takes one record at a time: a slice has to end before its lease does."""
Status = Undo.Status
GOING = (Status.PLANNING, Status.RUNNING, Status.FAILED)


# --- the job --------------------------------------------------------------------------------------------------------


class UndoHandler:
    """One undo for some seconds; the job then goes to the end of its lane."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        rows = Undo.objects.select_related("connection__tenant", "of_run", "of_version", "back_to", "through", "run")
        wanted = {"pk": job.payload["undo"]} if "undo" in job.payload else {"run": job.payload.get("run")}
        undo = rows.filter(**wanted).first()
        if undo is None or undo.status not in GOING:
            return Result([Outcome(job, "done")])
        try:
            over = go_on(undo, provider, seconds=SLICE_SECONDS)
        except CrmError as error:
            if not isinstance(error, Throttled):
                _stop(undo, error.message)
            raise
        return Result([Outcome(job, "done") if over else Outcome(job, "ready", counts=False)])


def go_on(undo: Undo, provider: CrmProvider, *, seconds: float) -> bool:
    """Works slices for about `seconds`, at least one. True: the step is done, or somebody paused or dropped it."""
    started = time.monotonic()
    _resumed(undo)
    while True:
        if not undo.listed:
            _list(undo)
        elif not _slice(undo, provider):
            if undo.status in GOING and not _is_complete(undo):
                continue
            _finish(undo)
            return True
        if undo.run is not None and is_paused(undo.run):
            return True
        if time.monotonic() - started > seconds:
            return False


def _resumed(undo: Undo) -> None:
    if undo.status == Status.FAILED:
        undo.status, undo.error = (Status.RUNNING if undo.run else Status.PLANNING), ""
        undo.save(update_fields=["status", "error", "updated_at"])
        SyncRun.objects.filter(pk=undo.run_id, status=SyncRun.Status.FAILED).update(status=SyncRun.Status.RUNNING)


def _stop(undo: Undo, message: str) -> None:
    undo.status, undo.error = Status.FAILED, message
    undo.save(update_fields=["status", "error", "updated_at"])
    SyncRun.objects.filter(pk=undo.run_id, status=SyncRun.Status.RUNNING).update(
        status=SyncRun.Status.FAILED, error=message
    )


def _list(undo: Undo) -> None:
    with transaction.atomic():
        UndoItem.objects.filter(undo=undo).delete()
        undo.total = targets.list_items(undo)
        undo.listed = True
        _save(undo)


def _is_complete(undo: Undo) -> bool:
    """A page that was under way when the mapping went back may have come since."""
    if undo.run is None or not undo.back_to_id:
        return True
    with transaction.atomic():
        more = targets.list_items(undo)
        if UndoItem.objects.filter(undo=undo, state=UndoItem.State.WAITING).exists():
            undo.total += more
            _save(undo)
            return False
    return True


def _finish(undo: Undo) -> None:
    if undo.status not in GOING:
        return  # somebody dropped the plan
    undo.status = Status.DONE if undo.run else Status.READY
    undo.finished_at = timezone.now() if undo.run else None
    undo.save(update_fields=["status", "finished_at", "updated_at"])
    SyncRun.objects.filter(pk=undo.run_id).update(status=SyncRun.Status.DONE, finished_at=timezone.now(), error="")


def _save(undo: Undo) -> None:
    undo.save(update_fields=["listed", "total", "done", "counts", "updated_at"])
    if undo.run_id:
        counts = undo.counts
        SyncRun.objects.filter(pk=undo.run_id).update(
            expected=undo.total,
            updated=counts.get("done", 0),
            unchanged=counts.get("as_before", 0),
            skipped=counts.get("skipped", 0),
        )


# --- one slice ------------------------------------------------------------------------------------------------------


def _slice(undo: Undo, provider: CrmProvider) -> bool:
    """The next contacts. False: there are none. The CRMs are asked, and get their values back, before anything is locked."""
    items = _next_items(undo, CONTACTS_AT_ONCE if provider.write_batch_size > 1 else ONE_BY_ONE)
    if not items:
        return False
    seen = look(undo, provider, items)
    refused: dict[int, Verdict] = {}
    if undo.run is not None:
        refused = writing.send_back(provider, _decided(undo, items, seen, _contacts(items)))
    with transaction.atomic():
        holding.lock_tenant(undo.tenant_id)
        current: Undo = Undo.objects.select_for_update(of=("self",)).get(pk=undo.pk)
        if current.status not in GOING:
            undo.status = current.status
            return False
        waiting = set(_waiting(undo).filter(pk__in=[one.pk for one in items]).values_list("pk", flat=True))
        items = [one for one in items if one.pk in waiting]
        fresh = _with_fresh_links(undo, seen)
        found = _decided(undo, items, fresh, _contacts(items, lock=undo.run is not None), refused)
        if undo.run is not None:
            found = [one for one in found if not one.raw]  # these changed meanwhile, and are looked at again
            writing.apply(undo, found, fresh)
        _count(undo, found)
    return True


def _waiting(undo: Undo) -> "QuerySet[UndoItem]":
    return UndoItem.objects.filter(undo=undo, state=UndoItem.State.WAITING)


def _next_items(undo: Undo, contacts: int) -> list[UndoItem]:
    ids = _waiting(undo).order_by("contact_id").values_list("contact_id", flat=True).distinct()[:contacts]
    return list(_waiting(undo).filter(contact_id__in=list(ids)).order_by("contact_id", "pk"))


def _contacts(items: Sequence[UndoItem], *, lock: bool = False) -> Mapping[UUID, Contact]:
    rows = Contact.objects.filter(pk__in={one.contact_id for one in items})
    found: dict[UUID, Contact] = {one.pk: one for one in (rows.select_for_update() if lock else rows).order_by("pk")}
    return found


def _with_fresh_links(undo: Undo, seen: Sequence[Seen]) -> list[Seen]:
    """What was seen, with the links as they are now that nobody can move them."""
    known = {one.link.pk: one for one in seen}
    fresh = links(
        undo, {one.link.local_record_id for one in seen if one.link.local_record_id}, lock=undo.run is not None
    )
    for one in fresh:
        before = known.get(one.link.pk)
        if before is not None:
            one.present, one.was, one.now, one.at = before.present, before.was, before.now, before.at
    return fresh


def _decided(
    undo: Undo,
    items: Sequence[UndoItem],
    seen: Sequence[Seen],
    contacts: Mapping[UUID, Contact],
    refused: Mapping[int, Verdict] | None = None,
) -> list[Decided]:
    by_contact: dict[UUID, list[UndoItem]] = {}
    for item in items:
        by_contact.setdefault(item.contact_id, []).append(item)
    of_contact: dict[UUID | None, list[Seen]] = {}
    for one in seen:
        of_contact.setdefault(one.link.local_record_id, []).append(one)
    created = [one.contact_id for one in items if one.kind == UndoItem.Kind.CREATED]
    in_use = contacts_in_use(undo, created) if created else frozenset()
    return [
        decide(
            contacts.get(pk), group, of_contact.get(pk, []),
            of_version=undo.back_to_id is not None, in_use=in_use, refused=refused,
        )
        for pk, group in by_contact.items()
    ]  # fmt: skip


def _count(undo: Undo, found: Sequence[Decided]) -> None:
    verdicts = [verdict for one in found for verdict in one.verdicts]
    edited = [one.item for one in verdicts if one.reason == UndoItem.Reason.EDITED_HERE]
    writing.note(verdicts, _last_edits(undo, edited), planning=undo.run is None)
    undo.counts = dict(Counter(undo.counts) + writing.tally(found))
    undo.done += len(verdicts)
    _save(undo)


def _last_edits(undo: Undo, items: Collection[UndoItem]) -> Mapping[tuple[UUID, str], FieldChange]:
    if not items:
        return {}
    rows = FieldChange.objects.filter(
        contact__in={one.contact_id for one in items}, field__in={one.field for one in items}
    ).exclude(targets.is_by(undo))
    newest = rows.order_by("contact_id", "field", "-pk").distinct("contact_id", "field")
    return {(row.contact_id, row.field): row for row in newest}
