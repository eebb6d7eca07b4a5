"""Rows for tests, one small function each. `world` makes one of every kind for a tenant; every text in it names the tenant."""

import uuid
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success
from django_q.signing import SignedPackage

from activities.models import (
    AgentOverride,
    Call,
    CallSettings,
    CallStage,
    CrmAgent,
    DialerEndpoint,
    DialerMessage,
    DispositionEffect,
    DispositionMap,
    RecordingPlay,
    RetentionRun,
)
from activities.targets import KIND
from integrations import tenancy
from integrations.access import SUPPORT, TENANT_ADMIN, VIEWER
from integrations.models import (
    ApiExchange,
    ApiKey,
    ApiUsage,
    AuditEntry,
    CircuitBreaker,
    ConsentAttempt,
    CrmConnection,
    Invitation,
    Membership,
    RateWindow,
    Role,
    Tenant,
)
from mapping.models import ConflictPolicy, CrmField, CrmObject, FieldMapping, MappingVersion, SchemaChange
from sync.models import (
    Alert,
    AlertDelivery,
    AlertSettings,
    Certificate,
    Conflict,
    ConflictDecision,
    ConnectionHour,
    Contact,
    Deployment,
    FailureAction,
    FeedCursor,
    FieldChange,
    InboxEvent,
    Lane,
    MatchReview,
    Quarantine,
    Rehearsal,
    SyncJob,
    SyncRecord,
    SyncRun,
    Undo,
    UndoItem,
    WorkerBeat,
)

ACCESS_TOKEN = "pat-na1-0f3c-ACCESS-TOKEN-VALUE-9a1b"
REFRESH_TOKEN = "refresh-REFRESH-TOKEN-VALUE-7c2d-0000"
CLIENT_SECRET = "client-CLIENT-SECRET-VALUE-5e3f-1111"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nMIIPRIVATEKEYVALUE0000\n-----END PRIVATE KEY-----\n"
DIALER_SECRET = "whsec_RElBTEVSLVNFQ1JFVC1WQUxVRS0wMDAw"
SECRETS = (ACCESS_TOKEN, REFRESH_TOKEN, CLIENT_SECRET, "MIIPRIVATEKEYVALUE0000", DIALER_SECRET)


def now() -> datetime:
    return timezone.now()


# --- tenants and people ---------------------------------------------------------------------------------------------


PASSPHRASE = "a long pass phrase"


def tenant(slug: str, **fields: Any) -> Tenant:
    return _make(Tenant, slug=slug, **{"name": slug.capitalize(), **fields})


def user(name: str, *roles: str, tenants: tuple[Tenant, ...] = (), **fields: Any) -> User:
    made: User = User.objects.create_user(name, f"{name}@example.com", PASSPHRASE, is_staff=True, **fields)
    made.groups.set(Group.objects.filter(name__in=roles))
    with tenancy.everyone():
        for one in tenants:
            Membership.objects.create(tenant=one, user=made)
    return made


def tenant_admin(*tenants: Tenant) -> User:
    return user(f"admin-of-{'-'.join(one.slug for one in tenants)}", TENANT_ADMIN, tenants=tenants)


def support() -> User:
    return user("support", SUPPORT)


def superuser() -> User:
    return user("root", is_superuser=True)


def viewer(*tenants: Tenant) -> User:
    made = user(f"viewer-of-{'-'.join(one.slug for one in tenants)}", VIEWER, tenants=tenants)
    with tenancy.everyone():
        Membership.objects.filter(user=made).update(role=Role.VIEWER)
    return made


def invitation(owner: Tenant, by: User | None = None, **fields: Any) -> Invitation:
    defaults = {"email": f"new-{uuid.uuid4().hex[:8]}@{owner.slug}.example", "expires_at": now() + timedelta(days=7)}
    return _make(Invitation, tenant=owner, invited_by=by, **{**defaults, **fields})


