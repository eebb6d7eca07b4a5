"""For pages on which people decide one row after the other: how many wait, skipping, and the next one by itself."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations.admin_base import page_action
from integrations.admin_html import NOTHING, page_url
from sync import desk

if TYPE_CHECKING:
    from integrations.admin_base import TenantScopedAdmin as _Base
else:
    _Base = object

MOST = 1_000
"""Waiting rows that are counted; of more it is only said that there are more."""


class InTurn(_Base):
    """Mixed in before a page. Subclasses say which rows are `waiting`, and in which order it is their `turn`."""

    waiting: ClassVar[Mapping[str, Any]]
    turn: ClassVar[Sequence[str]] = ("-pk",)

    def has_view_waiting_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(self.has_view_permission(request))

    def waits(self, request: HttpRequest) -> "QuerySet[Any]":
        """Rows that nobody has decided, in the order in which they come: what the list shows under `waiting`."""
        return self.get_queryset(request).filter(**self.waiting).order_by(*self.turn)

    def comes_after(self, row: Any) -> Any:
        """The condition for rows that come later than this one in a descending order."""
        later, same = Q(), Q()
        for name in (one.removeprefix("-") for one in self.turn):
            later |= same & Q(**{f"{name}__lt": getattr(row, name)})
            same &= Q(**{name: getattr(row, name)})
        return later

    @page_action(gettext_lazy("Decide one by one"), icon="view_carousel", permission="view_waiting")
    def in_turn(self, request: HttpRequest) -> HttpResponse:
        first = self.waits(request).first()
        if first is None:
            self.message_user(request, _("Nothing waits for a decision."), messages.INFO)
            return redirect(page_url(self.model, "changelist"))
        return redirect(page_url(first))

    @page_action(gettext_lazy("Skip"), icon="skip_next", permission="view_waiting")
    def skip(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        waiting = self.waits(request).exclude(pk=row.pk)
        following = waiting.filter(self.comes_after(row)).first() or waiting.first()
        if following is None:
            return self.answer(request, row, _("Nothing else waits for a decision."), messages.INFO)
        return redirect(page_url(following))

    def go_on(self, request: HttpRequest, row: Any, text: str) -> HttpResponse:
        """After a decision: the next row that waits, or this one when it was the last."""
        waiting = self.waits(request).exclude(pk=row.pk)
        following = waiting.filter(self.comes_after(row)).first() or waiting.first()
        if following is None:
            return self.answer(request, row, f"{text} {_('Nothing else waits for a decision.')}")
        left = waiting.order_by()[:MOST].count()
        words = ngettext("%(count)s is left, this is the next.", "%(count)s are left, this is the next.", left)
        shown = f"{left:,}{'+' if left >= MOST else ''}"
        self.message_user(request, f"{text} {words % {'count': shown}}", messages.SUCCESS)
        return redirect(page_url(following))


def marked_pair(one: str, other: str) -> tuple[SafeString | str, SafeString | str]:
    """Two texts with what differs underlined in both."""
    first, second = desk.difference(one, other)
    return marked(first), marked(second)


def marked(parts: desk.Parts) -> SafeString | str:
    pieces = (('<mark class="db-diff">{}</mark>' if differs else "{}", text) for text, differs in parts)
    return format_html_join("", "{}", ((format_html(form, text),) for form, text in pieces)) or NOTHING
