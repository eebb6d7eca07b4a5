"""What the connect wizard knows of a connection: read from the database when it is first needed, once for each kind of fact."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.contrib.postgres.aggregates import JSONBAgg
from django.db.models import Count, Q
from django.db.models.functions import JSONObject
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from integrations import connecting, preflight
from integrations.models import CrmConnection
from integrations.preflight import Noted
from integrations.providers.base import CrmProvider
from integrations.registry import provider_class
from mapping.models import CrmField, MappingVersion
from sync import progress, pulling
from sync.models import Contact, FeedCursor, SyncJob, SyncRecord, SyncRun
from sync.progress import Progress
from sync.wizard_jobs import LOOK, POLLS, PREPARE

CREATABLE = frozenset({"field_missing", "object_missing"})
"""Findings that setting the account up mends, where the credential has the right to."""
FIRST_CONTACTS = 8
PATIENCE = timedelta(seconds=15)
"""After which a job that nobody began raises the question whether anybody works at all."""
ACTIVE = (SyncJob.State.READY, SyncJob.State.LEASED)


@dataclass(frozen=True, slots=True)
class Work:
    """The job that does, or last failed to do, a part of the set-up."""

    active: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """An object type of the CRM, and what is known of it. `records` is the CRM's own count, as far as it was told."""

    name: str
    use: str
    fields: int = 0
    own_fields: int = 0
    records: int | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """One of the first contacts, with its page in the CRM."""

    contact: Contact
    url: str
    object_type: str


