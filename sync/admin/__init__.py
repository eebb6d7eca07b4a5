"""The admin's pages of the sync, and which model each is for."""

from django.contrib import admin

from integrations.models import CrmConnection
from mapping.models import ConflictPolicy, FieldMapping
from sync.admin.alert_settings import AlertSettingsAdmin
from sync.admin.alerts import AlertAdmin
from sync.admin.causes.done import DeploymentAdmin, FailureActionAdmin
from sync.admin.causes.pages import JobAdmin
from sync.admin.conflicts import ConflictAdmin
from sync.admin.connections import ConnectionAdmin
from sync.admin.decisions import ConflictDecisionAdmin
from sync.admin.editor.pages import MappingAdmin
from sync.admin.engine import FeedCursorAdmin, SyncRecordAdmin, WorkerBeatAdmin
from sync.admin.inbox import InboxEventAdmin
from sync.admin.policy import PolicyPages
from sync.admin.quarantine import QuarantineAdmin
from sync.admin.rehearsals import RehearsalAdmin
from sync.admin.reviews import MatchReviewAdmin
from sync.admin.runs import CertificateAdmin, SyncRunAdmin
from sync.admin.stories import FieldChangeAdmin
from sync.admin.undo import UndoAdmin
from sync.models import (
    Alert,
    AlertSettings,
    Certificate,
    Conflict,
    ConflictDecision,
    Deployment,
    FailureAction,
    FeedCursor,
    FieldChange,
    InboxEvent,
    MatchReview,
    Quarantine,
    Rehearsal,
    SyncJob,
    SyncRecord,
    SyncRun,
    Undo,
    WorkerBeat,
)

admin.site.register(CrmConnection, ConnectionAdmin)
admin.site.register(Alert, AlertAdmin)
admin.site.register(AlertSettings, AlertSettingsAdmin)
admin.site.register(FieldMapping, MappingAdmin)
admin.site.register(SyncJob, JobAdmin)
admin.site.register(FailureAction, FailureActionAdmin)
admin.site.register(Deployment, DeploymentAdmin)
admin.site.register(InboxEvent, InboxEventAdmin)
admin.site.register(Conflict, ConflictAdmin)
admin.site.register(ConflictDecision, ConflictDecisionAdmin)
admin.site.register(ConflictPolicy, PolicyPages)
admin.site.register(FieldChange, FieldChangeAdmin)
admin.site.register(Quarantine, QuarantineAdmin)
admin.site.register(SyncRun, SyncRunAdmin)
admin.site.register(Certificate, CertificateAdmin)
admin.site.register(MatchReview, MatchReviewAdmin)
admin.site.register(Rehearsal, RehearsalAdmin)
admin.site.register(Undo, UndoAdmin)
admin.site.register(SyncRecord, SyncRecordAdmin)
admin.site.register(FeedCursor, FeedCursorAdmin)
admin.site.register(WorkerBeat, WorkerBeatAdmin)
