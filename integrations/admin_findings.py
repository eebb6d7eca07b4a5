"""What the permission checks of a connection found, as a table on its page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations import preflight
from integrations.admin_base import Panel
from integrations.admin_html import NOTHING, ago, badge, page_url
from integrations.models import CrmConnection
from integrations.records.connections import Severity

SEVERITIES: Mapping[Severity, tuple[Any, str]] = {
    Severity.BLOCKING: (gettext_lazy("Blocking"), "bad"),
    Severity.WARNING: (gettext_lazy("Incomplete"), "warning"),
    Severity.NOTE: (gettext_lazy("Note"), "info"),
}


WHY: Mapping[Severity, Any] = {
    Severity.BLOCKING: gettext_lazy("Something that people rely on does not work without it."),
    Severity.WARNING: gettext_lazy("It works, but not for all records or fields."),
    Severity.NOTE: gettext_lazy("Good to know; nothing is lost."),
}
OPERATORS = frozenset({"system_not_registered", "unreachable", preflight.HOOKS, "webhook_missing", "webhook_disabled"})
"""Codes of what only whoever runs this installation can mend."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A finding for people: what is wrong, why that matters, what to press and whom to ask."""

    subject: str
    word: str
    level: str
    what: str
    why: str
    remedy: str
    ask: str
    since: datetime


def explained(found: Iterable[preflight.Noted], row: CrmConnection) -> list[Explained]:
    administrator = _("an administrator of %(crm)s") % {"crm": row.get_provider_display()}
    operator = _("whoever runs this installation")
    return [
        Explained(
            one.finding.subject,
            str(SEVERITIES[one.finding.severity][0]),
            SEVERITIES[one.finding.severity][1],
            one.finding.message,
            str(WHY[one.finding.severity]),
            one.finding.remedy,
            operator if one.finding.code in OPERATORS else administrator,
            one.first_seen,
        )
        for one in found
    ]


def findings_panel(row: CrmConnection, *, may_check: bool) -> Panel:
    """What the latest permission check found, what to click, and what an earlier one had found that is gone."""
    report = preflight.report(row)
    rows = [_row(one, *SEVERITIES[one.finding.severity], new=one in report.new) for one in report.open]
    rows += [_row(one, _("Solved"), "good") for one in report.gone]
    title = _("Permissions in the CRM")
    if report.problem:
        title = _("Permissions in the CRM: the last check failed. %(problem)s") % {"problem": report.problem}
    headers = [_("What"), _("What is wrong"), _("What to click"), _("Since")]
    more = (page_url(row, "check_permissions"), _("Check permissions")) if may_check and _is_alive(row) else None
    return Panel(title, headers, rows, _checked(report.checked_at), more)


def findings_badge(row: CrmConnection) -> str:
    """The latest check in one line."""
    report = preflight.report(row)
    if report.checked_at is None:
        return badge(_("Not checked yet"), "muted")
    if not report.open:
        return format_html("{} {}", badge(_("Nothing is missing"), "good"), ago(report.checked_at))
    words = ngettext("%(count)d thing is missing", "%(count)d things are missing", len(report.open))
    level = SEVERITIES[report.open[0].finding.severity][1]
    told = badge(words % {"count": len(report.open)}, level)
    return format_html("{} {}", told, report.open[0].finding.message)


def _row(one: preflight.Noted, words: Any, level: str, *, new: bool = False) -> list[object]:
    what = format_html('<div class="whitespace-nowrap">{}</div>{}', badge(words, level), one.finding.subject)
    if one.gone_at:
        return [what, one.finding.message, NOTHING, ago(one.gone_at)]
    since = format_html("{}{}", ago(one.first_seen), _(" (new)") if new else "")
    return [what, one.finding.message, one.finding.remedy, since]


def _is_alive(row: CrmConnection) -> bool:
    return row.status in {CrmConnection.Status.CONNECTED, CrmConnection.Status.PAUSED}


def _checked(moment: datetime | None) -> str:
    if moment is None:
        return _("Not checked yet. It is done when the CRM is connected, and every night.")
    return format_html(_("Nothing is missing. Checked {}."), ago(moment))
