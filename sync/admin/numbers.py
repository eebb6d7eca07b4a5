"""The page with a connection's numbers over time: a chart for each, and all of them as a table."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import AdminPage, page_action
from integrations.admin_html import NOTHING, duration, page_url
from integrations.charts import Chart, chart, marked
from integrations.models import CrmConnection
from sync import metrics_series
from sync.metrics_series import SPANS, Bucket, Series, Span

VIEW = "integrations.view_crmconnection"
MARKS = {"24h": 4, "7d": 4}
"""Every how many steps a time is written."""


def chosen_span(request: HttpRequest) -> Span:
    """The one that the address names, else the first."""
    return SPANS.get(request.GET.get("span", ""), SPANS["24h"])


def span_links(chosen: Span) -> list[dict[str, Any]]:
    return [{"words": one.words, "url": f"?span={one.name}", "chosen": one is chosen} for one in SPANS.values()]


class NumbersPage(AdminPage):
    """Mixed into the connection's page."""

    @page_action(gettext_lazy("Numbers"), icon="monitoring", permission=VIEW)
    def numbers(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: CrmConnection = self.found(request, object_id)
        span = chosen_span(request)
        series = metrics_series.read([row.pk], span)[row.pk]
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Numbers of %(connection)s") % {"connection": row},
            "opts": self.opts,
            "original": row,
            "spans": span_links(span),
            "zone": timezone.get_current_timezone_name(),
            "measured": any(series.steps),
            "charts": [(f"chart-{name}", one) for name, one in charts(series).items()],
            "headers": HEADERS,
            "rows": rows(series),
            "back": page_url(row),
        }
        return TemplateResponse(request, "admin/numbers.html", context)


# --- charts -------------------------------------------------------------------------------------------------------------


def charts(series: Series) -> dict[str, Chart]:
    return {
        "synced": _chart(series, _("Records synced"), lambda one: one.synced, _count),
        "errors": _chart(series, _("Failed for good"), lambda one: one.dead, _count),
        "latency": _chart(series, _("Latency"), _latency, duration, least_top=1000.0),
        "queue": _chart(series, _("Most that waited"), lambda one: one.queue_max, _count),
        "quota": _chart(
            series, _("Quota of the CRM used"), lambda one: one.quota_percent, _percent, least_top=100.0,
            limit=(80.0, _("from 80 % on loads wait")),
        ),
    }  # fmt: skip


def _latency(one: Bucket) -> float | None:
    """Where nothing ended there was no latency; it is no gap, since somebody looked."""
    return one.latency_ms or 0


def _chart(
    series: Series,
    name: str,
    value: Callable[[Bucket], float | None],
    wording: Callable[[float], str],
    *,
    least_top: float = 4.0,
    limit: tuple[float, str] | None = None,
) -> Chart:
    values = [value(one) if one is not None else None for one in series.steps]
    times = [moment(at) for at in series.times]
    known = [one for one in values if one is not None]
    told = {
        "span": series.span.words,
        "each": series.span.each,
        "least": wording(min(known)) if known else NOTHING,
        "most": wording(max(known)) if known else NOTHING,
        "last": wording(known[-1]) if known else NOTHING,
    }
    if any(known):
        about = _("%(span)s, %(each)s: between %(least)s and %(most)s; lately %(last)s.") % told
    else:
        about = _("%(span)s, %(each)s: nothing, or not measured.") % told
    marks = marked(len(times), MARKS[series.span.name], lambda number: short_time(series, number))
    return chart(
        name, about, values, times, wording, not_measured=_("not measured"), time_marks=marks, least_top=least_top, limit=limit
    )  # fmt: skip


def moment(at: Any) -> str:
    return formats.date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT")


def short_time(series: Series, number: int) -> str:
    """Under a chart of a day the time, under one of a week the day."""
    here = timezone.localtime(series.times[number])
    return formats.date_format(here, "TIME_FORMAT" if series.span.name == "24h" else "MONTH_DAY_FORMAT")


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float) -> str:
    return f"{value:.0f} %"


# --- the table ----------------------------------------------------------------------------------------------------------

HEADERS = (
    gettext_lazy("From"), gettext_lazy("Records synced"), gettext_lazy("Jobs done"), gettext_lazy("Failed for good"),
    gettext_lazy("Error rate"), gettext_lazy("Mean latency"), gettext_lazy("Longest latency"), gettext_lazy("Most that waited"),
    gettext_lazy("Requests"), gettext_lazy("Failed requests"), gettext_lazy("Quota used"),
)  # fmt: skip


def rows(series: Series) -> list[list[object]]:
    """The newest first; steps that were not measured say so."""
    pairs = zip(series.times, series.steps, strict=True)
    return [_row(at, one) for at, one in reversed(list(pairs))]


def _row(at: Any, one: Bucket | None) -> list[object]:
    if one is None:
        return [moment(at), _("not measured"), *[""] * (len(HEADERS) - 2)]
    return [
        moment(at), _count(one.synced), _count(one.done), _count(one.dead),
        NOTHING if one.error_percent is None else f"{one.error_percent:g} %",
        duration(one.latency_ms), duration(one.latency_max_ms if one.latency_ms is not None else None), _count(one.queue_max),
        _count(one.requests), _count(one.failures), NOTHING if one.quota_percent is None else _percent(one.quota_percent),
    ]  # fmt: skip
