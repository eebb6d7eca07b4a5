"""The page of a tenant's call settings: calls that nobody knows, where recordings are, and how long things are kept.

A tenant has one such row at most, made when somebody first decides something. Secrets are written here and never shown again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.validators import MaxValueValidator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from activities import storage
from activities.admin_recordings import runs_panel
from activities.models import Call, CallSettings
from integrations.admin_base import Panel, Question, page_action
from integrations.admin_forms import PasswordInput, Select, TenantForm, TextInput
from integrations.admin_html import ago_column
from integrations.admin_own_settings import OwnSettingsAdmin
from integrations.fields import WrongKey
from integrations.outside import AddressRefused, NoAnswer, check_address, fetch, place_of

CHANGE = "activities.change_callsettings"
OPTIONS = ("endpoint", "region", "bucket", "addressing", "signer_url")
SECRETS = ("access_key_id", "secret_access_key", "signer_secret")
NEEDED: Mapping[str, tuple[str, ...]] = {
    CallSettings.Storage.S3: ("bucket", "access_key_id", "secret_access_key"),
    CallSettings.Storage.SIGNER: ("signer_url", "signer_secret"),
}
LONGEST_KEPT = 36_500
LARGEST_PROOF = 1024
BUCKET = gettext_lazy("A bucket that speaks S3")
SIGNER = gettext_lazy("The dialer's signer")


def _text(label: Any, text: Any = "", widget: Any = None) -> forms.CharField:
    return forms.CharField(
        label=label,
        help_text=text,
        required=False,
        max_length=500,
        widget=widget or TextInput(attrs={"autocomplete": "off"}),
    )


def _secret(label: Any, text: Any = "") -> forms.CharField:
    return _text(label, text, PasswordInput(attrs={"autocomplete": "new-password"}))


class CallSettingsForm(TenantForm):
    endpoint = _text(gettext_lazy("Endpoint"), gettext_lazy("https://… of a store that speaks S3; empty: Amazon's."))
    region = _text(gettext_lazy("Region"), gettext_lazy("Such as eu-central-1; empty: us-east-1."))
    bucket = _text(gettext_lazy("Bucket"))
    addressing = forms.ChoiceField(
        label=gettext_lazy("The bucket's name stands"),
        choices=[
            ("", gettext_lazy("as usual there")),
            ("path", gettext_lazy("in the path")),
            ("virtual", gettext_lazy("in the host")),
        ],
        required=False,
        widget=Select(),
    )
    access_key_id = _secret(gettext_lazy("Access key id"))
    secret_access_key = _secret(gettext_lazy("Secret access key"))
    signer_url = _text(
        gettext_lazy("Signer's address"),
        gettext_lazy('We post {"url": …} there for each play, signed; it answers {"url": "https://…"}.'),
    )
    signer_secret = _secret(
        gettext_lazy("Signer's secret"), gettext_lazy("Requests are signed with it in the form of Standard Webhooks.")
    )

    class Meta:
        model = CallSettings
        fields = (
            "tenant", "unknown_outbound", "unknown_inbound", "recording_storage", "link_seconds", "recordings_kept_days",
            "texts_kept_days", "forget_in_crms",
        )  # fmt: skip
        help_texts: ClassVar[dict[str, Any]] = {
            "forget_in_crms": gettext_lazy(
                "Notes that are forgotten here are taken out of the CRMs' activities too. Otherwise they stay there: what comes "
                "later of such a call is written beside them, and only a stage that brings texts of its own replaces the note."
            )
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held = _held(self.instance)
        for name in OPTIONS:
            if name in self.fields:
                self.initial.setdefault(name, self.instance.recording_settings.get(name, ""))
        for name in SECRETS:
            if name in self.fields and self.held.get(name):
                self.fields[name].help_text = _("One is stored. Empty: it stays.")
        for name, most in (
            ("link_seconds", storage.LONGEST_LINK),
            ("recordings_kept_days", LONGEST_KEPT),
            ("texts_kept_days", LONGEST_KEPT),
        ):
            if name in self.fields:
                self.fields[name].validators.append(MaxValueValidator(most))

    def clean_endpoint(self) -> str:
        address = str(self.cleaned_data["endpoint"]).rstrip("/")
        if address:
            _checked(place_of, address)
        return address

    def clean_signer_url(self) -> str:
        address = str(self.cleaned_data["signer_url"])
        if address:
            _checked(check_address, address)
        return address

    def clean_recordings_kept_days(self) -> int | None:
        return self._days("recordings_kept_days")

    def clean_texts_kept_days(self) -> int | None:
        return self._days("texts_kept_days")

    def _days(self, name: str) -> int | None:
        """Nought would forget calls that have not reached the CRMs yet."""
        days: int | None = self.cleaned_data[name]
        if days is not None and days < 1:
            raise forms.ValidationError(_("At least one day; empty to keep them for ever."))
        return days

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        known = {**self.held, **{name: value for name, value in data.items() if value}}
        for name in NEEDED.get(data.get("recording_storage", ""), ()):
            if not known.get(name) and name in self.fields and name not in self.errors:
                self.add_error(name, _("This storage needs it."))
        return data

    def save(self, commit: bool = True) -> Any:
        data = self.cleaned_data
        options = {name: data.get(name, "") for name in OPTIONS if data.get(name)}
        fresh = {name: data[name] for name in SECRETS if data.get(name)}
        self.instance.recording_settings = options
        if fresh:
            self.instance.recording_secrets = {**self.held, **fresh}
        return super().save(commit)


def _held(row: CallSettings) -> dict[str, Any]:
    """The stored secrets, none when they can't be read any more."""
    try:
        return dict(row.recording_secrets or {})
    except WrongKey:
        return {}


