"""Where a contact is, in words: for each CRM of the tenant what became of it there, and why it is not there if it isn't.

Read from the links, the jobs and what stands open; a handful of statements for one contact.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, OuterRef, Q, QuerySet, Value
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations.models import CrmConnection
from mapping.fields import field_name
from sync import link_states, pushes
from sync.models import Conflict, Contact, Quarantine, SyncJob, SyncRecord
from sync.sync_now import KIND as SYNC_NOW

MOST_JOBS = 20
SECRETS = ("access_token", "refresh_token", "secrets")
SOON = timedelta(seconds=60)
"""Work that is due later is waiting, not on its way."""
GOOD, INFO, WARNING, BAD, MUTED = "good", "info", "warning", "bad", "muted"


@dataclass(frozen=True, slots=True)
class Place:
    """One CRM, and what is to be said of the contact there."""

    crm: str
    level: str
    state: str
    why: str = ""
    links: Sequence[SyncRecord] = ()
    connection: CrmConnection | None = None
    busy: bool = False
    job: SyncJob | None = None
    """The one that the state comes from."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A conflict, or a field in quarantine."""

    kind: type[Conflict] | type[Quarantine]
    pk: int
    record_id: UUID
    field: str
    ours: Any
    theirs: Any
    since: datetime
    open: bool


@dataclass(slots=True)
class Facts:
    """All that is read for one contact."""

    contact: Contact
    links: Sequence[SyncRecord]
    connections: Sequence[CrmConnection]
    jobs: Sequence[SyncJob]
    doubts: Sequence["Doubt"]
    others: Sequence[SyncRecord] = ()
    """Links of the other rows that were asked for along with the contact."""
    other_jobs: Sequence[SyncJob] = ()
    now: datetime = field(default_factory=timezone.now)

    def carrying(self, connection_id: UUID | None) -> list[SyncJob]:
        """The jobs that carry the contact to this connection, newest first."""
        kinds = (pushes.KIND, SYNC_NOW)
        return [one for one in self.jobs if one.connection_id == connection_id and one.kind in kinds]


def read(contact: Contact, also: Collection[UUID] = ()) -> Facts:
    """`also` names other rows whose links and jobs are read by the same statements, such as the contact's calls."""
    ids = [contact.pk, *also]
    links = list(SyncRecord.objects.filter(local_record_id__in=ids).order_by("crm_provider", "crm_object_type", "pk"))
    connections = CrmConnection.objects.filter(tenant_id=contact.tenant_id).order_by("provider")
    jobs = list(_jobs(ids))
    own = [one for one in links if one.local_table == pushes.CONTACTS]
    return Facts(
        contact,
        own,
        list(connections.defer(*SECRETS)),
        [one for one in jobs if one.local_record_id == contact.pk],
        _doubts(contact),
        [one for one in links if one.local_table != pushes.CONTACTS],
        [one for one in jobs if one.local_record_id != contact.pk],
    )


def _jobs(ids: Sequence[UUID]) -> QuerySet[SyncJob]:
    """The newest of each row."""
    newest = SyncJob.objects.filter(local_record_id=OuterRef("local_record_id")).order_by("-pk").values("pk")
    rows: QuerySet[SyncJob] = SyncJob.objects.filter(local_record_id__in=ids, pk__in=newest[:MOST_JOBS]).select_related(
        "connection"
    )
    return rows.defer(*(f"connection__{name}" for name in SECRETS)).order_by("-pk")


def _doubts(contact: Contact) -> list[Doubt]:
    """The open ones first."""
    columns = ("pk", "record_id", "field", "ours", "theirs", "since_", "open_", "kind_")
    conflicts = Conflict.objects.filter(contact=contact).annotate(
        since_=F("created_at"), open_=Q(status=Conflict.Status.OPEN), kind_=Value("conflict")
    )
    stopped = Quarantine.objects.filter(contact=contact, released_at=None).annotate(
        since_=F("since"), open_=Value(value=True), kind_=Value("quarantine")
    )
    kinds: dict[str, type[Conflict] | type[Quarantine]] = {"conflict": Conflict, "quarantine": Quarantine}
    rows = conflicts.values_list(*columns).union(stopped.values_list(*columns), all=True).order_by("-open_", "-since_")
    return [Doubt(kinds[kind], *facts) for *facts, kind in rows[:MOST_JOBS]]


def places(facts: Facts) -> list[Place]:
    """One for each record of the contact, and one for each CRM that has none."""
    owners = {one.pk: one for one in facts.connections}
    found = [_at(link, owners.get(link.connection_id) if link.connection_id else None, facts) for link in facts.links]
    there = {link.connection_id for link in facts.links}
    found += [
        _absent(one, facts)
        for one in facts.connections
        if one.pk not in there and one.status != CrmConnection.Status.DISCONNECTED
    ]
    return found


def is_busy(found: Iterable[Place]) -> bool:
    return any(place.busy for place in found)


def names_of(facts: Facts) -> list[str]:
    """Every text by which requests and batches name the contact."""
    return [str(facts.contact.pk), *(text for link in facts.links for text in (str(link.pk), link.crm_record_id))]


# --- where there is a record ------------------------------------------------------------------------------------------------------


def _at(link: SyncRecord, connection: CrmConnection | None, facts: Facts) -> Place:
    crm = link.get_crm_provider_display()
    level, state, why, job = _state_of(link, connection, facts)
    busy = job is not None and _under_way(job, connection, facts.now)
    return Place(crm, level, state, why, [link], connection, busy, job)


