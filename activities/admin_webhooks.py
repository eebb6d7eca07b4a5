"""Admin pages of the webhooks to the dialer: addresses with their secrets, a test, and what became of the messages."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminURLInputWidget

from activities import delivering
from activities.dialer_webhooks import EVENTS, TEST
from activities.models import Call, DialerEndpoint, DialerMessage
from integrations import outside
from integrations.admin_base import AdminPage, Panel, Question, ReadOnlyAdmin, TenantScopedAdmin, page_action
from integrations.admin_forms import TenantForm
from integrations.admin_html import (
    NOTHING,
    ago,
    ago_column,
    badge,
    badge_column,
    code_column,
    page_link,
    page_url,
)
from integrations.admin_signing import signed_by
from integrations.signing import new_secret, rotated

CHANGE_ENDPOINT = "activities.change_dialerendpoint"
SEND_AGAIN = "activities.change_dialermessage"
LATEST = 20
LEVELS = {"ready": "warning", "sent": "good", "dead": "bad"}
STATE = badge_column("state", gettext_lazy("state"), LEVELS)


class EndpointForm(TenantForm):
    identity = ("tenant", "url")
    url = forms.URLField(
        label=gettext_lazy("Address"),
        max_length=2000,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget(attrs={"placeholder": "https://"}),
        help_text=gettext_lazy("Where the dialer takes messages."),
    )
    events = forms.MultipleChoiceField(
        label=gettext_lazy("Only these events"),
        required=False,
        choices=lambda: [(name, format_html("<code>{}</code> {}", name, words)) for name, words in EVENTS.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=gettext_lazy("None chosen: all of them, and those that are added later."),
    )

    class Meta:
        model = DialerEndpoint
        fields = "__all__"

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            outside.check_address(url)
        except outside.AddressRefused as error:
            raise forms.ValidationError(str(error)) from error
        return url


class DialerEndpointAdmin(TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "The dialer is told of nothing yet. Add the address that should hear what becomes of each call."
    )
    form = EndpointForm
    list_display = ("url", "events_words", "state", ago_column("created_at", gettext_lazy("created")))
    list_filter = ("is_active", ("failing_since", admin.EmptyFieldListFilter))
    search_fields = ("url__icontains",)
    search_help_text = gettext_lazy("Part of the address")
    ordering = ("tenant__name", "url", "pk")
    fields = ("url", "events", "is_active", "signed_by")
    readonly_fields = ("signed_by",)
    signed_by = signed_by("secret")
    actions_detail = ("send_test", "rotate_secret", "send_failed_again")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("secret")

    @admin.display(description=gettext_lazy("events"))
    def events_words(self, row: DialerEndpoint) -> str:
        return ", ".join(row.events) or _("all")

    @admin.display(description=gettext_lazy("state"), ordering="failing_since")
    def state(self, row: DialerEndpoint) -> str:
        if not row.is_active:
            return badge(_("Switched off"), "bad" if row.failing_since else "muted")
        if row.failing_since:
            return format_html("{} {}", badge(_("Failing"), "bad"), ago(row.failing_since))
        return badge(_("Works"), "good")

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        latest = DialerMessage.objects.filter(endpoint=row).order_by("-created_at", "-pk")[:LATEST]
        rows = [
            [page_link(one, one.event), ago(one.created_at), STATE(one), one.attempts, one.status or NOTHING, one.error]
            for one in latest
        ]
        headers = [_("Event"), _("Created"), _("State"), _("Tries"), _("Answer"), _("Problem")]
        empty = _("Nothing was sent yet. “Send a test” shows whether the dialer takes messages.")
        more = (page_url(DialerMessage, "changelist", endpoint__id__exact=row.pk), _("All messages"))
        return [Panel(_("Last messages"), headers, rows, empty, more)]

    # --- saving --------------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.secret = new_secret()
            super().save_model(request, obj, form, change)
            self._show_secret(request, obj.secret)
            return
        obj.save(update_fields=["url", "events", "updated_at"])
        if "is_active" in form.changed_data:
            (delivering.switch_on if obj.is_active else delivering.switch_off)(obj)

    def _show_secret(self, request: HttpRequest, secret: str) -> None:
        shown = format_html('<code class="db-key">{}</code>', secret)
        words = _("Copy this secret now, it can't be shown again; the dialer checks our signatures with it:")
        self.message_user(request, format_html("{} {}", words, shown), messages.WARNING)

    # --- buttons -------------------------------------------------------------------------------------------------

    @page_action(gettext_lazy("Send a test"), icon="send", permission=CHANGE_ENDPOINT)
    def send_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Send a test to %(address)s?") % {"address": row},
            lines=[_("A message of the type %(type)s is sent at once, and the answer is shown.") % {"type": TEST}],
            button=_("Send the test"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        message = delivering.send_test(row)
        if message.error:
            text = _("The test was not taken. %(problem)s") % {"problem": message.error}
            return self.answer(request, row, text, messages.ERROR)
        return self.answer(
            request, row, _("The test was taken: the answer was %(status)s.") % {"status": message.status}
        )

    @page_action(gettext_lazy("Change the secret"), icon="key", permission=CHANGE_ENDPOINT)
    def rotate_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Change the secret of %(address)s?") % {"address": row},
            lines=[
                _("The new secret is shown once. For 24 hours messages are signed with the old one, too."),
                _("Give the new one to the dialer within that time."),
            ],
            button=_("Change the secret"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        stored, secret = rotated(row.secret, timezone.now())
        DialerEndpoint.objects.filter(pk=row.pk).update(secret=stored)
        self._show_secret(request, secret)
        self.log_change(request, row, _("The secret was changed."))
        return redirect(page_url(row))

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(SEND_AGAIN)

    @page_action(gettext_lazy("Send all failed again"), icon="replay", permission=SEND_AGAIN)
    def send_failed_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Send everything again that was given up?"),
            lines=[_("The messages keep their ids, so a dialer that looks at them takes none twice.")],
            button=_("Send again"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        send_again(self, request, DialerMessage.objects.filter(endpoint=row.pk))
        return redirect(page_url(row))


class DialerMessageAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "Nothing was told to the dialer yet. Its webhooks are set up under “Webhooks to the dialer”."
    )
    list_display = (
        "event", STATE, "call", "endpoint", "attempts", "status", "short_problem",
        ago_column("created_at", gettext_lazy("created")),
    )  # fmt: skip
    list_filter = ("state", "event", ("endpoint", AutocompleteSelectFilter))
    list_select_related = ("endpoint",)
    exact_search = ("id", "about")
    search_help_text = gettext_lazy("Whole id of the message or of the call")
    ordering = ("-created_at", "-pk")
    actions = ("send_selected_again",)
    actions_detail = ("send_again",)
    content = staticmethod(code_column("payload", gettext_lazy("message")))
    fields: ClassVar[Any] = (
        ("event", STATE),
        "told",
        ("endpoint", "call"),
        ("attempts", "status"),
        "error",
        ("created_at", "not_before"),
        "finished_at",
        "content",
    )
    only_if_filled = ("told", "error", "finished_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("endpoint__secret")

    @admin.display(description=gettext_lazy("what it tells"))
    def told(self, row: DialerMessage) -> str:
        return str(EVENTS.get(row.event, ""))

    @admin.display(description=gettext_lazy("call"), ordering="about")
    def call(self, row: DialerMessage) -> str:
        return page_link(Call(pk=row.about), f"{str(row.about)[:8]}…") if row.about else NOTHING

    @admin.display(description=gettext_lazy("problem"))
    def short_problem(self, row: DialerMessage) -> str:
        return row.error[:120] or NOTHING

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(SEND_AGAIN)

    @admin.action(description=gettext_lazy("Send again"), permissions=["send_again"])
    def send_selected_again(self, request: HttpRequest, queryset: QuerySet[DialerMessage]) -> None:
        send_again(self, request, queryset)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered if row is not None and row.state == DialerMessage.State.DEAD and row.event != TEST else []

    @page_action(gettext_lazy("Send again"), icon="replay", permission=SEND_AGAIN)
    def send_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Send this message again?"),
            lines=[_("It keeps its id, so a dialer that looks at it takes it only once.")],
            button=_("Send again"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        send_again(self, request, DialerMessage.objects.filter(pk=row.pk))
        return redirect(page_url(row))


def send_again(page: AdminPage, request: HttpRequest, chosen: QuerySet[DialerMessage]) -> None:
    """Sends given up messages again and says how many; says so as well when there was none."""
    count = delivering.replay(chosen)
    if count:
        text = ngettext("%(count)d message is sent again.", "%(count)d messages are sent again.", count)
        page.message_user(request, text % {"count": count}, messages.SUCCESS)
    else:
        text = _("Nothing to send again: only given up messages are, to addresses that are switched on.")
        page.message_user(request, text, messages.INFO)
