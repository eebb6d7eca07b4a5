"""What stands on a connection's page of the sync: what goes on now, how changes reach us, the last runs, the CRM's fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _

from integrations import preflight
from integrations.admin_base import Panel
from integrations.admin_html import NOTHING, ago, badge, bullets, page_link, page_url
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.registry import provider_class
from mapping.models import CrmField, CrmObject, SchemaChange
from sync import budgets, pulling, wizard, wizard_facts
from sync.admin import progress
from sync.admin.editor.urls import editor_url
from sync.budgets import Day, Gauge
from sync.health import Card
from sync.job_words import kind_name
from sync.models import Contact, FeedCursor, SyncJob, SyncRecord, SyncRun
from sync.progress import Progress
from sync.wizard_jobs import LOOK, POLLS, PREPARE

LAST_RUNS = 10
LAST_CHANGES = 10
STREAM = "stream"
BACKGROUND = (LOOK, PREPARE, "fields", "rights", "replay", "rehearse")
"""Kinds of jobs that people ask for and that are no runs."""
HOOK_CODES = (preflight.HOOKS, "webhook_disabled", "webhook_missing", "webhooks_hidden")
Status = CrmConnection.Status
Facts = Mapping[str, Sequence[Any]]
"""Answers to `questions`, and those of the page below."""


@dataclass(frozen=True, slots=True)
class Next:
    """What helps most, as a button, with the reason."""

    words: str
    url: str


def next_step(row: CrmConnection, card: Card, *, unfinished: bool) -> Next:
    if row.status in {Status.NEEDS_RECONNECTING, Status.DISCONNECTED}:
        return Next(_("Connect again"), page_url(row, "reconnect"))
    if row.status == Status.PAUSED:
        return Next(_("Resume"), page_url(row, "resume"))
    if unfinished:
        return Next(_("Continue setup"), page_url(row, "setup"))
    if card.dead_letters:
        failed = page_url(SyncJob, "changelist", state__exact="dead", connection__id__exact=row.pk)
        return Next(_("See what failed"), failed)
    if card.circuit_breaker_state != "closed":
        return Next(_("Test connection"), page_url(row, "test"))
    return Next(_("Sync now"), page_url(row, "sync_now"))


def questions(row: CrmConnection) -> "dict[str, QuerySet[Any, Any]]":
    """What the page shows of the tables of the sync and the mapping."""
    jobs = SyncJob.objects.filter(connection=row, kind__in=[*BACKGROUND, pulling.KIND]).order_by("pk")
    fields = CrmField.objects.filter(connection=row, missing_since=None).order_by().values("object_type")
    return {
        "runs": SyncRun.objects.filter(connection=row).order_by("-started_at")[:LAST_RUNS],
        "cursors": FeedCursor.objects.filter(connection=row).order_by("feed"),
        "changes": SchemaChange.objects.filter(connection=row).order_by("-pk")[:LAST_CHANGES],
        "objects": CrmObject.objects.filter(connection=row),
        "fields": fields.annotate(fields=Count("pk"), own=Count("pk", filter=Q(custom=True))),
        "ready": jobs.filter(state=SyncJob.State.READY),
        "leased": jobs.filter(state=SyncJob.State.LEASED),
    }


def day_of(row: CrmConnection, facts: Facts) -> Day:
    counted = [(one.hour, one.calls, one.works) for one in facts["usage"]]
    told = [one for one in facts["windows"] if one.quota and one.remaining is not None]
    gauges = [Gauge(one.quota, one.remaining, one.seconds, one.seen_at) for one in told]
    return budgets.day(row, counted, gauges, timezone.now())


def is_unfinished(row: CrmConnection, facts: Facts) -> bool:
    return wizard.is_unfinished(row, [one.feed for one in facts["cursors"] if one.complete_at])


def going_on(facts: Facts) -> list[Progress]:
    """Work of this connection that somebody may be waiting for. The runs among it are on the page as well."""
    jobs = [*facts["leased"], *facts["ready"]]
    return [_job(one) for one in jobs if one.kind != pulling.KIND or "run" not in one.payload]


def _job(job: SyncJob) -> Progress:
    label = kind_name(job.kind) if job.kind in BACKGROUND else _("Reading %(kind)s") % {"kind": job.key}
    begun = job.state == SyncJob.State.LEASED or bool(job.payload.get("done"))
    state = _("Running") if begun else _("Tried again soon") if job.error else wizard_facts.waits()
    done, total = int(job.payload.get("done") or 0), job.payload.get("total")
    return Progress(label, state, "info" if begun else "warning", done, total, running=True, problem=job.error)


def links(row: CrmConnection) -> list[tuple[str, str]]:
    here = {"connection__id__exact": row.pk}
    return [
        (page_url(SyncRun, "changelist", **here), _("Runs")),
        (page_url(SyncJob, "changelist", **here), _("Jobs")),
        (page_url(Contact, "changelist"), _("Contacts")),
        (page_url(SyncRecord, "changelist", **here), _("Linked records")),
        (editor_url(row), _("Field mapping")),
        (page_url(row, "numbers"), _("Numbers")),
    ]


# --- panels -----------------------------------------------------------------------------------------------------------


def runs(row: CrmConnection, facts: Facts) -> Panel:
    rows = [[page_link(run), progress.cell(run), ago(run.started_at), run.error] for run in facts["runs"]]
    headers = [_("Run"), _("Progress"), _("Started"), _("Problem")]
    more = (page_url(SyncRun, "changelist", connection__id__exact=row.pk), _("All runs"))
    return Panel(_("Last runs"), headers, rows, _("Nothing was read yet. “Sync now” above starts a run."), more)


def schema_changes(row: CrmConnection, facts: Facts) -> Panel:
    rows = [
        [
            ago(one.found_at),
            f"{one.object_type}: {one.label}",
            one.get_change_display(),
            bullets(f"{broken['dialer_field']}: {broken['why']}" for broken in one.breaks),
        ]
        for one in facts["changes"]
    ]
    seen = max((one.checked_at for one in facts["objects"]), default=None)
    empty = (
        format_html(_("Nothing has changed since the connection was made. Last look: {}."), ago(seen))
        if seen
        else _("The CRM's fields have not been read yet.")
    )
    more = (page_url(SchemaChange, "changelist", connection__id__exact=row.pk), _("All changes"))
    return Panel(
        _("What changed in the CRM's fields"), [_("Found"), _("Field"), _("Change"), _("Breaks")], rows, empty, more
    )


def ways(row: CrmConnection, facts: Facts) -> Panel:
    """How changes of the CRM reach us: told by a stream or webhooks, and asked for every few minutes in any case."""
    provider = provider_class(row.provider)
    cursors = {one.feed: one for one in facts["cursors"]}
    stream = cursors.pop(STREAM, None)
    rows: list[list[object]] = [*_stream(provider, stream), *_webhooks(row, provider)]
    rows += [_poll(name, cursors.get(POLLS + name)) for name in provider.person_types]
    headers = [_("Way"), _("State"), _("Read to the end"), _("Last moved")]
    more = (page_url(FeedCursor, "changelist", connection__id__exact=row.pk), _("All cursors"))
    return Panel(_("How changes reach us"), headers, rows, "", more)


def _stream(provider: type[CrmProvider], lease: FeedCursor | None) -> list[list[object]]:
    if not provider.has_stream:
        return []
    problem = (lease.value or {}).get("problem", "") if lease else ""
    state = badge(_("Listening"), "good") if lease and lease.holder else badge(_("Nobody listens"), "muted")
    if problem:
        state = format_html("{} {}", badge(_("Broke off"), "warning"), problem)
    return [[_("Stream of changes"), state, NOTHING, ago(lease.moved_at) if lease else NOTHING]]


def _webhooks(row: CrmConnection, provider: type[CrmProvider]) -> list[list[object]]:
    if not provider.app_webhooks and provider.subscribe is CrmProvider.subscribe:
        return []
    open_now = [one.finding.message for one in preflight.report(row).open if one.finding.code in HOOK_CODES]
    state: Any = badge(_("Set up"), "good") if not open_now else badge(_("Incomplete"), "warning")
    return [[_("Webhooks"), format_html("{} {}", state, " ".join(open_now)), NOTHING, NOTHING]]


def _poll(name: str, cursor: FeedCursor | None) -> list[object]:
    words = _("Asked every five minutes: %(kind)s") % {"kind": name}
    if cursor is None:
        return [words, badge(_("Not read yet"), "muted"), NOTHING, NOTHING]
    state = badge(_("Up to date"), "good") if cursor.complete_at else badge(_("Reading"), "info")
    return [format_html('<a class="db-link" href="{}">{}</a>', page_url(cursor), words), state,
            ago(cursor.complete_at, _("not yet")), ago(cursor.moved_at)]  # fmt: skip


def objects(row: CrmConnection, facts: Facts) -> Panel:
    counted = {one["object_type"]: one for one in facts["fields"]}
    told = {one.object_type: one.expected for one in reversed(facts["runs"])}
    kept = wizard_facts.kept(provider_class(row.provider), counted, told)
    rows = [
        [one.name, one.use, one.fields or NOTHING, NOTHING if one.records is None else f"{one.records:,}"]
        for one in kept
    ]
    headers = [_("In the CRM"), _("What for"), _("Fields"), _("Records")]
    more = (page_url(row, "setup"), _("Fields and mapping in the set-up"))
    return Panel(_("What is synced"), headers, rows, "", more)