def audit_entry(owner: Tenant | None, by: User | None = None, **fields: Any) -> AuditEntry:
    who = by.username if by else f"somebody of {owner.slug if owner else 'nobody'}"
    said = {"who": who, "user_id": by.pk if by else None, "action": "changed", "kind": "integrations.tenant"}
    about = {"object_id": str(owner.pk) if owner else "", "about": owner.name if owner else "", "address": "192.0.2.7"}
    return _make(AuditEntry, tenant=owner, **{**said, **about, **fields})


def api_key(owner: Tenant, name: str = "Dialer") -> ApiKey:
    with tenancy.everyone():
        return ApiKey.issue(owner, f"{name} of {owner.slug}")[0]


# --- connections ----------------------------------------------------------------------------------------------------


def connection(owner: Tenant, provider: str = "hubspot", **fields: Any) -> CrmConnection:
    defaults = {
        "auth": "oauth",
        "access_token": ACCESS_TOKEN,
        "refresh_token": REFRESH_TOKEN,
        "secrets": {"client_secret": CLIENT_SECRET, "private_key": PRIVATE_KEY},
        "account_id": f"{owner.slug}-{provider}",
        "account_name": f"{owner.slug} account",
        "account_url": "https://app.example.com/account",
        "metadata": {"user": f"integration@{owner.slug}.example", "warnings": [f"No rights in {owner.slug}."]},
        "settings": {"rate_limits": {"default": [90, 10]}},
        "status_since": now(),
    }
    return _make(CrmConnection, tenant=owner, provider=provider, **{**defaults, **fields})


def consent_attempt(of: CrmConnection, by: User | None = None, **fields: Any) -> ConsentAttempt:
    person = by or User.objects.create_user(f"traveller-{uuid.uuid4()}")
    defaults = {"state_hash": uuid.uuid4().hex, "redirect_uri": f"https://{of.tenant.slug}.example/callback/"}
    secrets = {"verifier": CLIENT_SECRET, "client_secret": CLIENT_SECRET}
    return _make(
        ConsentAttempt,
        tenant_id=of.tenant_id,
        user=person,
        provider=of.provider,
        secrets=secrets,
        **{**defaults, **fields},
    )


def breaker(of: CrmConnection, **fields: Any) -> CircuitBreaker:
    return CircuitBreaker.objects.create(connection=of, **{"last_error": f"boom at {of.account_id}", **fields})


def rate_window(of: CrmConnection, **fields: Any) -> RateWindow:
    defaults = {"quota": 100, "seconds": 10.0, "remaining": 40, "seen_at": now()}
    return RateWindow.objects.create(key=f"{of.pk}:default", connection=of, **{**defaults, **fields})


def usage(of: CrmConnection, hour: datetime | None = None, **fields: Any) -> ApiUsage:
    start = (hour or now()).replace(minute=0, second=0, microsecond=0)
    return ApiUsage.objects.create(
        connection=of, hour=start, **{"calls": 12, "failures": 1, "milliseconds": 900, **fields}
    )


def exchange(of: CrmConnection, **fields: Any) -> ApiExchange:
    defaults = {
        "method": "PATCH",
        "path": f"/objects/contacts/{of.tenant.slug}-501",
        "status": 400,
        "milliseconds": 120,
        "failed": True,
        "problem": f"Refused for {of.tenant.slug}",
        "request": '{"properties": {"company": "Navy"}}',
        "response": '{"message": "no"}',
        "work": "edits",
    }
    return _make(ApiExchange, tenant_id=of.tenant_id, connection=of, **{**defaults, **fields})


# --- mapping --------------------------------------------------------------------------------------------------------


def mapping(owner: Tenant, field: str = "first_name", to: str = "firstname", **fields: Any) -> FieldMapping:
    defaults = {"crm_provider": "hubspot", "sync_direction": "bidirectional", "crm_object": "contacts"}
    return _make(FieldMapping, tenant=owner, dialer_field=field, crm_field=to, **{**defaults, **fields})


def mapping_version(owner: Tenant, number: int = 1, **fields: Any) -> MappingVersion:
    row = {"dialer_field": "company", "crm_object": "contacts", "crm_field": "company", "direction": "bidirectional"}
    defaults = {"crm_provider": "hubspot", "rows": [row], "note": f"note of {owner.slug}"}
    return _make(MappingVersion, tenant=owner, number=number, **{**defaults, **fields})


