"""Pages for people who aren't signed in: accepting an invitation, and getting a new password. And their own: the profile.

None of them tells whether somebody has an account: who asks for a password hears the same either way, and an invitation's page
opens only for whoever holds its link.
"""

from smtplib import SMTPException
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import login, views
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from integrations import audit, people, sign_in, tenancy
from integrations.admin_forms import DatalistInput, PasswordInput, TextInput
from integrations.admin_html import zone_name
from integrations.models import Invitation

if TYPE_CHECKING:
    from django.contrib.auth.forms import SetPasswordForm

    PasswordForm: TypeAlias = SetPasswordForm[User]
else:
    from django.contrib.auth.forms import SetPasswordForm as PasswordForm

CHOSEN_ZONE = "timezone"
"""The cookie that holds it."""
A_YEAR = 365 * 24 * 3600
BACKEND = "django.contrib.auth.backends.ModelBackend"
HIDDEN = {"X-Robots-Tag": "noindex"}
"""For pages whose address is a secret. Their form needs the browser's origin, which `no-referrer` would take from it; the policy
for all pages tells the address to no other site."""


class NewPassword(PasswordForm):
    """Django's rules for passwords, in our look."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("new_password1", "new_password2"):
            self.fields[name].widget = PasswordInput(attrs={"autocomplete": "new-password"})


class AskForPassword(PasswordResetForm):
    """An e-mail that can't be sent is not told either: else the page would say who has an account."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].widget = TextInput(attrs={"autocomplete": "email", "type": "email"})

    def send_mail(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().send_mail(*args, **kwargs)
        except (OSError, SMTPException) as error:
            people.log.warning("A new password could not be sent: %s", type(error).__name__)


class ZoneForm(forms.Form):
    zone = forms.CharField(
        label=gettext_lazy("Time zone"),
        required=False,
        max_length=63,
        help_text=gettext_lazy("Leave it empty to follow the browser."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["zone"].widget = DatalistInput([(name, "") for name in sorted(available_timezones())])

    def clean_zone(self) -> str:
        zone = str(self.cleaned_data["zone"])
        if zone and zone not in available_timezones():
            raise forms.ValidationError(_("There is no such time zone. Choose one of the list, such as Europe/Berlin."))
        return zone


# --- invitations ----------------------------------------------------------------------------------------------------


@never_cache
@sensitive_post_parameters()
def join(request: HttpRequest, token: str) -> HttpResponse:
    """Whoever holds the link chooses a password; somebody who has an account signs in and says yes."""
    invitation = people.opened(token)
    if invitation is None:
        return _over(request)
    account = people.account_of(invitation)
    if account is None:
        return _new_account(request, invitation)
    if request.user.pk != account.pk:
        return _sign_in_first(request, invitation)
    if request.method != "POST":
        return _page(
            request,
            _("Join %(tenant)s") % {"tenant": invitation.tenant},
            [_("You are signed in as %(person)s.") % {"person": account}, _role_line(invitation)],
            button=_("Join"),
        )
    return _joined(request, invitation, account)


def _new_account(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    form = NewPassword(User(username=invitation.email, email=invitation.email), request.POST or None)
    if request.method == "POST" and form.is_valid():
        return _joined(request, invitation, None, form.cleaned_data["new_password1"])
    lines = [_role_line(invitation), _("Your user name is %(name)s. Choose a password.") % {"name": invitation.email}]
    title = _("Join %(tenant)s") % {"tenant": invitation.tenant}
    return _page(request, title, lines, form=form, button=_("Join"))


def _joined(request: HttpRequest, invitation: Invitation, account: User | None, password: str = "") -> HttpResponse:
    try:
        user = people.accept(invitation, account, password)
    except people.NotAllowed:
        return _over(request)
    audit.note(request, audit.JOINED, invitation, invitation.role, user=user)
    if request.user.pk != user.pk:
        login(request, user, backend=BACKEND)
    messages.success(request, _("Welcome to %(tenant)s.") % {"tenant": invitation.tenant})
    return redirect("admin:index")


def _sign_in_first(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    lines = [
        _("This invitation is for %(email)s, and you are signed in as %(person)s.")
        % {"email": invitation.email, "person": request.user},
        _("Log out, then open the link again."),
    ]
    return _page(
        request, _("This invitation is for somebody else"), lines, way=(reverse("admin:index"), _("To the first page"))
    )


def _over(request: HttpRequest) -> HttpResponse:
    lines = [
        _("It was used, withdrawn, sent again with another link, or it is older than a week."),
        _("Ask whoever invited you for a new one. If you have joined already, log in."),
    ]
    page = _page(request, _("This invitation is over"), lines, way=(reverse("admin:login"), _("Log in")))
    page.status_code = 410
    return page


def _role_line(invitation: Invitation) -> str:
    return str(invitation.get_role_display())


def _page(request: HttpRequest, title: str, lines: list[str], **context: Any) -> TemplateResponse:
    common = {**admin.site.each_context(request), "title": title, "lines": lines, "form": None}
    return TemplateResponse(request, "people/plain.html", {**common, **context}, headers=HIDDEN)


# --- passwords ------------------------------------------------------------------------------------------------------


class _Plain:
    """Mixed into Django's views: our look."""

    template_name: Any = "people/plain.html"
    words: Any = ""
    lines: tuple[Any, ...] = ()
    button: Any = ""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        own = {"title": self.words, "lines": self.lines, "button": self.button}
        way = (reverse("admin:login"), _("Back to the log-in"))
        return {**admin.site.each_context(self.request), **context, **own, "way": way}  # type: ignore[attr-defined]


class ResetPassword(_Plain, views.PasswordResetView):
    form_class = AskForPassword
    success_url = reverse_lazy("password_reset_done")
    subject_template_name = "registration/password_reset_subject.txt"
    words = gettext_lazy("A new password")
    lines = (gettext_lazy("Say the e-mail address of your account. You get a link to choose a new password."),)
    button = gettext_lazy("Send the link")

    def form_valid(self, form: Any) -> HttpResponse:
        """Who asks again and again is told the same, and nothing is sent: the page must fill nobody's mailbox."""
        if sign_in.may_ask_for_password(self.request, form.cleaned_data["email"]):
            return super().form_valid(form)
        return redirect(str(self.get_success_url()))

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.extra_email_context = {"base": settings.PUBLIC_URL}


class ResetSent(_Plain, views.PasswordResetDoneView):
    words = gettext_lazy("Look into your mail")
    lines = (
        gettext_lazy("If there is an account with this address, a link is on its way. It works once, for three days."),
        gettext_lazy("Nothing arrives? Look into the spam folder, or ask an admin of your tenant to invite you again."),
    )


@method_decorator(sensitive_post_parameters(), name="dispatch")
class ChoosePassword(_Plain, views.PasswordResetConfirmView):
    form_class = NewPassword
    success_url = reverse_lazy("password_reset_complete")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        if self.validlink:
            return {**context, "title": _("Choose a new password"), "button": _("Save the password")}
        lines = [_("It was used before, or it is older than three days.")]
        way = (reverse("admin_password_reset"), _("Ask for a new link"))
        return {**context, "title": _("This link is over"), "lines": lines, "form": None, "way": way}

    def form_valid(self, form: Any) -> HttpResponse:
        audit.note(self.request, audit.PASSWORD_RESET, user=form.user)
        sign_in.forgive(self.request, form.user.get_username())
        return super().form_valid(form)


class PasswordChosen(_Plain, views.PasswordResetCompleteView):
    words = gettext_lazy("The password is changed")
    lines = (gettext_lazy("Log in with it."),)


# --- the profile ----------------------------------------------------------------------------------------------------


@admin.site.admin_view
def profile(request: HttpRequest) -> HttpResponse:
    """Who one is, where one may go, and the time zone of this browser."""
    form = ZoneForm(request.POST or None, initial={"zone": request.COOKIES.get(CHOSEN_ZONE, "")})
    if request.method == "POST" and form.is_valid():
        answer = redirect("profile")
        _remember(answer, form.cleaned_data["zone"])
        messages.success(request, _("Saved. Times are shown in this zone from now on."))
        return answer
    with tenancy.everyone():
        tenants = [
            (one.tenant, one.get_role_display())
            for one in request.user.memberships.filter(is_active=True).select_related("tenant")  # type: ignore[union-attr]
        ]
    context = {
        **admin.site.each_context(request),
        "title": _("Your profile"),
        "form": form,
        "zone": zone_name(),
        "tenants": tenants,
    }
    return TemplateResponse(request, "people/profile.html", context)


def _remember(answer: HttpResponse, zone: str) -> None:
    if not zone:
        answer.delete_cookie(CHOSEN_ZONE)
        return
    secure = settings.SESSION_COOKIE_SECURE
    answer.set_cookie(CHOSEN_ZONE, zone, max_age=A_YEAR, samesite="Lax", httponly=True, secure=secure)
