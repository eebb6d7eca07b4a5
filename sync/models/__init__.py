"""The tables of the sync engine."""

from sync.models.contacts import Contact, FieldChange, SyncRecord
from sync.models.doubts import Conflict, MatchReview, Quarantine
from sync.models.feeds import Certificate, FeedCursor, InboxEvent
from sync.models.rehearsals import RecordSnapshot, Rehearsal
from sync.models.work import Lane, SyncJob, SyncRun, WorkerBeat

__all__ = [
    "Certificate",
    "Conflict",
    "Contact",
    "FeedCursor",
    "FieldChange",
    "InboxEvent",
    "Lane",
    "MatchReview",
    "Quarantine",
    "RecordSnapshot",
    "Rehearsal",
    "SyncJob",
    "SyncRecord",
    "SyncRun",
    "WorkerBeat",
]
