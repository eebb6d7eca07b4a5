"""HubSpot as Dialbridge sees it: contacts to dial, and calls logged on their timelines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import requests
from django.conf import settings

from integrations import errors
from integrations.providers.base import Api, CrmProvider, TokenCall
from integrations.providers.hubspot import answers, preparing
from integrations.providers.hubspot.calls import CallLog
from integrations.providers.hubspot.defaults import DISPOSITIONS, MAPPINGS
from integrations.providers.hubspot.endpoints import OBJECT_TYPE_IDS, path
from integrations.providers.hubspot.owners import Owners
from integrations.providers.hubspot.reading import Reader
from integrations.providers.hubspot.schema import Schema
from integrations.records import (
    Account,
    CallActivity,
    ChangePage,
    Connection,
    Credential,
    Cursor,
    Fetched,
    FieldSpec,
    RateHint,
    RateLimit,
    Written,
)
from integrations.transport.classify import json_of, text_of

UI_DOMAIN = "app.hubspot.com"
DEAD_TOKENS = frozenset({"BAD_REFRESH_TOKEN", "BAD_AUTH_CODE", "invalid_grant"})
"""Only a person can mend these."""
PROBES = (
    (path("objects", type="contacts"), "Contacts cannot be read"),
    (path("owners"), "Owners cannot be read, so no owner is synced and calls have none"),
)
"""What a connection needs beyond knowing its account, and what goes without it."""


class Provider(CrmProvider):
    slug = "hubspot"
    label = answers.LABEL
    hosts = ("api.hubapi.com",)
    person_types = ("contacts",)
    call_type = "calls"
    credential_forms = {"private_app": ("access_token",), "oauth": ("access_token", "refresh_token")}
    # Searches have their own bucket, shared by all apps of the account, and are exempt from the ten-secondly one.
    default_limits = (RateLimit("default", 100, 10.0), RateLimit("search", 5, 1.0))
    default_mappings = MAPPINGS
    mapping_object = "contacts"
    default_dispositions = DISPOSITIONS
    call_batch_size = 100
    unknown_outcome_pause = 10.0

    def __init__(self, connection: Connection, api: Api) -> None:
        super().__init__(connection, api)
        self._owners = Owners(api)
        self._schema = Schema(api)

    # --- credentials ------------------------------------------------------------------------------------------------

    @classmethod
    def base_url(cls, credential: Credential) -> str:
        return str(settings.HUBSPOT_API_URL).rstrip("/")

    @classmethod
    def auth_headers(cls, credential: Credential) -> dict[str, str]:
        return {"Authorization": f"Bearer {credential.access_token}"}

    @classmethod
    def renewable(cls, credential: Credential) -> bool:
        return credential.auth == "oauth" and bool(credential.refresh_token)

    @classmethod
    def renew(cls, credential: Credential, call: TokenCall, now: datetime) -> Credential:
        if not cls.renewable(credential):
            return super().renew(credential, call, now)
        form = {"grant_type": "refresh_token", "refresh_token": credential.refresh_token, **_client(credential)}
        response = call(cls.base_url(credential) + path("token"), form)
        if response.status_code != 200:
            raise _token_error(response)
        body = answers.body_of(response)
        if not body.get("access_token"):
            raise errors.Retry("HubSpot's token service sent no token. We will try again.", status=200)
        lifetime = body.get("expires_in")
        return replace(
            credential,
            access_token=str(body["access_token"]),
            refresh_token=str(body.get("refresh_token") or credential.refresh_token),
            expires_at=now + timedelta(seconds=float(lifetime)) if lifetime else None,
        )

    # --- answers ----------------------------------------------------------------------------------------------------

    @classmethod
    def classify(cls, response: requests.Response) -> errors.CrmError | None:
        return answers.classify(response)

    @classmethod
    def buckets(cls, method: str, path: str) -> tuple[str, ...]:
        return ("search",) if path.partition("?")[0].endswith("/search") else ("default",)

    @classmethod
    def rate_hints(cls, response: requests.Response, buckets: Sequence[str]) -> list[RateHint]:
        headers = response.headers
        hints = []
        limit, remaining = _number(headers, "Max"), _number(headers, "Remaining")
        window = _number(headers, "Interval-Milliseconds")
        if "default" in buckets and (limit is not None or remaining is not None):
            hints.append(RateHint("default", limit, window / 1000 if window else None, remaining))
        daily = _number(headers, "Daily")
        if daily is not None:
            hints.append(RateHint("daily", daily, 86_400.0, _number(headers, "Daily-Remaining")))
        return hints

    # --- one connection ---------------------------------------------------------------------------------------------

    def identify(self) -> Account:
        details = preparing.account(self.api)
        portal = str(details["portalId"])
        return Account(
            external_id=portal,
            name=f"HubSpot portal {portal}",
            url=f"https://{details.get('uiDomain') or UI_DOMAIN}/contacts/{portal}",
            warnings=tuple(self._missing_rights()),
        )

    def _missing_rights(self) -> Iterator[str]:
        for address, consequence in PROBES:
            try:
                self.api.request("GET", address, params={"limit": 1})
            except errors.FixConfig as error:
                yield f"{consequence}. {error.message}"

    def prepare(self) -> Mapping[str, Any]:
        return preparing.prepare(self.api, self.connection.metadata)

    def describe(self, object_type: str) -> list[FieldSpec]:
        return self._schema.describe(object_type)

    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        return self._reader.changes(object_type, cursor, paths)

    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        return self._reader.fetch(object_type, ids, paths)

    def log_calls(self, calls: Sequence[CallActivity]) -> list[Written]:
        return self._calls.log(calls)

    def record_url(self, object_type: str, record_id: str) -> str:
        domain = self.connection.metadata.get("ui_domain") or UI_DOMAIN
        number = OBJECT_TYPE_IDS.get(object_type, object_type)
        return f"https://{domain}/contacts/{self.connection.account_id}/record/{number}/{record_id}"

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self.api, self._owners, self._schema, self.record_url)

    @cached_property
    def _calls(self) -> CallLog:
        return CallLog(self.api, self._owners, self.connection.metadata, self.record_url)


def _client(credential: Credential) -> dict[str, str]:
    """The app's own id and secret: the tenant's, if it brought an app of its own, else ours."""
    found = {
        "client_id": credential.secrets.get("client_id") or settings.HUBSPOT_CLIENT_ID,
        "client_secret": credential.secrets.get("client_secret") or settings.HUBSPOT_CLIENT_SECRET,
    }
    if not all(found.values()):
        raise errors.FixConfig(
            "HubSpot tokens cannot be renewed without the app's id and secret. "
            "Set HUBSPOT_CLIENT_ID and HUBSPOT_CLIENT_SECRET."
        )
    return found


def _token_error(response: requests.Response) -> errors.CrmError:
    body = json_of(response)
    told = {str(body.get(key)) for key in ("status", "error", "category")} if isinstance(body, dict) else set()
    detail, status = text_of(response), response.status_code
    if told & DEAD_TOKENS:
        message = "HubSpot has revoked our access: the app was uninstalled or its access withdrawn. Connect again."
        return errors.Reconnect(message, detail=detail, status=status)
    if status >= 500 or status == 429 or status in answers.WAITS:
        return answers.classify(response) or errors.Retry("HubSpot's token service stumbled.", status=status)
    return errors.FixConfig(
        "HubSpot refused to renew the token. Check HUBSPOT_CLIENT_ID and HUBSPOT_CLIENT_SECRET.",
        detail=f"{', '.join(sorted(told))} {detail}",
        status=status,
        cause="app_registration",
    )


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(f"X-HubSpot-RateLimit-{name}", "")
    return int(value) if value.isdigit() else None