_Told = tuple[str, str, str, SyncJob | None]


def _state_of(link: SyncRecord, connection: CrmConnection | None, facts: Facts) -> _Told:
    if link_states.FORGOTTEN in link.metadata:
        return MUTED, _("Forgotten here"), _("The record still exists there. It is never taken over again."), None
    if link_states.is_gone(link):
        return (*_gone(link), None)
    jobs = facts.carrying(link.connection_id)
    told = _stopped(connection) or _carried(jobs, connection, facts.now)
    if told and told[0] != WARNING:
        return told
    conflicts = [one for one in facts.doubts if one.kind is Conflict and one.record_id == link.pk and one.open]
    if conflicts:
        names = ", ".join(field_name(one.field) for one in conflicts)
        return BAD, _("Conflict"), _("Both sides changed %(fields)s. Somebody has to decide.") % {"fields": names}, None
    if told:
        return told
    return _held(link, facts)


def _held(link: SyncRecord, facts: Facts) -> _Told:
    """What the link itself says, when no work says otherwise."""
    if link.sync_status == SyncRecord.Status.ERROR:
        return BAD, _("Error"), link.error_message or "", None
    stopped = [field_name(one.field) for one in facts.doubts if one.kind is Quarantine and one.record_id == link.pk]
    if stopped:
        text = _("%(fields)s is not written there: both sides kept changing it in turn.")
        return WARNING, _("In sync, but for one field"), text % {"fields": ", ".join(stopped)}, None
    if link.sync_status == SyncRecord.Status.PENDING:
        return WARNING, _("Waiting"), _("A change waits to be compared."), None
    return GOOD, _("In sync"), "", None


def _gone(link: SyncRecord) -> tuple[str, str, str]:
    marks: Mapping[str, Any] = link.metadata
    if "erased_at" in marks:
        return MUTED, _("Erased there"), _("The CRM deleted this person for good. Nothing is written there any more.")
    if "moved_to" in marks:
        kind, record_id = marks["moved_to"]
        facts = {"kind": kind, "id": record_id}
        if kind == link.crm_object_type:
            return MUTED, _("Merged there"), _("It lives on in %(kind)s %(id)s.") % facts
        return MUTED, _("Converted there"), _("It was converted into %(kind)s %(id)s.") % facts
    if "deleted_at" in marks:
        return MUTED, _("Deleted there"), _("The CRM deleted this record. Nothing is written there any more.")
    return (
        WARNING,
        _("Not shown to us"),
        _("The CRM does not show this record to our account any more: it may be hidden."),
    )


def _stopped(connection: CrmConnection | None) -> _Told | None:
    if connection is None:
        return MUTED, _("Not connected"), _("The connection that it belonged to was removed."), None
    if connection.is_usable:
        return None
    return (
        BAD,
        str(connection.get_status_display()),
        connection.status_reason or _("This connection does not work now."),
        None,
    )


def _carried(jobs: Sequence[SyncJob], connection: CrmConnection | None, now: datetime) -> _Told | None:
    """What the newest work says. A newer success makes an older failure good."""
    for job in jobs:
        if job.state == SyncJob.State.LEASED:
            return INFO, _("Being synced"), "", job
        if job.state == SyncJob.State.READY and _under_way(job, connection, now):
            return INFO, _("On its way"), job.error, job
    for job in jobs:
        if job.state == SyncJob.State.READY:
            return WARNING, _("Waiting"), job.error or _("It is written as soon as it is its turn."), job
        if job.state == SyncJob.State.DEAD:
            return BAD, _("Refused"), job.error, job
        if job.state == SyncJob.State.DONE:
            return None
    return None


def _under_way(job: SyncJob, connection: CrmConnection | None, now: datetime) -> bool:
    if connection is None or not connection.is_usable:
        return False
    if job.state == SyncJob.State.LEASED:
        return True
    return job.state == SyncJob.State.READY and job.not_before <= now + SOON and not job.attempts


# --- where there is none ----------------------------------------------------------------------------------------------------------


def _absent(connection: CrmConnection, facts: Facts) -> Place:
    crm = connection.get_provider_display()
    jobs = facts.carrying(connection.pk)
    told = _stopped(connection) if not connection.is_usable else _carried(jobs, connection, facts.now)
    if told is not None:
        level, state, why, job = told
        busy = job is not None and _under_way(job, connection, facts.now)
        return Place(crm, level, state, why or _("It is being made there."), (), connection, busy, job)
    return Place(crm, MUTED, _("Not there"), _why_not(connection, facts), (), connection)


def _why_not(connection: CrmConnection, facts: Facts) -> str:
    if facts.contact.deleted_at:
        return _("The contact is deleted here.")
    if not connection.settings.get("create_contacts", True):
        return _("This connection takes no new contacts from the dialer: its settings say so.")
    if any(not link_states.is_gone(link) for link in facts.links):
        others = ", ".join(sorted({link.get_crm_provider_display() for link in facts.links}))
        return _(
            "It came from %(others)s. Contacts of one CRM are not copied into another; only those that the dialer makes are."
        ) % {"others": others}
    if facts.links:
        return _("Its record was deleted elsewhere, and it was never made in this CRM.")
    return _("It was there before the connection was, and nothing has asked for it to be made since.")
