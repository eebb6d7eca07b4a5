"""The summary of a call as a note on its person, beside the call. Found again by the marker in its last line, like calls."""

from collections.abc import Callable
from dataclasses import replace

from integrations.providers.followupboss.activities import NOTES
from integrations.providers.followupboss.activity_writing import ActivityWriter
from integrations.providers.followupboss.appointments import NAME_ROOM, TEXT_ROOM, cut
from integrations.records.activities import Note
from integrations.records.remote import RecordWrite, Written


class SummaryNotes:
    def __init__(self, writer: ActivityWriter, url_of: Callable[[str], str]) -> None:
        self._writer = writer
        self._url_of = url_of

    def write(self, one: Note) -> Written:
        told = {"subject": cut(one.title, NAME_ROOM), "body": cut(one.description.strip(), TEXT_ROOM), "isHtml": False}
        known = one.crm_record_id
        if not known:
            fresh = RecordWrite(one.key, {**told, "personId": one.record_id}, first_attempt_at=one.first_attempt_at)
            made = self._writer.write(NOTES, fresh)
            if made.created:
                return replace(made, url=self._url_of(one.record_id))
            known = made.id  # an earlier try wrote it, and the text may be another by now
        changed = self._writer.write(NOTES, RecordWrite(one.key, told, known))
        return replace(changed, url=self._url_of(one.record_id))