def _checked(check: Any, address: str) -> None:
    try:
        check(address)
    except AddressRefused as error:
        raise forms.ValidationError(str(error)) from error


class CallSettingsAdmin(OwnSettingsAdmin):
    nothing_yet = gettext_lazy(
        "The usual settings hold for all calls, their notes and recordings until somebody saves others."
    )
    form = CallSettingsForm
    list_display = (
        "summary", "recording_storage", "recordings_kept_days", "texts_kept_days",
        ago_column("updated_at", gettext_lazy("changed")),
    )  # fmt: skip
    actions_detail: ClassVar[Any] = ("test_storage",)
    fieldsets = (
        (
            gettext_lazy("Calls that nobody knows"),
            {"fields": ("unknown_outbound", "unknown_inbound")},
        ),
        (
            gettext_lazy("Recordings"),
            {
                "fields": ("recording_storage", "link_seconds"),
                "description": gettext_lazy(
                    "The CRMs hold a link to us that stays good. Each play is checked, noted, and led to an "
                    "address that works for a while."
                ),
            },
        ),
        (
            BUCKET,
            {"fields": (("endpoint", "region"), ("bucket", "addressing"), ("access_key_id", "secret_access_key"))},
        ),
        (SIGNER, {"fields": ("signer_url", "signer_secret")}),
        (
            gettext_lazy("How long things are kept"),
            {
                "fields": (("recordings_kept_days", "texts_kept_days"), "forget_in_crms"),
                "description": gettext_lazy(
                    "Every night, by the time of the call. Of a recording the way to it is forgotten here: the "
                    "file itself lies in your storage, "
                    "and the link in the CRM then leads to a page that says so. Notes, summaries, key points "
                    "and next steps are emptied here; "
                    "in the CRMs they stay unless you choose so below, or the dialer changes the call later. "
                    "What is forgotten can't be "
                    "brought back."
                ),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("recording_secrets")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may only look sees the columns; what the form makes of them needs the form."""
        own = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return own
        return [one for one in own if one[0] not in (BUCKET, SIGNER)]

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        return [runs_panel(row.tenant_id)]

    @page_action(gettext_lazy("Test the storage"), icon="play_circle", permission=CHANGE)
    def test_storage(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: CallSettings = self.found(request, object_id)
        question = Question(
            title=_("Test the storage of recordings?"),
            lines=[
                _(
                    "We take the newest call with a recording, sign its address as for a play, and ask for the first byte."
                ),
                _("Nothing is changed, and it is not counted as a play."),
            ],
            button=_("Test it"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        text, level = _tested(row)
        return self.answer(request, row, text, level)


def _tested(row: CallSettings) -> tuple[str, int]:
    """What a play would meet now, in a sentence."""
    newest = Call.objects.filter(tenant_id=row.tenant_id).exclude(recording_url="").order_by("-created_at").first()
    if newest is None:
        return _("No call has a recording yet. Post one with its recording_url, then test again."), messages.WARNING
    try:
        address = storage.playable(storage.storage_of(row.tenant_id), newest.recording_url, newest.pk)
        answer = fetch("GET", address, headers={"Range": "bytes=0-0"}, most=LARGEST_PROOF)
    except (storage.StorageProblem, AddressRefused, NoAnswer) as error:
        return _("It does not work: %(problem)s") % {"problem": error}, messages.ERROR
    if answer.status in {200, 206}:
        return _("It works: the newest recording can be played."), messages.SUCCESS
    known = {
        401: _("the storage does not accept the keys"),
        403: _("the storage does not accept the keys, or they may not read this recording"),
        404: _("the storage has no such recording"),
    }
    why = known.get(answer.status, _("the storage answered with status %(status)d") % {"status": answer.status})
    return _("It does not work: %(problem)s.") % {"problem": why}, messages.ERROR
