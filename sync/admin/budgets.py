"""The part of a connection's page that shows what is used of its daily limits, and the form that sets the budget."""

from datetime import datetime
from typing import TYPE_CHECKING

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import Panel
from integrations.admin_exchanges import WORK_NAMES
from integrations.admin_html import NOTHING, badge, page_url, progress
from integrations.models import CrmConnection
from sync import health
from sync.budgets import Day
from sync.lanes import SHARES
from sync.models import Lane

if TYPE_CHECKING:
    from django.forms import NumberInput
else:
    from unfold.widgets import UnfoldAdminIntegerFieldWidget as NumberInput

LARGEST_BUDGET = 100_000_000
WORKS = {SHARES[lane].work: lane.label for lane in Lane} | {"other": gettext_lazy("Checks and people at the screen")}
WORK_NAMES.update(WORKS)


class BudgetForm(forms.Form):
    """The budget of one connection. Empty takes it away."""

    budget = forms.IntegerField(
        label=gettext_lazy("Requests a day"),
        required=False,
        min_value=1,
        max_value=LARGEST_BUDGET,
        widget=NumberInput(attrs={"inputmode": "numeric"}),
        help_text=gettext_lazy("Empty: no limit but the CRM's own."),
    )


def explanation(today: Day) -> list[str]:
    """What a person should know before they set a budget."""
    pace = _("%(used)s requests were sent today; the pace is %(pace)s an hour.")
    return [
        _(
            "Every request counts, from midnight to midnight (%(zone)s). When the budget is reached, first loads, catch-up "
            "and comparisons stop until the next day; this page and the first page then say so."
        )
        % {"zone": today.zone.key},
        _("Calls, “do not call”, people's edits and fetches after a webhook never stop at it."),
        pace % {"used": f"{today.used:,}", "pace": f"{today.pace:,.0f}"},
    ]


def panels(row: CrmConnection, may_change: bool, today: Day) -> list[Panel]:
    return [_works(today), _limits(row, today, may_change)]


def _works(today: Day) -> Panel:
    rows: list[list[object]] = [
        [words, f"{today.works.get(work, 0):,}", f"{today.paces.get(work, 0):,.0f}"]
        for work, words in WORKS.items()
        if today.works.get(work) or today.paces.get(work)
    ]
    unknown = today.used - sum(today.works.values())
    if unknown > 0:
        rows.append([_("Before kinds of work were counted"), f"{unknown:,}", NOTHING])
    title = _("Requests today (%(zone)s)") % {"zone": today.zone.key}
    return Panel(
        title, [_("Kind of work"), _("Requests"), _("An hour")], rows, _("Nothing was asked of the CRM today.")
    )


def _limits(row: CrmConnection, today: Day, may_change: bool) -> Panel:
    rows: list[list[object]] = []
    if today.budget is not None:
        bar = progress(today.used, today.budget, _("Used of the daily budget"))
        rows.append([_("Daily budget"), bar, forecast(today, today.budget - today.used)])
    if today.gauge is not None:
        bar = progress(today.gauge.used, today.gauge.quota, _("Used of the CRM's daily quota"))
        rows.append([_("The CRM's daily quota"), bar, forecast(today, today.gauge.remaining)])
    if today.stopped_by:
        rows.append([_("Loading"), badge(_("Stopped"), "warning"), health.stopped(today)])
    more = (page_url(row, "daily_budget"), _("Set the daily budget")) if may_change else None
    empty = _("No budget is set, and the CRM has told of no daily quota.")
    return Panel(_("Limits of the day"), [_("Limit"), _("Used"), _("At this pace")], rows, empty, more)


def forecast(today: Day, left: int) -> str:
    """When it is used up, in a sentence."""
    if left <= 0:
        return _("It is used up.")
    pace = {"pace": f"{today.pace:,.0f}"}
    moment = today.runs_out(left)
    if moment is None:
        return _("At %(pace)s requests an hour it lasts beyond the end of the day.") % pace
    return _("At %(pace)s requests an hour it is used up at %(hour)s.") % {**pace, "hour": _hour(moment, today)}


def _hour(moment: datetime, today: Day) -> str:
    return f"{moment.astimezone(today.zone):%H:%M}"