def crm_field(of: CrmConnection, path: str = "firstname", **fields: Any) -> CrmField:
    defaults = {"object_type": "contacts", "label": f"{path} of {of.account_id}", "kind": "string", "seen_at": now()}
    return _make(CrmField, tenant_id=of.tenant_id, connection=of, path=path, **{**defaults, **fields})


def crm_object(of: CrmConnection, object_type: str = "contacts") -> CrmObject:
    stamps = {"checked_at": now(), "read_at": now(), "stamp": f"stamp of {of.account_id}"}
    return _make(CrmObject, tenant_id=of.tenant_id, connection=of, object_type=object_type, **stamps)


def schema_change(of: CrmConnection, path: str = "company", **fields: Any) -> SchemaChange:
    defaults = {
        "object_type": "contacts",
        "label": f"{path} of {of.account_id}",
        "change": "removed",
        "breaks": [{"dialer_field": path, "why": f"Gone from {of.account_id}."}],
        "found_at": now(),
    }
    return _make(SchemaChange, tenant_id=of.tenant_id, connection=of, path=path, **{**defaults, **fields})


def policy(owner: Tenant) -> ConflictPolicy:
    return _make(ConflictPolicy, tenant=owner, overrides={"lead_status": "last_write_wins"})


def disposition(owner: Tenant, name: str = "Connected", **fields: Any) -> DispositionMap:
    defaults = {"crm_provider": "hubspot", "values": {"hs_call_disposition": f"of-{owner.slug}"}}
    return _make(DispositionMap, tenant=owner, disposition=name, **{**defaults, **fields})


def disposition_effect(owner: Tenant, name: str = "Not Interested", **fields: Any) -> DispositionEffect:
    return _make(DispositionEffect, tenant=owner, disposition=name, **{"lead_status": f"of-{owner.slug}", **fields})


def crm_agent(of: CrmConnection, name: str = "Jane Doe", **fields: Any) -> CrmAgent:
    email = f"{name.lower().replace(' ', '.')}@{of.tenant.slug}.example"
    defaults = {"crm_user_id": f"{of.tenant.slug}-{name}", "email": email, "name": name, "seen_at": now()}
    return _make(CrmAgent, tenant_id=of.tenant_id, connection=of, **{**defaults, **fields})


def agent_override(of: CrmConnection, **fields: Any) -> AgentOverride:
    defaults = {"agent_email": f"agent@{of.tenant.slug}.example", "crm_user_id": f"{of.tenant.slug}-Jane Doe"}
    return _make(AgentOverride, tenant_id=of.tenant_id, connection=of, **{**defaults, **fields})


# --- people and work ------------------------------------------------------------------------------------------------


def contact(owner: Tenant, **fields: Any) -> Contact:
    defaults = {
        "first_name": "Grace",
        "last_name": f"Hopper-{owner.slug}",
        "phone": "+14155550100",
        "company": owner.slug,
    }
    return _make(Contact, tenant=owner, **{"email": f"grace@{owner.slug}.example", **defaults, **fields})


def link(of: CrmConnection, to: Model, **fields: Any) -> SyncRecord:
    defaults = {
        "crm_object_type": "contacts",
        "crm_record_id": f"{of.tenant.slug}-501",
        "local_table": to._meta.db_table,
        "sync_direction": "inbound",
        "sync_status": "synced",
        "last_synced_at": now(),
        "url": "https://app.example.com/record/501",
        "base": {"first_name": "Grace"},
    }
    return _make(
        SyncRecord,
        tenant_id=of.tenant_id,
        connection=of,
        crm_provider=of.provider,
        local_record_id=to.pk,
        **{**defaults, **fields},
    )


def run(of: CrmConnection, **fields: Any) -> SyncRun:
    defaults = {
        "kind": "initial",
        "object_type": "contacts",
        "status": "done",
        "expected": 100,
        "created": 60,
        "unchanged": 20,
    }
    return _make(SyncRun, tenant_id=of.tenant_id, connection=of, **{**defaults, **fields})


