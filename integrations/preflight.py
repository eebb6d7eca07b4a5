"""What a connection's credential may not do that we need: asked of the CRM, kept with the connection, shown to people.

The findings are kept in the connection's metadata: `open` with the day each was first seen, `gone` with those that went away
during the last week. A finding is the same as before when its code and its subject are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from integrations import errors
from integrations.crm import open_crm
from integrations.models import CrmConnection
from integrations.records.connections import Finding, Severity
from integrations.transport.client import Patience

KEY = "findings"
HOOKS = "webhooks_not_set_up"
"""The code of what setting up a connection's webhooks found. It is done every night, and not by every check."""
CALMLY = Patience(turn=12.0, retry=2.5)
"""A check comes right after connecting, which has just used up some of the quota."""
GONE_FOR = timedelta(days=7)
"""How long a finding that went away is still told of."""
ORDER = (Severity.BLOCKING, Severity.WARNING, Severity.NOTE)


@dataclass(frozen=True, slots=True)
class Noted:
    """A finding with its story. `gone_at` is set once a later check did not meet it any more."""

    finding: Finding
    first_seen: datetime
    gone_at: datetime | None = None

    @property
    def identity(self) -> tuple[str, str]:
        return self.finding.code, self.finding.subject


@dataclass(frozen=True, slots=True)
class Report:
    """The latest check. `problem` says why the one after it could not be done."""

    checked_at: datetime | None = None
    problem: str = ""
    open: Sequence[Noted] = field(default_factory=tuple)
    """The most severe first."""
    gone: Sequence[Noted] = field(default_factory=tuple)

    @property
    def new(self) -> list[Noted]:
        """What the latest check found for the first time."""
        return [one for one in self.open if one.first_seen == self.checked_at]


def run(row: CrmConnection, patience: Patience = CALMLY, hooks: Sequence[Finding] | None = None) -> list[Finding]:
    """Asks the CRM and keeps the answer. Raises the CRM's error, which is kept too, when it can't be asked.

    `hooks` is what setting up the webhooks found just now; None: nobody tried, so what an earlier try found still holds.
    """
    provider, _api = open_crm(row, patience)
    try:
        found = provider.preflight()
    except errors.CrmError as error:
        row.remember({KEY: {**row.metadata.get(KEY, {}), "problem": error.message}})
        raise
    before = report(row)
    found = _with_hooks(before, found, hooks)
    row.remember({KEY: _as_json(compared(before, found, timezone.now()))})
    return found


def _with_hooks(before: Report, found: Sequence[Finding], hooks: Sequence[Finding] | None) -> list[Finding]:
    """A provider's own check may have found the same already."""
    if hooks is None:
        hooks = [one.finding for one in before.open if one.finding.code == HOOKS]
    told = {one.message for one in found}
    return [*found, *(one for one in hooks if one.message not in told)]


def report(row: CrmConnection) -> Report:
    """What is kept of the connection's checks."""
    kept: Mapping[str, Any] = row.metadata.get(KEY) or {}
    checked_at = kept.get("checked_at")
    return Report(
        datetime.fromisoformat(checked_at) if checked_at else None,
        kept.get("problem", ""),
        tuple(_noted(one) for one in kept.get("open", ())),
        tuple(_noted(one) for one in kept.get("gone", ())),
    )


def compared(before: Report, found: Sequence[Finding], now: datetime) -> Report:
    """The next report: what is new, what is still there, what went away."""
    known = {one.identity: one for one in before.open}
    current = {(one.code, one.subject): one for one in found}
    still = [Noted(one, known[identity].first_seen if identity in known else now) for identity, one in current.items()]
    went = [Noted(one.finding, one.first_seen, now) for one in before.open if one.identity not in current]
    earlier = [
        one for one in before.gone if one.identity not in current and one.gone_at and one.gone_at > now - GONE_FOR
    ]
    return Report(now, "", tuple(sorted(still, key=_rank)), (*went, *earlier))


def _rank(one: Noted) -> tuple[int, str]:
    return ORDER.index(one.finding.severity), one.finding.subject


def _as_json(made: Report) -> dict[str, Any]:
    return {
        "checked_at": made.checked_at.isoformat() if made.checked_at else None,
        "problem": made.problem,
        "open": [as_json(one) for one in made.open],
        "gone": [as_json(one) for one in made.gone],
    }


def as_json(one: Noted) -> dict[str, Any]:
    moments = {"first_seen": one.first_seen.isoformat(), "gone_at": one.gone_at.isoformat() if one.gone_at else None}
    return {**asdict(one.finding), **moments}


def _noted(kept: Mapping[str, Any]) -> Noted:
    finding = Finding(
        kept["code"], kept["subject"], kept["message"], kept["remedy"], Severity(kept.get("severity", "warning"))
    )
    gone_at = kept.get("gone_at")
    first_seen = datetime.fromisoformat(kept["first_seen"])
    return Noted(finding, first_seen, datetime.fromisoformat(gone_at) if gone_at else None)
