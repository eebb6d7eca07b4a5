"""The forms that connect a CRM, made from what each provider says of its credentials and its consent page.

Secrets go in and never come back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import only_tenant_id
from integrations.admin_forms import DatalistInput, PasswordInput, SecretText, Select, TextInput
from integrations.admin_html import spaced
from integrations.models import CrmConnection, Tenant
from integrations.registry import PROVIDERS, provider_class

if TYPE_CHECKING:
    from django.forms import CheckboxInput
else:
    from unfold.widgets import UnfoldBooleanWidget as CheckboxInput


@dataclass(frozen=True, slots=True)
class Key:
    """How one part of a credential is asked for. `kind`: secret, text, or lines for a secret of several lines."""

    label: Any
    kind: str = "secret"
    help: Any = ""
    optional_help: bool = False
    """The help speaks of leaving it out, so it is shown only where that is possible."""


KEYS: dict[str, Key] = {
    "access_token": Key(gettext_lazy("Access token")),
    "refresh_token": Key(gettext_lazy("Refresh token")),
    "api_key": Key(gettext_lazy("API key")),
    "private_key": Key(
        gettext_lazy("Private key"), "lines", gettext_lazy("In PEM form, from -----BEGIN to the end of the last line.")
    ),
    "client_id": Key(
        gettext_lazy("Client id"),
        "text",
        gettext_lazy("Of your own app; empty: the app of this installation."),
        optional_help=True,
    ),
    "client_secret": Key(gettext_lazy("Client secret")),
    "username": Key(gettext_lazy("User name"), "text", gettext_lazy("The integration user's, in the CRM.")),
    "instance_url": Key(gettext_lazy("Instance address"), "text", gettext_lazy("Such as https://acme.my.example.com.")),
    "login_url": Key(gettext_lazy("Login address"), "text", gettext_lazy("Only if it isn't the CRM's usual one.")),
    "audience": Key(gettext_lazy("Audience"), "text", gettext_lazy("Only if it isn't the CRM's usual one.")),
    "webhook_secret": Key(
        gettext_lazy("Webhook secret"),
        "secret",
        gettext_lazy("If the CRM signs its notifications with one of its own."),
    ),
}
OPTIONAL: dict[str, tuple[str, ...]] = {
    "oauth": ("instance_url", "client_id", "client_secret"),
    "jwt": ("login_url", "audience"),
}
"""What may be added to a kind of credential; whatever a provider doesn't use it leaves alone."""
ADDRESS = "instance_url"
SETTINGS = ("webhook_secret",)
"""Parts that are settings of the connection rather than of its credential."""

CONSENT = "consent"
"""The kind of credential that the CRM's own page gives."""
OWN_APP = ("client_id", "client_secret")
LOGIN_ADDRESSES = ((gettext_lazy("Production"), "LOGIN_URL"), (gettext_lazy("Sandbox"), "TEST_LOGIN_URL"))
"""Where people usually log in, by the setting that names it behind the CRM's name."""

KINDS: dict[str, tuple[Any, Any]] = {
    CONSENT: (
        gettext_lazy("Log in and approve"),
        gettext_lazy("You log in to the CRM and approve our access on its own page. Nothing has to be copied."),
    ),
    "private_app": (
        gettext_lazy("Private app"),
        gettext_lazy("An access token that an administrator made in the CRM for this one account."),
    ),
    "api_key": (
        gettext_lazy("API key"),
        gettext_lazy("A user's key. We see what that user sees, so take an owner's or an administrator's."),
    ),
    "oauth": (gettext_lazy("OAuth tokens"), gettext_lazy("Tokens that an app was given when somebody approved it.")),
    "jwt": (
        gettext_lazy("Server to server"),
        gettext_lazy("An integration user, and the private key of a certificate that the app trusts."),
    ),
}


def kinds_of(slug: str) -> Iterator[tuple[str, Any, Any]]:
    """(name, label, explanation) of each kind of credential that the CRM takes."""
    provider = provider_class(slug)
    for auth in (*([CONSENT] if provider.has_consent_page else []), *provider.credential_forms):
        yield auth, kind_name(auth), KINDS[auth][1] if auth in KINDS else ""


def kind_name(auth: str) -> str:
    return str(KINDS[auth][0]) if auth in KINDS else spaced(auth)


def secret_name(name: str) -> str:
    """A part of a credential as its form calls it."""
    return str(KEYS[name].label) if name in KEYS else spaced(name)


def is_offered(slug: str, auth: str) -> bool:
    return slug in PROVIDERS and any(auth == name for name, _label, _text in kinds_of(slug))


