"""Pages of a tenant's people: members with their roles, and invitations."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import audit, people
from integrations.access import may_change_in
from integrations.admin_base import AdminPage, Question, TenantScopedAdmin, page_action
from integrations.admin_forms import TenantForm
from integrations.admin_html import NOTHING, ago, ago_column, badge, page_url, shown_once
from integrations.models import Invitation, Membership, Role

CHANGE_MEMBER = "integrations.change_membership"
CHANGE_INVITATION = "integrations.change_invitation"
STATES = {"open": "info", "accepted": "good", "withdrawn": "muted", "expired": "warning"}
STATE_WORDS = {
    "open": gettext_lazy("Waiting for an answer"),
    "accepted": gettext_lazy("Accepted"),
    "withdrawn": gettext_lazy("Withdrawn"),
    "expired": gettext_lazy("Expired"),
}
ROLE_WORDS = {Role.ADMIN: gettext_lazy("Admin"), Role.VIEWER: gettext_lazy("Viewer")}
Change = Callable[[], None]


def role_badge(role: str) -> SafeString:
    return badge(ROLE_WORDS.get(Role(role), role), "info" if role == Role.ADMIN else "muted")


class MembershipAdmin(TenantScopedAdmin):
    list_display = (
        "user",
        "email",
        "role_words",
        "state",
        "last_login",
        ago_column("created_at", gettext_lazy("since")),
    )
    list_filter = ("role", "is_active")
    list_select_related = ("user",)
    search_fields = ("user__username__istartswith", "user__email__istartswith")
    search_help_text = gettext_lazy("Beginning of the user name or e-mail")
    fields = ("user", "role")
    autocomplete_fields = ("tenant", "user")
    actions_list: ClassVar[Any] = ("invite",)
    actions_detail: ClassVar[Any] = ("change_role", "suspend", "remove")

    @page_action(gettext_lazy("Invite somebody"), icon="person_add", permission=CHANGE_INVITATION)
    def invite(self, request: HttpRequest) -> HttpResponse:
        return redirect(page_url(Invitation, "add"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        own = super().get_readonly_fields(request, obj)
        return [*own, "person", "role_words", "email", "state", "last_login", "created_at"] if obj else own

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        self_ = super().get_fieldsets(request, obj)[0][1]["fields"]
        shown = [*(name for name in self_ if name == "tenant"), "person", "email", "role_words", "state", "last_login"]
        return [(None, {"fields": [*shown, "created_at"]})]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        nothing_to_save = {"show_save": False, "show_save_and_continue": False, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, nothing_to_save)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # "Remove" asks whether anybody is left to look after the tenant

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            people.settle(obj.user)

    # --- columns -------------------------------------------------------------------------------------------------

    def person(self, row: Membership) -> str:
        return str(row.user)

    def email(self, row: Membership) -> str:
        return str(row.user.email)

    def role_words(self, row: Membership) -> str:
        return role_badge(row.role)

    def state(self, row: Membership) -> str:
        if not row.user.is_active:
            return badge(_("Account switched off"), "bad")
        return badge(_("Active"), "good") if row.is_active else badge(_("Suspended"), "warning")

    def last_login(self, row: Membership) -> str:
        return ago(row.user.last_login, _("never"))

    person.short_description = gettext_lazy("user")  # type: ignore[attr-defined]
    email.short_description = gettext_lazy("e-mail")  # type: ignore[attr-defined]
    role_words.short_description = gettext_lazy("role")  # type: ignore[attr-defined]
    role_words.admin_order_field = "role"  # type: ignore[attr-defined]
    state.short_description = gettext_lazy("state")  # type: ignore[attr-defined]
    last_login.short_description = gettext_lazy("last log-in")  # type: ignore[attr-defined]
    last_login.admin_order_field = "user__last_login"  # type: ignore[attr-defined]

    # --- buttons -------------------------------------------------------------------------------------------------

    @page_action(gettext_lazy("Change role"), icon="manage_accounts", permission=CHANGE_MEMBER)
    def change_role(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        new = Role.VIEWER if row.role == Role.ADMIN else Role.ADMIN
        facts = {"person": row.user, "tenant": row.tenant}
        words = (
            _(
                "%(person)s then sees everything of %(tenant)s and changes nothing: no connections, mappings, keys or people."
            )
            if new == Role.VIEWER
            else _("%(person)s then sees and changes everything of %(tenant)s, and may invite and remove people.")
        )
        title = _("Make %(person)s a viewer?") if new == Role.VIEWER else _("Make %(person)s an admin?")
        question = Question(title % facts, [words % facts], _("Change the role"), danger=new == Role.ADMIN)
        details = f"{row.role} → {new.value}"
        return self._do(
            request, row, question, lambda: people.change_role(request.user, row, new), audit.ROLE_CHANGED, details
        )

    @page_action(gettext_lazy("Suspend or let back in"), icon="person_off", permission=CHANGE_MEMBER)
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        facts = {"person": row.user, "tenant": row.tenant}
        if row.is_active:
            lines = [
                _("From the next click on, %(person)s sees nothing of %(tenant)s.") % facts,
                _("The role is kept, and one click lets the person back in. Other tenants of theirs are not touched."),
            ]
            question = Question(_("Suspend %(person)s?") % facts, lines, _("Suspend"), danger=True)
            return self._do(request, row, question, lambda: people.suspend(request.user, row), audit.SUSPENDED)
        lines = [_("%(person)s sees %(tenant)s again, in the same role as before.") % facts]
        question = Question(_("Let %(person)s back in?") % facts, lines, _("Let back in"))
        return self._do(request, row, question, lambda: people.let_back(request.user, row), audit.LET_BACK)

    @page_action(gettext_lazy("Remove"), icon="person_remove", permission=CHANGE_MEMBER, danger=True)
    def remove(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        facts = {"person": row.user, "tenant": row.tenant}
        lines = [
            _("%(person)s is no member of %(tenant)s any more, from the next click on.") % facts,
            _("What the person did stays in the audit log. To let them back in, invite them again."),
        ]
        question = Question(_("Remove %(person)s from %(tenant)s?") % facts, lines, _("Remove"), danger=True)
        answer = self._do(request, row, question, lambda: people.remove(request.user, row), audit.REMOVED)
        gone = request.method == "POST" and not Membership.objects.filter(pk=row.pk).exists()
        return redirect(page_url(Membership, "changelist")) if gone else answer

    def _do(
        self, request: HttpRequest, row: Membership, question: Question, change: Change, action: str, details: str = ""
    ) -> HttpResponse:
        page = self.ask(request, row, question)
        if page:
            return page
        pk = row.pk
        try:
            change()
        except people.NotAllowed as refusal:
            return self.answer(request, row, str(refusal), messages.ERROR)
        audit.note(request, action, row, details)
        return self.answer(request, Membership(pk=pk), _("Done: %(what)s.") % {"what": question.button})


class InvitationForm(TenantForm):
    identity = ("tenant",)

    class Meta:
        model = Invitation
        fields = ("tenant", "email", "role")

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


class InvitationAdmin(TenantScopedAdmin):
    """To invite is to add one; afterwards it is sent again or withdrawn."""

    form = InvitationForm
    list_display = (
        "email",
        "role_words",
        "state",
        "inviter",
        ago_column("sent_at", gettext_lazy("sent")),
        "expires_at",
    )
    list_filter = ("role",)
    list_select_related = ("invited_by",)
    search_fields = ("email__istartswith",)
    search_help_text = gettext_lazy("Beginning of the e-mail")
    fields = ("email", "role")
    actions_detail = ("send_again", "withdraw")
    nothing_yet = gettext_lazy("Nobody is invited. “Add invitation” sends somebody a link to join you here.")

    def role_words(self, row: Invitation) -> str:
        return role_badge(row.role)

    def state(self, row: Invitation) -> str:
        return badge(STATE_WORDS[row.state], STATES[row.state])

    def inviter(self, row: Invitation) -> str:
        return str(row.invited_by or NOTHING)

    inviter.short_description = gettext_lazy("invited by")  # type: ignore[attr-defined]
    role_words.short_description = gettext_lazy("role")  # type: ignore[attr-defined]
    state.short_description = gettext_lazy("state")  # type: ignore[attr-defined]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("nonce")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        own = super().get_readonly_fields(request, obj)
        return [*own, "email", "role_words", "state", "inviter", "sent_at", "expires_at", "accepted_at"] if obj else own

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        fields = [*(("tenant",) if "tenant" in super().get_fieldsets(request, obj)[0][1]["fields"] else ())]
        shown = ["email", "role_words", "state", "inviter", "sent_at", "expires_at", "accepted_at"]
        return [(None, {"fields": [*fields, *shown]})]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        nothing_to_save = {"show_save": False, "show_save_and_continue": False, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, nothing_to_save)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"role": Role.VIEWER}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            return
        made = people.invite(request.user, obj.tenant, obj.email, obj.role)
        obj.pk, obj.nonce, obj.expires_at = made.pk, made.nonce, made.expires_at
        self._send(request, made)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        audit.note(request, audit.INVITED, obj, f"{obj.email}: {obj.role}")
        return super(AdminPage, self).log_addition(request, obj, message)

    def _send(self, request: HttpRequest, row: Invitation) -> None:
        words = (
            _(
                "The invitation is on its way to %(email)s. If it doesn't arrive, pass on this link, which is shown once:"
            )
            if people.send(row)
            else _("No e-mail could be sent to %(email)s. Pass on this link yourself, it is shown once:")
        )
        self.message_user(
            request,
            format_html("{} {}", words % {"email": row.email}, shown_once(people.link_of(row))),
            messages.WARNING,
        )

    @page_action(gettext_lazy("Send again"), icon="forward_to_inbox", permission=CHANGE_INVITATION)
    def send_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        lines = [
            _("%(email)s gets a new link, good for a week.") % {"email": row.email},
            _("The link that was sent before is worth nothing from then on."),
        ]
        page = self.ask(request, row, Question(_("Send the invitation again?"), lines, _("Send again")))
        if page:
            return page
        if not may_change_in(request.user, row.tenant_id):
            return self.answer(request, row, _("Only an admin of this tenant can do this."), messages.ERROR)
        try:
            people.renew(row)
        except people.NotAllowed as refusal:
            return self.answer(request, row, str(refusal), messages.ERROR)
        self._send(request, row)
        audit.note(request, audit.RESENT, row)
        return redirect(page_url(row))

    @page_action(gettext_lazy("Withdraw"), icon="cancel_schedule_send", permission=CHANGE_INVITATION, danger=True)
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            _("Withdraw the invitation of %(email)s?") % {"email": row.email},
            [_("The link stops working at once. The person can be invited again at any time.")],
            _("Withdraw"),
            danger=True,
        )
        page = self.ask(request, row, question)
        if page:
            return page
        if not people.withdraw(row):
            return self.answer(request, row, _("It was over before."), messages.INFO)
        audit.note(request, audit.WITHDRAWN, row)
        return self.answer(request, row, _("The invitation is withdrawn."))
