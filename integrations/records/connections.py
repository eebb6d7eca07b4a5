"""Who we are to a CRM: the credential, the consent that it came from, and what it turned out to be allowed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

SHORTEST_SECRET = 8
SECRET_WORDS = ("secret", "password", "key", "token")
"""Parts of a credential whose name holds one of these are never shown; a client id or a user name may be."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a credential belongs to on the CRM's side."""

    external_id: str
    name: str
    user: str = ""
    url: str = ""
    warnings: tuple[str, ...] = ()
    """Sentences about rights that will make the sync incomplete, each with what to click."""


@dataclass(frozen=True, slots=True)
class OAuthApp:
    """The app that a person gives their consent to: the tenant's own, or this installation's."""

    client_id: str
    client_secret: str = field(default="", repr=False)
    login_url: str = ""
    """The log-in host, where the CRM has several."""
    own: bool = False
    """Whether it is the tenant's own, to be kept with the credential."""


@dataclass(frozen=True, slots=True)
class Consent:
    """One trip of a person to the CRM's consent page and back."""

    app: OAuthApp
    redirect_uri: str
    state: str = field(repr=False)
    verifier: str = field(default="", repr=False)
    """PKCE: 43 to 128 characters of the unreserved set, never shown to the browser."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a connection signs its requests with, decrypted. Never log it: `repr` hides every part."""

    auth: str = field(repr=False)
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    instance_url: str = field(default="", repr=False)
    expires_at: datetime | None = field(default=None, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Whatever else the kind of credential needs: client id and secret, user name, private key."""
    scopes: tuple[str, ...] = ()
    """What the person consented to, where the CRM says so."""

    def hidden_texts(self) -> list[str]:
        """Every text that must never be shown. Short ones are left out: they would blank words of a sentence."""
        kept = (value for name, value in self.secrets.items() if any(word in name for word in SECRET_WORDS))
        texts = (self.access_token, self.refresh_token, *kept)
        return [text for text in texts if len(text) >= SHORTEST_SECRET]


@dataclass(frozen=True, slots=True)
class Connection:
    """What a provider may know of the connection that it serves: nothing secret, nothing of our database."""

    id: str
    tenant_id: str
    account_id: str = ""
    instance_url: str = ""
    region: str = "US"
    timezone: str = "UTC"
    settings: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What `prepare()` found out about the account, kept between runs."""
    webhook_secret: str = field(default="", repr=False)
    """A secret of this connection alone, always the same, for services that prove themselves with a secret that we choose."""


@dataclass(frozen=True, slots=True)
class CrmUser:
    """Somebody who works in the CRM and may own records."""

    id: str
    email: str
    name: str = ""
    active: bool = True


class Severity(StrEnum):
    BLOCKING = "blocking"
    """Something people rely on does not work."""
    WARNING = "warning"
    """It works, but not for all records or fields."""
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a permission check found: what is wrong with what, and what the CRM's administrator has to click."""

    code: str
    """Stable word: missing_scope, object_hidden, not_creatable, field_hidden, field_missing, …"""
    subject: str
    """The scope, object or field."""
    message: str
    remedy: str
    severity: Severity = Severity.WARNING
