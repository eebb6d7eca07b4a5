"""The tables of the sync engine."""

from sync.models.alerts import Alert, AlertDelivery, AlertKind, AlertSettings, ConnectionHour
from sync.models.contacts import Contact, FieldChange, SyncRecord
from sync.models.doubts import Conflict, ConflictDecision, MatchReview, Quarantine
from sync.models.failures import Deployment, FailureAction, FailureCause, FailureHour
from sync.models.feeds import Certificate, FeedCursor, InboxEvent
from sync.models.rehearsals import RecordSnapshot, Rehearsal
from sync.models.undo import SentValue, Undo, UndoItem
from sync.models.work import Lane, Restore, SyncJob, SyncRun, WorkerBeat

__all__ = [
    "Alert",
    "AlertDelivery",
    "AlertKind",
    "AlertSettings",
    "Certificate",
    "Conflict",
    "ConflictDecision",
    "ConnectionHour",
    "Contact",
    "Deployment",
    "FailureAction",
    "FailureCause",
    "FailureHour",
    "FeedCursor",
    "FieldChange",
    "InboxEvent",
    "Lane",
    "MatchReview",
    "Quarantine",
    "RecordSnapshot",
    "Rehearsal",
    "Restore",
    "SentValue",
    "SyncJob",
    "SyncRecord",
    "SyncRun",
    "Undo",
    "UndoItem",
    "WorkerBeat",
]
