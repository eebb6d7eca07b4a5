"""Erases one person everywhere here, because they asked for it. Figures stay: that there was a call, when, how long.

What the CRMs hold is the tenant's own to erase there: the answer names the records, and their links stay as tombstones, so that
nothing of them is taken in again (see `sync.erasing`). Work that is under way for the person would write down what was just
erased, so it has to end first; work that waits is dismissed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.utils import timezone

from activities.forgetting import forget_calls
from activities.models import Call, DialerMessage
from activities.person import PLACES, Person, Place, mentioned
from integrations.models import ApiExchange
from sync import erasing, holding
from sync.models import FailureCause, InboxEvent, SyncJob, SyncRecord, SyncRun

ERASED = "[erased]"
SCRUBBED: Sequence[tuple[Any, Sequence[str]]] = (
    (SyncJob, ("error", "error_detail")),
    (SyncRecord, ("error_message",)),
    (SyncRun, ("error",)),
    (FailureCause, ("words",)),
    (InboxEvent, ("error", "note")),
)
"""Texts that are about several people, or about nobody in particular: only what names the person is taken out."""


class UnderWay(RuntimeError):
    """Work for this person is being done at this moment."""


@dataclass(frozen=True, slots=True)
class Erased:
    contacts: int
    calls: int
    crm_records: Sequence[dict[str, str]]
    """What still exists in the CRMs."""

    def as_json(self) -> dict[str, Any]:
        return {"contacts": self.contacts, "calls": self.calls, "still_in_crms": list(self.crm_records)}


def erase(person: Person, by: str) -> Erased:
    """In the tenant's scope, as one transaction. Safe to repeat. Raises UnderWay, with nothing changed."""
    now = timezone.now()
    places = {place.title: place for place in PLACES}
    # Looked for before anybody has to wait: that reads much. What comes in meanwhile meets the tombstones.
    requests, events = (_ids(places[name], person) for name in ("requests_to_crms", "events_from_crms"))
    with transaction.atomic():
        holding.lock_tenant(person.tenant.pk)
        _end_work(person, now)
        ApiExchange.objects.filter(pk__in=requests).delete()
        _forget_events(events)
        for model, columns in SCRUBBED:
            _scrub(person, model, columns)
        LogEntry.objects.filter(object_id__in=person.texts).update(object_repr="", change_message="")
        DialerMessage.objects.filter(about__in=person.ids).delete()
        forget_calls(Call.objects.filter(pk__in=person.call_ids))
        erasing.forget_here(person.contact_ids, now, by)
        SyncRecord.objects.filter(pk__in=[one.pk for one in person.links]).update(error_message=None)
    return Erased(len(person.contact_ids), len(person.call_ids), person.crm_records)


def _ids(place: Place, person: Person) -> list[Any]:
    return list(place.of(person).values_list("pk", flat=True))


def _end_work(person: Person, now: datetime) -> None:
    """Workers pass over the jobs that we hold, and then find them dismissed."""
    jobs = SyncJob.objects.select_for_update().filter(local_record_id__in=person.ids)
    rows = list(jobs.values_list("pk", "state"))
    if any(state == SyncJob.State.LEASED for _pk, state in rows):
        raise UnderWay("Work for this person is under way. Try again in a minute.")
    of_person = SyncJob.objects.filter(pk__in=[pk for pk, _state in rows])
    open_ = of_person.filter(state__in=(SyncJob.State.READY, SyncJob.State.DEAD))
    open_.update(state=SyncJob.State.DISMISSED, finished_at=now, cause="")
    of_person.update(payload={}, error="", error_detail="")


def _forget_events(ids: Sequence[int]) -> None:
    InboxEvent.objects.filter(pk__in=ids).update(body=b"", values={})


def _scrub(person: Person, model: Any, columns: Sequence[str]) -> None:
    needles = [*person.needles, *person.names]
    rows = list(model.objects.filter(mentioned(person, columns, names=True), tenant=person.tenant))
    for row in rows:
        for name in columns:
            setattr(row, name, _without(getattr(row, name), needles))
    model.objects.bulk_update(rows, columns, batch_size=500)


def _without(text: str | None, needles: Sequence[str]) -> str | None:
    for needle in needles:
        text = re.sub(re.escape(needle), ERASED, text, flags=re.IGNORECASE) if text else text
    return text