@dataclass
class Facts:
    """What is known of one connection. The database is asked once for each kind of fact, when it is first needed."""

    row: CrmConnection
    now: datetime = field(default_factory=timezone.now)

    @cached_property
    def provider(self) -> type[CrmProvider]:
        return provider_class(self.row.provider)

    @cached_property
    def report(self) -> preflight.Report:
        return preflight.report(self.row)

    @cached_property
    def prepared_at(self) -> datetime | None:
        return parse_datetime(str(self.row.metadata.get(connecting.PREPARED) or ""))

    @cached_property
    def missing(self) -> list[Noted]:
        """What the account lacks and we can add."""
        return [one for one in self.report.open if one.finding.code in CREATABLE]

    @cached_property
    def gaps(self) -> list[Noted]:
        """What only somebody in the CRM can mend."""
        return [one for one in self.report.open if one.finding.code not in CREATABLE]

    @cached_property
    def _jobs(self) -> list[SyncJob]:
        asked = SyncJob.objects.filter(connection=self.row, kind__in=[LOOK, PREPARE, pulling.KIND])
        ready, *others = (asked.filter(state=state) for state in (*ACTIVE, SyncJob.State.DEAD))
        return list(ready.union(*others, all=True).order_by("-pk"))  # each state has an index of its own

    def work(self, *kinds: str) -> Work:
        jobs = [one for one in self._jobs if one.kind in kinds]
        active = next((one for one in jobs if one.state in ACTIVE), None)
        if active:
            problem = _("%(problem)s It is tried again by itself.") % {"problem": active.error} if active.error else ""
            return Work(active=True, problem=problem)
        dead = next(iter(jobs), None)
        return Work(problem=dead.error) if dead else Work()

    @property
    def nobody_came(self) -> bool:
        """A job has waited for a worker for a while, though its time has come."""
        waiting = [one for one in self._jobs if one.state == SyncJob.State.READY and not one.attempts]
        return any(one.not_before < self.now - PATIENCE for one in waiting)

    @cached_property
    def objects(self) -> list[Kept]:
        return kept(self.provider, self._fields_seen, {one.object_type: one.expected for one in self.runs.values()})

    @cached_property
    def labels(self) -> dict[str, str]:
        """How the CRM calls the fields of the mapping."""
        seen = self._fields_seen.get(self.provider.mapping_object, {}).get("mapped") or []
        return {one["path"]: one["label"] for one in seen}

    @cached_property
    def _fields_seen(self) -> dict[str, dict[str, Any]]:
        paths = [one["crm_field"] for one in self.version.rows] if self.version else []
        seen = CrmField.objects.filter(connection=self.row, missing_since=None).values("object_type")
        pair = JSONBAgg(JSONObject(path="path", label="label"), filter=Q(path__in=paths))
        counted = seen.annotate(fields=Count("pk"), own=Count("pk", filter=Q(custom=True)), mapped=pair)
        return {one["object_type"]: one for one in counted}

    @cached_property
    def discovered(self) -> bool:
        return all(one.fields for one in self.objects if one.name in self.provider.person_types)

    @cached_property
    def version(self) -> MappingVersion | None:
        """The mapping in force, unless it is empty."""
        found: MappingVersion | None = (
            MappingVersion.objects.filter(tenant_id=self.row.tenant_id, crm_provider=self.row.provider)
            .order_by("-number")
            .first()
        )
        return found if found and found.rows else None

    @cached_property
    def loaded(self) -> set[str]:
        """Object types that were read to the end."""
        feeds = FeedCursor.objects.filter(connection=self.row, feed__startswith=POLLS, complete_at__isnull=False)
        return {feed.removeprefix(POLLS) for feed in feeds.values_list("feed", flat=True)}

    @cached_property
    def runs(self) -> dict[str, SyncRun]:
        """The newest load of each object type."""
        kinds = [SyncRun.Kind.INITIAL, SyncRun.Kind.CATCH_UP]
        newest = SyncRun.objects.filter(connection=self.row, kind__in=kinds).order_by("-started_at", "-pk")[:20]
        return {one.object_type: one for one in reversed(newest)}

    @cached_property
    def first_contacts(self) -> list[Arrived]:
        """In the order of their index, so that the millionth record costs nothing."""
        links = list(
            SyncRecord.objects.filter(
                tenant_id=self.row.tenant_id,
                crm_provider=self.row.provider,
                crm_object_type__in=self.provider.person_types,
                local_record_id__isnull=False,
            ).order_by("tenant_id", "crm_provider", "crm_object_type", "crm_record_id")[:FIRST_CONTACTS]
        )
        people = Contact.objects.in_bulk([one.local_record_id for one in links]) if links else {}
        return [
            Arrived(people[one.local_record_id], one.url, one.crm_object_type)
            for one in links
            if one.local_record_id in people
        ]

    @cached_property
    def loads(self) -> list[Progress]:
        """How far each object type is."""
        return [self._load_of(name) for name in self.provider.person_types]

    def _load_of(self, name: str) -> Progress:
        run = self.runs.get(name)
        waiting = any(one.kind == pulling.KIND and one.key == name and one.state in ACTIVE for one in self._jobs)
        if run is None or (run.status == SyncRun.Status.FAILED and waiting):
            state, level = (waits(), "warning") if waiting else (_("Not started"), "muted")
            return Progress(name, state, level, running=waiting)
        return progress.of_run(run, name, self.now)


def waits() -> str:
    """The state of work that nobody has begun."""
    return _("Waits for a worker")


def kept(
    provider: type[CrmProvider], counted: Mapping[str, Mapping[str, Any]], told: Mapping[str, int | None]
) -> list[Kept]:
    """The CRM's objects that are synced, with the numbers of their fields and records as far as they are known."""
    found = []
    for name, use in _uses(provider):
        fields = counted.get(name, {})
        found.append(Kept(name, use, fields.get("fields", 0), fields.get("own", 0), told.get(name)))
    return found


def _uses(provider: type[CrmProvider]) -> Iterable[tuple[str, str]]:
    uses: dict[str, list[str]] = {
        name: [_("People to dial: read, and written where the mapping says so")] for name in provider.person_types
    }
    others = (
        (provider.call_type, _("Every call is logged here")),
        (provider.meeting_type, _("Meetings that agents book in a call")),
        (provider.follow_up_type, _("Follow-ups that a disposition asks for")),
        (provider.note_type, _("Summaries of calls, beside the call")),
    )
    for name, use in others:
        if name:
            uses.setdefault(name, []).append(use)
    return [(name, ". ".join(told)) for name, told in uses.items()]
