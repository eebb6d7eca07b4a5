"""The pages of the requests that were sent to the CRMs, and the table of them for any page that is about a record."""

from collections.abc import Collection, Sequence
from typing import Any, ClassVar
from urllib.parse import unquote, urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from integrations.admin_base import Panel, ReadOnlyAdmin, RecentValues, TenantScopedAdmin
from integrations.admin_html import NOTHING, ago, ago_column, badge, link, page_url
from integrations.exchanges_reading import about_record, as_curl, named
from integrations.exchanges_text import part_about, pretty
from integrations.models import ApiExchange

LATEST = 15
LONGEST_LINE = 90


class OutcomeFilter(admin.SimpleListFilter):
    title = gettext_lazy("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("failed", _("Failed")), ("good", _("Went well"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(failed=self.value() == "failed") if self.value() else queryset


class MethodFilter(RecentValues):
    title = gettext_lazy("method")
    parameter_name = "method"

    def rows(self, model_admin: Any) -> QuerySet[Any]:
        return ApiExchange.objects.defer("request", "response", "path", "keys")


WORK_NAMES: dict[str, Any] = {}
"""Kind of work → its name. The app above names them."""


class ApiExchangeAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy("No CRM was asked or told anything lately.")
    list_display = (
        "sent", "status_badge", "connection", "for_what", "took", "short_problem", ago_column("at", gettext_lazy("when")),
    )  # fmt: skip
    list_filter = (OutcomeFilter, MethodFilter, ("connection", AutocompleteSelectFilter))
    list_select_related = ("connection",)
    search_fields = ("keys",)
    search_help_text = gettext_lazy("Our whole id of a contact or call, or job: and a number")
    ordering = ("-pk",)
    change_form_outer_after_template = "admin/record_exchange.html"
    fields: ClassVar[Any] = (
        ("sent", "status_badge"), ("connection", "for_what"), ("at", "took"), "problem_text",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("for what"), ordering="work")
    def for_what(self, row: ApiExchange) -> str:
        return str(WORK_NAMES.get(row.work) or row.work or NOTHING)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        one = request.resolver_match and "object_id" in request.resolver_match.kwargs
        return rows.select_related("connection") if one else rows.defer("request", "response")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(keys__contains=[term]) if term else queryset), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.found(request, object_id)
        context = {"exchange": _shown(row, request.GET.getlist("only")), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    @admin.display(description=gettext_lazy("request"))
    def sent(self, row: ApiExchange) -> str:
        return _line(row)

    @admin.display(description=gettext_lazy("answer"), ordering="status")
    def status_badge(self, row: ApiExchange) -> str:
        return status_badge(row)

    @admin.display(description=gettext_lazy("took"), ordering="milliseconds")
    def took(self, row: ApiExchange) -> str:
        return _("%(number)s ms") % {"number": f"{row.milliseconds:,}"}

    @admin.display(description=gettext_lazy("problem"))
    def short_problem(self, row: ApiExchange) -> str:
        return row.problem[:120] or NOTHING

    @admin.display(description=gettext_lazy("problem"))
    def problem_text(self, row: ApiExchange) -> str:
        return row.problem or NOTHING


def status_badge(row: ApiExchange) -> str:
    if row.status is None:
        return badge(_("No answer"), "bad")
    return badge(row.status, "bad" if row.failed else "good")


def _line(row: ApiExchange) -> str:
    text = unquote(row.path)
    return f"{row.method} {text[:LONGEST_LINE]}{'…' if len(text) > LONGEST_LINE else ''}"


def _shown(row: ApiExchange, only: Sequence[str]) -> dict[str, Any]:
    """What stands on the page: both bodies, or only what of them is about one record."""
    request, response, others = (
        part_about(row.request, row.response, named(only)) if only else (row.request, row.response, 0)
    )
    left_out = ngettext(
        "The entry of %(count)d other record in this batch is not shown.",
        "The entries of %(count)d other records in this batch are not shown.",
        others,
    )
    return {
        "address": unquote(row.path),
        "request": pretty(request),
        "response": pretty(response),
        "only_line": not row.request and not row.response and not row.failed,
        "others": left_out % {"count": others} if others else "",
        "whole": page_url(row) if others else "",
        "cut": row.left_out,
        "curl": as_curl(row, row.connection, request),
        "records": len(row.keys),
    }


def exchanges_panel(
    keys: Collection[object], names: Collection[str] = (), *, rows: QuerySet[ApiExchange] | None = None
) -> Panel:
    """For the page of a record: its newest requests, each leading to the part that is about it."""
    found = (about_record(keys, names) if rows is None else rows).select_related("connection")
    found = found.only(
        "id", "at", "method", "path", "status", "milliseconds", "failed", "problem", "tenant_id",
        "connection__provider", "connection__account_name", "connection__account_id",
    )[:LATEST]  # fmt: skip
    query = urlencode([("only", one) for one in dict.fromkeys([*names, *map(str, keys)]) if one])
    lines = [
        [
            ago(one.at),
            one.connection.get_provider_display(),
            link(f"{page_url(one)}?{query}", _line(one)),
            status_badge(one),
            _("%(number)s ms") % {"number": f"{one.milliseconds:,}"},
            one.problem or NOTHING,
        ]
        for one in found
    ]
    headers = [_("When"), _("CRM"), _("Request"), _("Answer"), _("Took"), _("Problem")]
    empty = _("Nothing was asked of a CRM about it in the last days, or it is not kept any more.")
    return Panel(_("Requests and answers"), headers, lines, empty)
