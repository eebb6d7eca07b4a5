from argparse import ArgumentParser
from dataclasses import asdict
from datetime import datetime
from typing import Any

from integrations import tenancy
from integrations.commands import JsonCommand, moment, tenant_by_slug
from integrations.registry import PROVIDERS
from sync import dead_letters
from sync.dead_letters import Pile, Replayed


class Command(JsonCommand):
    help = "Tries dead jobs again, of one tenant or of all. What the CRM has already is not written twice."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("tenant", nargs="?", help="the tenant's short name; left out: all tenants")
        parser.add_argument("--cause", default="", help="only those with this cause, as the list of jobs shows it")
        parser.add_argument("--provider", choices=list(PROVIDERS), default="", help="only this CRM")
        parser.add_argument("--since", type=moment, help="only those that died since then, such as 2026-01-31T08:00")
        parser.add_argument("--dry-run", action="store_true", help="only count them")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["tenant"]:
            with tenant_by_slug(options["tenant"]):
                self._replay(options)
        else:
            with tenancy.everyone():
                self._replay(options)

    def _replay(self, options: dict[str, Any]) -> None:
        since: datetime | None = options["since"]
        jobs = dead_letters.dead(cause=options["cause"], provider=options["provider"], since=since)
        piles = dead_letters.piles(jobs)
        done = Replayed() if options["dry_run"] else dead_letters.replay(jobs)
        data = {"dry_run": options["dry_run"], "found": [asdict(one) for one in piles], **asdict(done)}
        self.report(options, data, _text(piles, None if options["dry_run"] else done))


def _text(piles: list[Pile], done: Replayed | None) -> str:
    if not piles:
        return "There are no such dead jobs."
    lines = [f"{one.count:>8,}  {one.tenant}  {one.provider}  {one.cause}" for one in piles]
    if done is None:
        left = sum(one.count for one in piles if one.for_good)
        found = sum(one.count for one in piles)
        return "\n".join([*lines, f"{found - left:,} would be tried again. {_left(left, 0)}".strip()])
    return "\n".join([*lines, f"{done.replayed:,} are tried again. {_left(done.for_good, done.twins)}".strip()])


def _left(for_good: int, twins: int) -> str:
    parts = []
    if for_good:
        parts.append(f"{for_good:,} are left for good, since their account was replaced by another.")
    if twins:
        parts.append(f"{twins:,} are left because the same work is waiting already.")
    return " ".join(parts)
