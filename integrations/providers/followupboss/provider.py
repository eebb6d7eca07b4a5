"""Follow Up Boss: people to dial, and their call log. The quirks are told in README.md beside this file."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings

from integrations import errors
from integrations.providers.base import Api, CrmProvider, TokenCall
from integrations.providers.followupboss import defaults, failures
from integrations.providers.followupboss.calls import CallLog
from integrations.providers.followupboss.directory import Directory
from integrations.providers.followupboss.reading import PeopleReader
from integrations.providers.followupboss.schema import CALL_FIELDS, Schema
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
from integrations.transport.classify import json_of

WEB_HOST = "app.followupboss.com"
TOKEN_SECONDS = 3600
"""Life of an access token, where the answer does not say."""
WINDOW_SECONDS = 10.0

NO_SYSTEM = (
    "Our system is not registered with Follow Up Boss here, so requests are limited to half: an operator has to set "
    "FOLLOWUPBOSS_SYSTEM and FOLLOWUPBOSS_SYSTEM_KEY."
)
NARROW_VIEW = (
    "This credential belongs to {who}, who sees only people assigned to or shared with them; everybody else will be "
    "missing here. Connect with the key of the account's owner or of an admin."
)


class Provider(CrmProvider):
    slug = "followupboss"
    label = failures.LABEL
    hosts = ("api.followupboss.com", WEB_HOST)
    person_types = ("people",)
    call_type = "calls"
    credential_forms = {"api_key": ("api_key",), "oauth": ("access_token", "refresh_token")}
    # A start inside what every account is allowed; the answers' headers tell of more.
    default_limits = (
        RateLimit("global", 20, WINDOW_SECONDS),
        RateLimit("PUT.people", 20, WINDOW_SECONDS),
        RateLimit("notes", 10, WINDOW_SECONDS),
    )
    default_mappings = defaults.MAPPINGS
    mapping_object = "people"
    default_dispositions = defaults.DISPOSITIONS
    call_batch_size = 1
    unknown_outcome_pause = 30

    def __init__(self, connection: Connection, api: Api) -> None:
        super().__init__(connection, api)
        self._schema = Schema(api)
        self._directory = Directory(api)
        self._people = PeopleReader(api, self._schema, self._directory, self._person_url)
        self._calls = CallLog(connection, api, self._directory, self._person_url)

    # --- before there is a connection -------------------------------------------------------------------------------

    @classmethod
    def base_url(cls, credential: Credential) -> str:
        return str(settings.FOLLOWUPBOSS_API_URL).rstrip("/")

    @classmethod
    def auth_headers(cls, credential: Credential) -> dict[str, str]:
        if credential.auth == "api_key":
            key = credential.secrets.get("api_key") or credential.access_token
            signed = {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}
        else:
            signed = {"Authorization": f"Bearer {credential.access_token}"}
        system = {"X-System": settings.FOLLOWUPBOSS_SYSTEM, "X-System-Key": settings.FOLLOWUPBOSS_SYSTEM_KEY}
        return signed | {name: str(value) for name, value in system.items() if value}

    @classmethod
    def renewable(cls, credential: Credential) -> bool:
        return credential.auth == "oauth" and bool(credential.refresh_token)

    @classmethod
    def renew(cls, credential: Credential, call: TokenCall, now: datetime) -> Credential:
        if not cls.renewable(credential):
            return super().renew(credential, call, now)
        client = (
            credential.secrets.get("client_id") or settings.FOLLOWUPBOSS_CLIENT_ID,
            credential.secrets.get("client_secret") or settings.FOLLOWUPBOSS_CLIENT_SECRET,
        )
        if not all(client):
            raise errors.FixConfig(
                "A Follow Up Boss connection by OAuth needs an app: set FOLLOWUPBOSS_CLIENT_ID and "
                "FOLLOWUPBOSS_CLIENT_SECRET, or give client_id and client_secret with the credential."
            )
        form = {"grant_type": "refresh_token", "refresh_token": credential.refresh_token}
        response = call(settings.FOLLOWUPBOSS_TOKEN_URL, form, basic=client)
        failure = failures.renewal_failure(response)
        if failure is not None:
            raise failure
        answer = json_of(response)
        return replace(
            credential,
            access_token=str(answer["access_token"]),
            refresh_token=str(answer.get("refresh_token") or credential.refresh_token),
            expires_at=now + timedelta(seconds=float(answer.get("expires_in") or TOKEN_SECONDS)),
        )

    # --- answers ----------------------------------------------------------------------------------------------------

    @classmethod
    def classify(cls, response: requests.Response) -> errors.CrmError | None:
        return failures.classify(response)

    @classmethod
    def buckets(cls, method: str, path: str) -> tuple[str, ...]:
        """The account's bucket, and the one of this kind of request, which may be known from headers alone."""
        base = urlsplit(str(settings.FOLLOWUPBOSS_API_URL)).path.rstrip("/")
        resource = urlsplit(path).path.removeprefix(base).strip("/").split("/")[0]
        return ("global", "notes" if resource == "notes" else f"{method.upper()}.{resource}")

    @classmethod
    def rate_hints(cls, response: requests.Response, buckets: Sequence[str]) -> list[RateHint]:
        context = response.headers.get("X-RateLimit-Context", "").strip()
        limit, remaining, window = (
            _whole(response.headers.get(f"X-RateLimit-{name}")) for name in ("Limit", "Remaining", "Window")
        )
        if not buckets or limit is None:
            return []
        bucket = buckets[0] if context.lower() in {"", "global"} else buckets[-1]
        return [RateHint(bucket, limit=limit, seconds=float(window or WINDOW_SECONDS), remaining=remaining)]

    # --- one connection ---------------------------------------------------------------------------------------------

    def identify(self) -> Account:
        me = self._directory.me
        return Account(
            external_id=me.account_id,
            name=me.account_name,
            user=me.email,
            url=f"https://{me.domain}.followupboss.com" if me.domain else "",
            warnings=self._warnings(),
        )

    def _warnings(self) -> tuple[str, ...]:
        me = self._directory.me
        found = []
        if not me.sees_everybody:
            found.append(NARROW_VIEW.format(who=f"{me.email} (role: {me.role or 'unknown'})"))
        if not (settings.FOLLOWUPBOSS_SYSTEM and settings.FOLLOWUPBOSS_SYSTEM_KEY):
            found.append(NO_SYSTEM)
        return tuple(found)

    def prepare(self) -> Mapping[str, Any]:
        """Nothing has to be created: calls are found again by a marker in their note. Remembers who we are."""
        try:
            me = self._directory.me
        except errors.FixConfig as error:
            return {"warnings": [error.message]}
        return {
            "domain": me.domain,
            "user_id": me.user_id,
            "role": me.role,
            "sees_everybody": me.sees_everybody,
            "warnings": list(self._warnings()),
        }

    def describe(self, object_type: str) -> list[FieldSpec]:
        if object_type == self.call_type:
            return list(CALL_FIELDS)
        self._check_people(object_type)
        return self._schema.describe()

    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        self._check_people(object_type)
        return self._people.changes(cursor, paths)

    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        self._check_people(object_type)
        return self._people.fetch(ids, paths)

    def log_calls(self, calls: Sequence[CallActivity]) -> list[Written]:
        return [self._calls.log(call) for call in calls]

    def record_url(self, object_type: str, record_id: str) -> str:
        """Blank for calls: they have no page of their own, only a line on the person's."""
        return self._person_url(record_id) if object_type in self.person_types else ""

    def _person_url(self, person_id: str) -> str:
        domain = self.connection.metadata.get("domain")
        return f"https://{f'{domain}.followupboss.com' if domain else WEB_HOST}/2/people/view/{person_id}"

    def _check_people(self, object_type: str) -> None:
        if object_type not in self.person_types:
            raise errors.Unsupported(f"Follow Up Boss has no {object_type}. Its people are called: people.")


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdecimal() else None
