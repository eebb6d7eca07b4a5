"""The form that connects a CRM, made from what each provider says its credentials need. Secrets go in and never come back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import only_tenant_id
from integrations.admin_forms import PasswordInput, SecretText, Select, TextInput
from integrations.models import Tenant
from integrations.registry import PROVIDERS, provider_class


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
SETTINGS = ("webhook_secret",)
"""Parts that are settings of the connection rather than of its credential."""

KINDS: dict[str, tuple[Any, Any]] = {
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
    for auth in provider_class(slug).credential_forms:
        label, text = KINDS.get(auth, (auth.replace("_", " ").capitalize(), ""))
        yield auth, label, text


def is_offered(slug: str, auth: str) -> bool:
    return slug in PROVIDERS and auth in provider_class(slug).credential_forms


class ConnectForm(forms.Form):
    """One CRM and one kind of credential. `tenant` is asked only of people who work for several."""

    tenant = forms.ModelChoiceField(queryset=Tenant.objects.none(), label=gettext_lazy("Tenant"), widget=Select())

    def __init__(self, slug: str, auth: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.slug, self.auth = slug, auth
        if only_tenant_id():
            del self.fields["tenant"]
        else:
            self.fields["tenant"].queryset = Tenant.objects.filter(is_active=True)  # type: ignore[attr-defined]
        self.choices = [part.split("|") for part in provider_class(slug).credential_forms[auth]]
        needed = [key for group in self.choices for key in group]
        for group in self.choices:
            for key in group:
                self.fields[key] = _field(key, required=len(group) == 1)
        for key in (*OPTIONAL.get(auth, ()), *SETTINGS):
            if key not in needed:
                self.fields[key] = _field(key, required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for group in self.choices:
            if len(group) > 1 and not any(data.get(key) for key in group):
                names = _(" or ").join(str(self.fields[key].label) for key in group)
                self.add_error(group[0], _("One of these is needed: %(names)s.") % {"names": names})
        return data

    def owner(self) -> Tenant:
        # Somebody with one tenant sees no other, so there is exactly one to get.
        found: Tenant = self.cleaned_data.get("tenant") or Tenant.objects.get()
        return found

    def credential(self) -> dict[str, Any]:
        """What was filled in, as `connecting.connect` takes it."""
        given = {key: value for key, value in self.cleaned_data.items() if key != "tenant" and value}
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