def certificate(of: CrmConnection, **fields: Any) -> Certificate:
    defaults = {
        "object_type": "contacts",
        "as_of": now(),
        "remote_count": 100,
        "local_count": 100,
        "missing": [f"{of.tenant.slug}-9"],
        "repaired": 1,
        "complete": True,
    }
    return _make(Certificate, tenant_id=of.tenant_id, connection=of, **{**defaults, **fields})


def job(of: CrmConnection, **fields: Any) -> SyncJob:
    defaults = {"kind": "pull", "key": f"contacts-of-{of.tenant.slug}", "lane": Lane.BACKFILL, "state": "ready"}
    return _make(SyncJob, tenant_id=of.tenant_id, connection=of, **{**defaults, **fields})


def dead_job(of: CrmConnection, **fields: Any) -> SyncJob:
    defaults = {
        "state": "dead",
        "cause": "invalid_data",
        "error": f"Refused for {of.tenant.slug}",
        "finished_at": now(),
    }
    return job(of, **{**defaults, **fields})


def failure_action(owner: Tenant, **fields: Any) -> FailureAction:
    defaults = {"fingerprint": "0" * 24, "what": "dismiss", "by": "somebody", "reason": f"Not wanted by {owner.slug}"}
    return _make(FailureAction, tenant=owner, **{**defaults, **fields})


def event(of: CrmConnection, **fields: Any) -> InboxEvent:
    body = b'{"objectId": 501, "note": "%s", "access_token": "%s"}' % (of.tenant.slug.encode(), ACCESS_TOKEN.encode())
    defaults = {
        "source": "webhook",
        "dedupe_key": f"{of.tenant.slug}-{uuid.uuid4()}",
        "object_type": "contacts",
        "record_ids": ["501"],
        "body": body,
        "headers": {"Authorization": f"Bearer {ACCESS_TOKEN}", "Content-Type": "application/json"},
    }
    return _make(InboxEvent, tenant_id=of.tenant_id, connection=of, **{**defaults, **fields})


def cursor(of: CrmConnection, feed: str = "poll:contacts", **fields: Any) -> FeedCursor:
    defaults = {"value": {"after": f"{of.tenant.slug}-1"}, "complete_at": now()}
    return _make(FeedCursor, tenant_id=of.tenant_id, connection=of, feed=feed, **{**defaults, **fields})


def rehearsal(of: CrmConnection, **fields: Any) -> Rehearsal:
    row = {"dialer_field": "company", "crm_object": "contacts", "crm_field": "company", "direction": "bidirectional"}
    return _make(
        Rehearsal, tenant_id=of.tenant_id, connection=of, **{"rows": [row], "created_by": "somebody", **fields}
    )


def undo(of: CrmConnection, **fields: Any) -> Undo:
    defaults = {
        "of_run": run(of),
        "status": "ready",
        "total": 1,
        "done": 1,
        "counts": {"fields": 1},
        "created_by": "somebody",
    }
    made = _make(Undo, tenant_id=of.tenant_id, connection=of, **{**defaults, **fields})
    item = {
        "kind": "value",
        "contact_id": uuid.uuid4(),
        "field": "company",
        "old": "was",
        "new": f"of {of.tenant.slug}",
    }
    _make(UndoItem, tenant_id=of.tenant_id, undo=made, state="skipped", reason="gone", **item)
    return made


def conflict(of: SyncRecord, about: Contact, **fields: Any) -> Conflict:
    defaults = {"field": "company", "base": "old", "ours": f"ours-{of.crm_record_id}", "theirs": "theirs"}
    return _make(Conflict, tenant_id=of.tenant_id, record=of, contact=about, **{**defaults, **fields})


def decision(of: CrmConnection, **fields: Any) -> ConflictDecision:
    defaults = {
        "field": "company",
        "choice": "theirs",
        "count": 1,
        "made_at": now(),
        "made_by": f"admin-of-{of.tenant.slug}",
    }
    return _make(ConflictDecision, tenant_id=of.tenant_id, connection=of, **{**defaults, **fields})


