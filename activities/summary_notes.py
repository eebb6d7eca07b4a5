"""Summaries of calls as notes of their own, in CRMs that keep such beside the call.

The job for a note is made in the transaction that writes down that the CRM has the call, or a later stage of it: so the note
never comes before its call, and what nobody logs gets none. It goes in a lane behind the calls, and waits in no worker for its
turn: a CRM may be stingier with notes than with calls. What the note said is remembered as a digest, so that a stage which
changes nothing of it costs no request. Once the texts were forgotten here the note stays as it is, like the call's own notes.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from django.utils.translation import gettext as _

from activities.answers import outcome_of
from activities.booking import moment
from activities.links import Links, id_in, link, links_in, links_of
from activities.models import Call, CallSettings
from activities.payload import keeps_text, notes_of
from activities.tried import Tried
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.activities import CallActivity, Note
from sync.handlers import Result
from sync.models import Lane, SyncJob, SyncRecord
from sync.queue import Claim, NewJob, Outcome
from sync.work import unknown_pause

NOTE = "write_note"
TABLE = "call_summary_notes"
"""What the links call themselves."""
SETTING = "call_summary_note"
"""Of a connection: false writes none, and leaves those that are there."""
SAID, TRIED = "said", "tried"


def jobs(
    provider: CrmProvider, connection: CrmConnection, logged: Sequence[tuple[SyncJob, Call, CallActivity]]
) -> list[NewJob]:
    """The jobs that follow from calls which this CRM has taken just now."""
    if not logged or not _are_wanted(provider, connection):
        return []
    links = links_in(connection.pk, TABLE, [call.pk for _job, call, _activity in logged])
    return [
        _job(job, call, activity.first_attempt_at)
        for job, call, activity in logged
        if not activity.keeps_text and _has_news(call, activity.notes, links.get(call.pk))
    ]


def _job(job: SyncJob, call: Call, tried: datetime | None) -> NewJob:
    """What made us look for the call in the CRM (a restored database, for instance) is a reason to look for its note, too."""
    return NewJob(
        tenant_id=job.tenant_id,
        connection_id=job.connection_id,
        kind=NOTE,
        key=str(call.pk),
        local_record_id=call.pk,
        payload={
            "object_type": job.payload.get("object_type") or "",
            "record_id": job.payload["record_id"],
            **({TRIED: tried.isoformat()} if tried else {}),
        },
        lane=max(job.lane, Lane.EDITS),
    )


class WriteNotes:
    """A batch of one connection, each call's note once, and updated in place."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return provider.call_batch_size

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        connection = CrmConnection.objects.get(pk=claimed.jobs[0].connection_id)
        links = links_of(claimed, TABLE)
        notes = self._notes(provider, connection, claimed, links)
        answers = provider.write_notes(list(notes.values())) if notes else ()
        by_key = {answer.key: answer for answer in answers}
        pause = unknown_pause(connection, provider)
        outcomes, kept = [], []
        for job in claimed.jobs:
            note = notes.get(job.pk)
            if note is None:
                outcomes.append(Outcome(job, "done"))
                continue
            answer = by_key.get(note.key)
            outcomes.append(outcome_of(job, answer, pause))
            if answer is not None and answer.id and answer.error is None:
                said = {SAID: _digest(note.title, note.description)}
                kept.append(link(provider, connection, job, (TABLE, provider.note_type), answer, **said))
        return Result(outcomes, kept)

    def _notes(self, provider: CrmProvider, connection: CrmConnection, claimed: Claim, links: Links) -> dict[int, Note]:
        """By job. One that is not here has nothing to say, or nothing new."""
        if not _are_wanted(provider, connection):
            return {}
        calls = Call.objects.in_bulk([job.local_record_id for job in claimed.jobs])
        decided = CallSettings.objects.filter(tenant_id=connection.tenant_id).only("note_template", "forget_in_crms")
        chosen = decided.first() or CallSettings()
        tried, found = Tried(claimed), {}
        for job in claimed.jobs:
            call, link = calls.get(job.local_record_id), links.get(job.local_record_id)
            if call is None or keeps_text(call, forgets_in_crms=chosen.forget_in_crms):
                continue
            text = notes_of(call, chosen.note_template)
            first = min(filter(None, (tried.before(job, call), moment(job.payload, TRIED))), default=None)
            if _has_news(call, text, link) or (link is None and first):
                found[job.pk] = Note(
                    key=f"{call.pk}:note",
                    object_type=job.payload.get("object_type") or provider.person_types[0],
                    record_id=job.payload["record_id"],
                    title=_subject(call),
                    description=text,
                    first_attempt_at=first,
                    crm_record_id=id_in(links, job),
                )
        return found


def _are_wanted(provider: CrmProvider, connection: CrmConnection) -> bool:
    return bool(provider.note_type) and connection.settings.get(SETTING, True) is not False


def _has_news(call: Call, text: str, link: SyncRecord | None) -> bool:
    """Whether the CRM has to hear of it. A text that was taken back leaves the note, too."""
    if link is None:
        return bool(call.summary.strip() or call.key_points or call.next_steps)
    return bool(link.metadata.get(SAID) != _digest(_subject(call), text))


def _subject(call: Call) -> str:
    return _("Call Summary — AI Generated") if call.summary.strip() else _("Call Notes")


def _digest(subject: str, text: str) -> str:
    return hashlib.sha256(f"{subject}\n{text}".encode()).hexdigest()[:32]
