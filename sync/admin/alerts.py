"""The pages of alerts: what is and was wrong, what to press, who was told, and "I take care of it"."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from integrations.admin_base import Panel, Question, ReadOnlyAdmin, TenantScopedAdmin, page_action
from integrations.admin_html import NOTHING, ago, ago_column, badge, badge_column, page_link, page_url
from sync.alerting import words
from sync.models import Alert, AlertDelivery

CHANGE = "sync.change_alert"
TAKE_ON, GIVE_BACK = "take_on", "give_back"
DELIVERY_STATE = badge_column("state", gettext_lazy("state"), {"ready": "warning", "sent": "good", "dead": "bad"})


def severity_badge(row: Alert) -> str:
    """Whether it is over, and how grave it is while it is not."""
    if row.resolved_at is not None:
        return badge(_("Over"), "good")
    return badge(row.get_severity_display(), row.severity)


def next_step(row: Alert, request: HttpRequest) -> tuple[str, str]:
    """(words, address) of what this person can do about it: at least to look at it."""
    step = words.step(row)
    if row.is_open and request.user.has_perm(step.permission):
        return step.words, step.url
    return _("Look at it"), page_url(row)


class OpenFilter(SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", _("Open")), ("0", _("Over"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = {"1": Q(resolved_at=None), "0": Q(resolved_at__isnull=False)}
        return queryset.filter(chosen.get(self.value() or "", Q()))


class AlertAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "what",
        "state",
        "where",
        ago_column("opened_at", gettext_lazy("open since")),
        ago_column("resolved_at", gettext_lazy("over since")),
        "taken_on",
    )
    list_filter = (OpenFilter, "kind", ("connection", AutocompleteSelectFilter))
    list_select_related = ("connection",)
    ordering = ("-pk",)
    nothing_yet = gettext_lazy(
        "No alert: nothing is wrong, and nothing was. From when on something counts as wrong, and who hears of it, stands in the "
        "alert settings."
    )
    actions_detail: ClassVar[Any] = (TAKE_ON, GIVE_BACK)
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("what", "state", "where", "means", "to_do")}),
        (
            gettext_lazy("Since when"),
            {"fields": (("opened_at", "resolved_at"), ("last_seen_at", "reopened"), "taken_on")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """What has not held long enough yet is no alert."""
        return super().get_queryset(request).filter(opened_at__isnull=False)

    @admin.display(description=gettext_lazy("what"))
    def what(self, row: Alert) -> str:
        return words.say(row).what

    @admin.display(description=gettext_lazy("state"), ordering="resolved_at")
    def state(self, row: Alert) -> str:
        return severity_badge(row)

    @admin.display(description=gettext_lazy("where"))
    def where(self, row: Alert) -> str:
        return page_link(row.connection, words.where(row)) if row.connection else words.where(row)

    @admin.display(description=gettext_lazy("what it means"))
    def means(self, row: Alert) -> str:
        return words.say(row).means

    @admin.display(description=gettext_lazy("what to do"))
    def to_do(self, row: Alert) -> str:
        step = words.step(row)
        button = format_html('<a class="db-button db-button--main" href="{}">{}</a>', step.url, step.words)
        return format_html('<p>{}</p><p class="db-step-now">{}</p>', words.say(row).help, button if row.is_open else "")

    @admin.display(description=gettext_lazy("taken on"))
    def taken_on(self, row: Alert) -> str:
        if row.acknowledged_at is None:
            return NOTHING
        return format_html("{}, {}", row.acknowledged_by, ago(row.acknowledged_at))

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        rows = AlertDelivery.objects.filter(alert=row).order_by("-created_at", "channel", "target")[:100]
        told = [
            [one.get_event_display(), one.get_channel_display(), one.target, DELIVERY_STATE(one), one.attempts,
             ago(one.finished_at or one.created_at), one.error]
            for one in rows
        ]  # fmt: skip
        headers = [_("Notice"), _("By"), _("To"), _("State"), _("Tries"), _("When"), _("Problem")]
        empty = _("Nobody was told: the kind is quiet in the alert settings, or nobody there has an address.")
        return [Panel(_("Who was told"), headers, told, empty)]

    # --- buttons ---------------------------------------------------------------------------------------------------

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        if row is None or not row.is_open:
            return []
        left_out = TAKE_ON if row.acknowledged_at else GIVE_BACK
        return [one for one in offered if one.path != left_out]

    @page_action(gettext_lazy("I take care of it"), icon="back_hand", permission=CHANGE)
    def take_on(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Take care of “%(alert)s”?") % {"alert": words.say(row).what},
            lines=[
                _("Your name stands beside it, so that the others know that somebody is at it."),
                _("It stays open until it is really over. Everybody is told then, as before."),
            ],
            button=_("I take care of it"),
        )
        page = self.ask(request, row, question)
        return page or self._acknowledge(request, row, request.user.get_username())

    @page_action(gettext_lazy("Leave it to others"), icon="undo", permission=CHANGE)
    def give_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Leave “%(alert)s” to others?") % {"alert": words.say(row).what},
            lines=[_("It stands without a name again, as one that nobody takes care of.")],
            button=_("Leave it"),
        )
        page = self.ask(request, row, question)
        return page or self._acknowledge(request, row, "")

    def _acknowledge(self, request: HttpRequest, row: Alert, name: str) -> HttpResponse:
        """Of an alert that is still open; its other columns are the watch's to write."""
        at = timezone.now() if name else None
        moved = Alert.objects.filter(pk=row.pk, resolved_at=None).update(acknowledged_at=at, acknowledged_by=name)
        if not moved:
            return self.answer(request, row, _("It is over already: nothing was changed."))
        self.log_change(request, row, f"Taken on by {name}" if name else "Left to others")
        text = _("You take care of it.") if name else _("It is left to others.")
        return self.answer(request, row, text)