def quarantine(of: SyncRecord, about: Contact, **fields: Any) -> Quarantine:
    defaults = {
        "field": "phone",
        "ours": f"ours-{of.crm_record_id}",
        "theirs": "x",
        "bounces": 2,
        "reason": "It bounced.",
    }
    return _make(Quarantine, tenant_id=of.tenant_id, record=of, contact=about, **{**defaults, **fields})


def review(about: Contact, **fields: Any) -> MatchReview:
    """Whether the contact is the same person as another one that is made for it."""
    other = contact(about.tenant, first_name="Gracie", email="", phone="")
    defaults = {"by": "fuzzy", "score": 0.93, "reasons": ["name_company_alike"]}
    return _make(MatchReview, tenant_id=about.tenant_id, contact=about, candidate=other, **{**defaults, **fields})


def change(of: Contact, **fields: Any) -> FieldChange:
    defaults = {"field": "company", "old": None, "new": of.company, "source": "crm", "rule": "crm_wins"}
    return _make(FieldChange, tenant_id=of.tenant_id, contact=of, **{**defaults, **fields})


def call(owner: Tenant, about: Contact | None = None, **fields: Any) -> Call:
    defaults = {
        "external_id": f"{owner.slug}-{uuid.uuid4()}",
        "phone": "+14155550100",
        "direction": "outbound",
        "duration_seconds": 342,
        "started_at": now() - timedelta(minutes=7),
        "disposition": "Connected",
        "notes": f"Notes of {owner.slug}.\n<script>alert(1)</script>",
        "key_points": ["Contract ends in Q2"],
        "next_steps": ["Send the case study"],
        "recording_url": "https://recordings.example.com/1.mp3",
        "metadata": {"ai_score": 87},
    }
    return _make(Call, tenant=owner, contact=about, **{**defaults, **fields})


def call_settings(owner: Tenant, **fields: Any) -> CallSettings:
    secrets = {"access_key_id": "AKIDOFTHETESTS", "secret_access_key": CLIENT_SECRET, "signer_secret": CLIENT_SECRET}
    return _make(CallSettings, tenant=owner, recording_secrets=secrets, **fields)


def play(of: Call, **fields: Any) -> RecordingPlay:
    defaults = {"way": "member", "who": f"admin-of-{of.tenant.slug}", "address": "192.0.2.7", "outcome": "played"}
    return _make(RecordingPlay, tenant_id=of.tenant_id, call=of, **{**defaults, **fields})


def call_stage(of: Call) -> CallStage:
    said = {"said_at": of.started_at, "changed": ["disposition"], "ignored": ["notes"], "fingerprint": "0" * 64}
    return _make(CallStage, tenant_id=of.tenant_id, call=of, **said)


def retention_run(owner: Tenant) -> RetentionRun:
    return _make(RetentionRun, tenant=owner, recordings=3, texts=2)


def dialer_endpoint(owner: Tenant, **fields: Any) -> DialerEndpoint:
    defaults = {"url": f"https://{owner.slug}.example.com/calls", "secret": DIALER_SECRET}
    return _make(DialerEndpoint, tenant=owner, **{**defaults, **fields})


def dialer_message(of: DialerEndpoint, **fields: Any) -> DialerMessage:
    said = {"type": "call.logged", "data": {"external_id": f"of {of.tenant.slug}"}}
    defaults = {"event": "call.logged", "payload": said, "state": "dead", "error": f"Refused for {of.tenant.slug}"}
    return _make(DialerMessage, tenant_id=of.tenant_id, endpoint=of, **{**defaults, **fields})


def call_job(of: CrmConnection, about: Call, **fields: Any) -> SyncJob:
    return job(of, **{"kind": KIND, "key": str(about.pk), "local_record_id": about.pk, "lane": Lane.CALLS, **fields})


def hour_of(of: CrmConnection, ago: int = 0, **fields: Any) -> ConnectionHour:
    start = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=ago)
    return _make(
        ConnectionHour, tenant_id=of.tenant_id, connection=of, hour=start, **{"synced": 5, "done": 4, **fields}
    )


