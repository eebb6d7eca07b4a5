"""Credentials: reading, signing with, renewing and revoking them, and the consent of a person in the browser."""

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from integrations import errors
from integrations.contract.facts import Facts
from integrations.contract.ports import TokenCall
from integrations.records.connections import Consent, Credential, OAuthApp


class Access(Facts):
    """Needs no connection: there is none yet."""

    @classmethod
    def parse_credential(cls, data: Mapping[str, Any]) -> Credential:
        """Reads the JSON form of a credential. Raises FixConfig that lists every missing or unknown key."""
        auth = str(data.get("auth", ""))
        if auth not in cls.credential_forms:
            forms = ", ".join(sorted(cls.credential_forms))
            raise errors.FixConfig(f'{cls.label} takes "auth" as one of: {forms}. Got {auth or "nothing"}.')
        missing = [
            key.replace("|", " or ")
            for key in cls.credential_forms[auth]
            if not any(data.get(part) for part in key.split("|"))
        ]
        if missing:
            raise errors.FixConfig(f"A {cls.label} credential of kind {auth} also needs: {', '.join(missing)}.")
        known = {"auth", "access_token", "refresh_token", "instance_url", "settings"}
        return Credential(
            auth=auth,
            access_token=str(data.get("access_token") or ""),
            refresh_token=str(data.get("refresh_token") or ""),
            instance_url=str(data.get("instance_url") or ""),
            secrets={key: str(value) for key, value in data.items() if key not in known and value is not None},
        )

    @classmethod
    @abstractmethod
    def base_url(cls, credential: Credential) -> str:
        """Where the API lives for this credential, without a trailing slash."""

    @classmethod
    @abstractmethod
    def auth_headers(cls, credential: Credential) -> dict[str, str]:
        """The headers that sign a request, and those the service wants on every request."""

    @classmethod
    def renewable(cls, credential: Credential) -> bool:
        """Whether a new access token can be had without a person."""
        return False

    @classmethod
    def renew(cls, credential: Credential, call: TokenCall, now: datetime) -> Credential:
        """A credential with a fresh access token, and whatever else came back (a rotated refresh token, a moved host).

        The caller holds the connection's lock and stores the result before using it. Raises Reconnect when only a person
        can help, Retry when the token service stumbled, FixConfig when our own app registration is wrong.
        """
        raise errors.Reconnect(f"{cls.label} refused this credential. Connect again with a new one.")

    @classmethod
    def oauth_app(cls, options: Mapping[str, str]) -> OAuthApp:
        """The tenant's own app if `options` name one, else this installation's. Raises FixConfig when there is none."""
        raise errors.Unsupported(f"{cls.label} has no consent page here. Connect with a key or token.")

    @classmethod
    def consent_url(cls, consent: Consent, *, another_account: bool = False) -> str:
        """Where to send the person's browser. `another_account` asks them to log in anew, to choose which account it is."""
        raise errors.Unsupported(f"{cls.label} has no consent page here. Connect with a key or token.")

    @classmethod
    def redeem(cls, consent: Consent, answer: Mapping[str, str], call: TokenCall, now: datetime) -> Credential:
        """The credential for what came back to the callback address (its query, `state` checked already).

        Raises FixConfig with the CRM's reason when the person or the CRM said no, Retry when the token service stumbled.
        """
        raise errors.Unsupported(f"{cls.label} has no consent page here. Connect with a key or token.")

    @classmethod
    def revoke(cls, credential: Credential, call: TokenCall) -> None:
        """Ends this credential at the CRM, as far as it can be ended from outside. A dead one is a success.

        Raises Retry when the service stumbled; the caller disconnects all the same.
        """