class OwnerForm(forms.Form):
    """For whom. `tenant` is asked only of people who work for several, the other account only where there was one before."""

    tenant = forms.ModelChoiceField(queryset=Tenant.objects.none(), label=gettext_lazy("Tenant"), widget=Select())
    replace_account = forms.BooleanField(required=False, widget=CheckboxInput())

    def __init__(self, slug: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.slug = slug
        if only_tenant_id():
            del self.fields["tenant"]
        else:
            self.fields["tenant"].queryset = Tenant.objects.filter(is_active=True)  # type: ignore[attr-defined]
        self._offer_replacing()

    def _offer_replacing(self) -> None:
        named = only_tenant_id() or self.data.get("tenant") or self.initial.get("tenant")
        try:
            former = former_account(self.slug, str(named)) if named else None
        except ValidationError:
            former = None
        if former is None:
            del self.fields["replace_account"]
            return
        account = {"account": former.account_name or former.account_id}
        self.fields["replace_account"].label = _("Connect another account than %(account)s") % account
        self.fields["replace_account"].help_text = (
            _(
                "This connection belonged to %(account)s. With another account its links to that account's records are forgotten, "
                "and work that still waits for them is laid aside."
            )
            % account
        )

    def owner(self) -> Tenant:
        # Somebody with one tenant sees no other, so there is exactly one to get.
        found: Tenant = self.cleaned_data.get("tenant") or Tenant.objects.get()
        return found

    @property
    def replaces(self) -> bool:
        return bool(self.cleaned_data.get("replace_account"))


def former_account(slug: str, tenant_id: str) -> CrmConnection | None:
    """A connection that has ended and still knows whose it was."""
    ended = CrmConnection.objects.filter(provider=slug, tenant_id=tenant_id, status=CrmConnection.Status.DISCONNECTED)
    found: CrmConnection | None = ended.exclude(account_id="").only("account_id", "account_name").first()
    return found


class ConsentForm(OwnerForm):
    """What a person may say before they go to the CRM's consent page."""

    def __init__(self, slug: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(slug, *args, **kwargs)
        for key in provider_class(slug).consent_options:
            self.fields[key] = _field(key, required=False)
        if "login_url" in self.fields:
            self.fields["login_url"].widget = DatalistInput(_login_addresses(slug), attrs={"spellcheck": "false"})
            self.fields["login_url"].help_text = _(
                "Empty: the usual one. Name it for a sandbox, or if your company has an address of its own for logging in."
            )
        if "client_secret" in self.fields:
            self.fields["client_secret"].help_text = _("Of your own app.")

    @property
    def own_app(self) -> list[forms.BoundField]:
        return [self[key] for key in OWN_APP if key in self.fields]

    @property
    def own_app_open(self) -> bool:
        return any(field.errors or field.value() for field in self.own_app)

    @property
    def others(self) -> list[forms.BoundField]:
        return [one for one in self if one.name not in OWN_APP]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("client_secret") and not data.get("client_id"):
            self.add_error("client_id", _("A client secret belongs to a client id."))
        return data

    def options(self) -> dict[str, str]:
        return {key: self.cleaned_data[key] for key in provider_class(self.slug).consent_options}


def _login_addresses(slug: str) -> list[tuple[str, str]]:
    named = [(getattr(settings, f"{slug.upper()}_{name}", ""), str(label)) for label, name in LOGIN_ADDRESSES]
    return [(address, label) for address, label in named if address]


class ConnectForm(OwnerForm):
    """One CRM and one kind of credential."""

    def __init__(self, slug: str, auth: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(slug, *args, **kwargs)
        self.auth = auth
        provider = provider_class(slug)
        self.choices = [part.split("|") for part in provider.credential_forms[auth]]
        needed = [key for group in self.choices for key in group]
        for group in self.choices:
            for key in group:
                self.fields[key] = _field(key, required=len(group) == 1)
        besides = () if provider.has_account_addresses else (ADDRESS,)
        for key in (*OPTIONAL.get(auth, ()), *SETTINGS):
            if key not in (*needed, *besides):
                self.fields[key] = _field(key, required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for group in self.choices:
            if len(group) > 1 and not any(data.get(key) for key in group):
                names = _(" or ").join(str(self.fields[key].label) for key in group)
                self.add_error(group[0], _("One of these is needed: %(names)s.") % {"names": names})
        return data

    def credential(self) -> dict[str, Any]:
        """What was filled in, as `connecting.connect` takes it."""
        given = {key: value for key, value in self.cleaned_data.items() if key not in OwnerForm.base_fields and value}
        settings = {key: given.pop(key) for key in SETTINGS if key in given}
        return {"auth": self.auth, **given, "settings": settings}


def _field(key: str, *, required: bool) -> forms.CharField:
    known = KEYS.get(key, Key(key.replace("_", " ").capitalize()))
    attrs = {"autocomplete": "off", "spellcheck": "false"}
    widget: forms.Widget = TextInput(attrs=attrs)
    if known.kind == "lines":
        widget = SecretText(attrs={**attrs, "rows": 6})
    elif known.kind == "secret":
        widget = PasswordInput(attrs={**attrs, "autocomplete": "new-password"})
    help_text = "" if required and known.optional_help else known.help
    return forms.CharField(label=known.label, help_text=help_text, required=required, widget=widget, max_length=20_000)