def alert(of: CrmConnection, **fields: Any) -> Alert:
    defaults = {
        "kind": "breaker",
        "severity": "bad",
        "facts": {"failures": 5, "error": f"No answer for {of.tenant.slug}"},
        "seen_since": now(),
        "last_seen_at": now(),
        "opened_at": now(),
    }
    return _make(Alert, tenant_id=of.tenant_id, connection=of, **{**defaults, **fields})


def alert_settings(owner: Tenant, **fields: Any) -> AlertSettings:
    defaults = {"webhook_url": f"https://{owner.slug}.example.com/alerts", "webhook_secret": DIALER_SECRET}
    return _make(AlertSettings, tenant=owner, **{**defaults, **fields})


def alert_delivery(of: Alert, **fields: Any) -> AlertDelivery:
    defaults = {"event": "opened", "channel": "mail", "target": f"admin@{of.tenant.slug}.example", "state": "sent"}
    return _make(AlertDelivery, tenant_id=of.tenant_id, alert=of, **{**defaults, **fields})


# --- the machinery --------------------------------------------------------------------------------------------------


def worker_beat(ago: timedelta = timedelta(seconds=2), name: str = "host-1:100") -> WorkerBeat:
    return WorkerBeat.objects.update_or_create(
        id=name,
        defaults={"beaten_at": now() - ago, "host": name.split(":", maxsplit=1)[0], "pid": int(name.split(":")[1])},
    )[0]


def deployment(version: str = "v1", **fields: Any) -> Deployment:
    return Deployment.objects.get_or_create(version=version, defaults=fields)[0]


def finished_task(model: type[Success] | type[Failure]) -> Any:
    return model.objects.create(
        id=uuid.uuid4().hex,
        name="a task",
        func="sync.tasks.sweep",
        args=("one",),
        kwargs={},
        started=now(),
        stopped=now(),
        success=model is Success,
        result="done",
    )


def queued_task() -> OrmQ:
    task = {"id": uuid.uuid4().hex, "name": "waiting", "func": "sync.tasks.work", "args": ("one",), "kwargs": {}}
    return OrmQ.objects.create(key="dialbridge", payload=SignedPackage.dumps(task), lock=now())


M = TypeVar("M", bound=Model)


def _make(model: type[M], **fields: Any) -> M:
    with tenancy.everyone():
        made: M = model._default_manager.create(**fields)
    return made


World = dict[type[Model], Any]


def world(owner: Tenant, provider: str = "hubspot") -> World:
    """One row of every model that the admin shows, by model: the tenant's own, and one of what belongs to nobody."""
    first = connection(owner, provider)
    grace = contact(owner)
    linked, called = link(first, grace), call(owner, grace)
    told = dialer_endpoint(owner)
    call_job(first, called, state="dead", error=f"Refused for {owner.slug}", finished_at=now())
    rows: list[Any] = [
        owner, first, grace, linked, called, api_key(owner), exchange(first), breaker(first), rate_window(first),
        usage(first), mapping(owner),
        mapping_version(owner), crm_field(first), crm_object(first), schema_change(first), policy(owner), disposition(owner),
        disposition_effect(owner), crm_agent(first), agent_override(first),
        call_settings(owner), play(called), call_stage(called), retention_run(owner),
        run(first), certificate(first), rehearsal(first), undo(first), dead_job(first),
        failure_action(owner), deployment(), event(first), alert(first), alert_settings(owner),
        cursor(first), told, dialer_message(told), conflict(linked, grace), quarantine(linked, grace), decision(first),
        change(grace, connection=first), review(grace), worker_beat(), finished_task(Success), finished_task(Failure),
        queued_task(), Schedule.objects.create(name=f"of {owner.slug}", func="sync.tasks.sweep"), Group.objects.first(),
    ]  # fmt: skip
    person = tenant_admin(owner)
    with tenancy.everyone():
        rows += [person, Membership.objects.get(user=person), consent_attempt(first, person)]
    rows += [invitation(owner, person), audit_entry(owner, person)]
    return {type(row): row for row in rows}
