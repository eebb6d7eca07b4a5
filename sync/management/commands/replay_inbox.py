from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from integrations.commands import JsonCommand, moment, tenant_by_slug
from integrations.models import CrmConnection
from integrations.registry import PROVIDERS
from integrations.transport.client import COMMAND
from sync import replay_diff, replaying
from sync.models import SyncJob
from sync.replay_diff import MOST_RECORDS, Changed, Diff
from sync.replaying import Window

LONGEST_LIST = 50


class Command(JsonCommand):
    help = (
        "Shows what working a window of the inbox again would change, and changes nothing. With --apply it is done, in the "
        "background."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("tenant", help="the tenant's short name")
        parser.add_argument("--from", dest="since", type=moment, required=True, help="such as 2026-01-31T08:00, in UTC")
        parser.add_argument("--to", dest="until", type=moment, help="up to then; now unless said otherwise")
        parser.add_argument("--provider", choices=list(PROVIDERS), help="only this CRM")
        parser.add_argument("--object", default="", help="only this kind of record, such as Lead")
        parser.add_argument("--apply", action="store_true", help="do it, as a job behind all that is new")
        parser.add_argument(
            "--most", type=int, default=MOST_RECORDS, help=f"compare at most so many records ({MOST_RECORDS})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        until = options["until"] or timezone.now()
        if until <= options["since"]:
            raise CommandError("The window is empty: --to has to be later than --from.")
        with tenant_by_slug(options["tenant"]) as tenant:
            rows = CrmConnection.objects.select_related("tenant").filter(tenant=tenant)
            rows = rows.filter(provider=options["provider"]) if options["provider"] else rows
            windows = [
                Window(row, options["since"], until, options["object"])
                for row in rows.exclude(status=CrmConnection.Status.DISCONNECTED)
            ]
            windows = [one for one in windows if one.object_types]
            if not windows:
                raise CommandError("Nothing that is connected has such records. See: manage.py replay_inbox --help")
            if options["apply"]:
                self._apply(options, windows)
            else:
                self._compare(options, windows)

    def _compare(self, options: dict[str, Any], windows: list[Window]) -> None:
        diffs = [(one.connection, replay_diff.compare(one, COMMAND, options["most"])) for one in windows]
        data = {"applied": False, "diffs": [{"provider": row.provider, **diff.as_json()} for row, diff in diffs]}
        text = "\n\n".join(diff_text(row.get_provider_display(), diff) for row, diff in diffs)
        self.report(options, data, f"{text}\n\nNothing was changed. Add --apply to do it.")

    def _apply(self, options: dict[str, Any], windows: list[Window]) -> None:
        jobs = [(one.connection, replaying.start(one)) for one in windows]
        told = [_queued(row, job) for row, job in jobs]
        data = {"applied": True, "jobs": [one for one in told if one["job"]]}
        lines = [
            f"{one['provider']}: job #{one['job']} works {one['events']:,} events again."
            if one["job"]
            else f"{one['provider']}: no events in this window."
            for one in told
        ]
        self.report(options, data, "\n".join([*lines, "The job's page in the admin shows how far it is."]))


def _queued(row: CrmConnection, job: SyncJob | None) -> dict[str, Any]:
    return {
        "provider": row.provider,
        "job": job.pk if job else None,
        "events": job.payload["total"] if job else 0,
    }


def diff_text(crm: str, diff: Diff) -> str:
    """The diff in lines, each list cut where it becomes long."""
    sample = f"; {diff.compared:,} of them, chosen at random, were compared" if diff.is_sample else ""
    lines = [f"{crm}: {diff.events:,} events name {diff.records:,} records{sample}."]
    if diff.is_empty:
        lines.append("Nothing would change.")
    lines += _listed("contacts would be made", [f"{name}: {_short(new)}" for name, new in diff.created.items()])
    lines += _listed("fields would change", [_line(one) for one in diff.changed])
    lines += _listed("fields were changed on both sides", [_line(one) for one in diff.conflicts])
    lines += _listed("records would be marked", [f"{name}: {', '.join(marks)}" for name, marks in diff.gone.items()])
    lines += _listed("records are not found in the CRM", diff.missing)
    lines += _listed("records can't be taken over", [f"{name}: {why}" for name, why in diff.failed.items()])
    if diff.pushes:
        lines.append(f"{diff.pushes:,} contacts would then be looked at for what a CRM has to get.")
    return "\n".join(lines)


def _listed(words: str, items: list[str]) -> list[str]:
    if not items:
        return []
    more = [f"  … and {len(items) - LONGEST_LIST:,} more"] if len(items) > LONGEST_LIST else []
    return [f"{len(items):,} {words}:", *(f"  {one}" for one in items[:LONGEST_LIST]), *more]


def _line(one: Changed) -> str:
    ending = " (a person has to decide)" if one.open else f" ({one.rule})" if one.rule else ""
    return f"{one.record} {one.field}: {one.before!r} → {one.after!r}{ending}"


def _short(values: Any) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items() if value not in ("", None, False))
