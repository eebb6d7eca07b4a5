"""Lists of millions of rows that open at once: counted, paged through and sorted no further than anybody looks."""

from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ORDER_VAR
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _
from unfold.admin import checkbox

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

    AnyPaginator: TypeAlias = Paginator[Any]
else:
    AnyPaginator = Paginator
    from unfold.views import ChangeList

LONGEST_LIST = 10_000
"""Rows that a list pages through. Further down nobody looks: there is the search."""


FAR = 500
"""Rows before a page from which on they are skipped by their numbers alone."""


class CappedPaginator(AnyPaginator):
    """Counts no further than the longest list, so that a list of millions opens at once.

    Of a page far down the numbers are found first: the database would join every row that it skips with all that a list shows of
    it. It is one statement all the same.
    """

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return _counted(rows) if isinstance(rows, QuerySet) else super().count

    def page(self, number: Any) -> Any:
        page: Any = super().page(number)
        rows, first = self.object_list, page.start_index() - 1
        if first >= FAR and isinstance(rows, QuerySet):
            page.object_list = rows.filter(pk__in=rows.values("pk")[first : page.end_index()])
        return page


class ShortList(ChangeList):
    """Without a filter the rows found are all there are: no need to count again, nor to offer to show all.

    A longer list than the longest keeps its own order, in which an index gives it, or that of its numbers: to sort it otherwise
    would read all of it.
    """

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        # The theme would work out for each row anew how an address carries the filters on (see `url_for_result`).
        self._carried, self.preserved_filters = self.preserved_filters, ""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.has_active_filters and not self.query:
            self.full_result_count = self.result_count
        if self.result_count >= LONGEST_LIST:
            self.sortable_by: Any = [name for name in self.list_display if self._is_number(name)]

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        if self._is_to_be_sorted() and _counted(queryset) >= LONGEST_LIST:
            del self.params[ORDER_VAR], self.filter_params[ORDER_VAR]
            messages.info(request, _("This list is too long to be sorted like that. Filter it first."))
        return super().get_ordering(request, queryset)

    def _is_to_be_sorted(self) -> bool:
        """By something else than its numbers. What a search finds is few, and sorted as anybody likes."""
        if ORDER_VAR not in self.params or self.query:
            return False
        columns = dict(enumerate(self.list_display))
        return not all(self._is_number(columns[at]) for at in self.get_ordering_field_columns() if at in columns)

    def url_for_result(self, result: Any) -> str:
        address: str = super().url_for_result(result)
        return f"{address}?{self._carried}" if self._carried else address

    def _is_number(self, column: Any) -> bool:
        return self.get_ordering_field(column) in ("pk", self.opts.pk.name)


def _counted(rows: QuerySet[Any]) -> int:
    return int(rows.order_by()[:LONGEST_LIST].count())


# --- tick boxes ---------------------------------------------------------------------------------------------------------

_HERE = "its-number"


def tick_box(number: object) -> SafeString:
    """As the theme makes it, which renders a template for each row."""
    return mark_safe(_tick_box(get_language()).replace(_HERE, escape(number)))  # noqa: S308 - ours, and escaped


@cache
def _tick_box(language: str | None) -> str:
    with override(language):
        return str(checkbox.render(ACTION_CHECKBOX_NAME, _HERE))
