"""Salesforce: leads and contacts to dial, calls logged as tasks.

This module wires the parts together; each part has a module of its own: credentials (`oauth`), what errors mean
(`failures`), what the user may see (`schema`), reading people (`reading`), the fields we add (`custom_fields`) and
logging calls (`task`, `calls`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

import requests

from integrations import errors
from integrations.providers.base import Api, CrmProvider, TokenCall
from integrations.providers.salesforce import defaults, failures, oauth, soql, task
from integrations.providers.salesforce.calls import BATCH_SIZE, CallLog
from integrations.providers.salesforce.custom_fields import USER_INFO, Customizer
from integrations.providers.salesforce.reading import Reader
from integrations.providers.salesforce.schema import Schemas, data_path, id_of, json_object
from integrations.records import (
    Account,
    CallActivity,
    ChangePage,
    Connection,
    Credential,
    Cursor,
    Fetched,
    FieldSpec,
    MappingDefault,
    RateHint,
    RateLimit,
    Written,
)

# The day's pool is shared with everything else in the organisation and is only known from headers. It is never counted
# here: `buckets()` does not name it, so a hint of it is a gauge to show and to stop low-priority work by.
DAILY = "daily"
DAY = 86_400.0
# Salesforce itself has no limit per second. This one keeps a single tenant's backfill from taking all of our workers.
BURST = RateLimit("burst", 50, 10)
_USAGE = re.compile(r"(?:^|;)\s*api-usage\s*=\s*(\d+)\s*/\s*(\d+)")
_LIMIT_HEADER = "Sforce-Limit-Info"
_NEEDED_OBJECTS = ("Lead", "Contact", "Task")


class Provider(CrmProvider):
    slug: ClassVar[str] = "salesforce"
    label: ClassVar[str] = failures.LABEL
    hosts: ClassVar[tuple[str, ...]] = ("*.salesforce.com",)
    person_types: ClassVar[tuple[str, ...]] = ("Lead", "Contact")
    call_type: ClassVar[str] = task.OBJECT
    credential_forms: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "oauth": ("refresh_token|access_token",),
        "jwt": ("client_id", "username", "private_key"),
    }
    default_limits: ClassVar[tuple[RateLimit, ...]] = (BURST,)
    default_mappings: ClassVar[tuple[MappingDefault, ...]] = defaults.MAPPINGS
    mapping_object: ClassVar[str] = "Lead"
    default_dispositions: ClassVar[Mapping[str, Mapping[str, Any]]] = defaults.DISPOSITIONS
    call_batch_size: ClassVar[int] = BATCH_SIZE
    unknown_outcome_pause: ClassVar[float] = 5

    def __init__(self, connection: Connection, api: Api) -> None:
        super().__init__(connection, api)
        self._schemas = Schemas(api)
        self._reader = Reader(api, self._schemas, self.record_url)
        self._calls = CallLog(
            connection, api, self._schemas, self._reader, lambda task_id: self.record_url(task.OBJECT, task_id)
        )

    @classmethod
    def parse_credential(cls, data: Mapping[str, Any]) -> Credential:
        return oauth.checked(super().parse_credential(data))

    @classmethod
    def base_url(cls, credential: Credential) -> str:
        """Empty until the first renewal has told the organisation's own address."""
        return credential.instance_url.rstrip("/")

    @classmethod
    def auth_headers(cls, credential: Credential) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {credential.access_token}",
            "Accept": "application/json",
            # Otherwise every write of a lead runs the assignment rules, which may give it to somebody else.
            "Sforce-Auto-Assign": "FALSE",
            # Names us in the change events that our own writes cause.
            "Sforce-Call-Options": "client=DialerSync",
        }

    @classmethod
    def renewable(cls, credential: Credential) -> bool:
        return credential.auth == "jwt" or bool(credential.refresh_token)

    @classmethod
    def renew(cls, credential: Credential, call: TokenCall, now: datetime) -> Credential:
        if credential.auth == "jwt":
            return oauth.sign_in(credential, call, now)
        if credential.refresh_token:
            return oauth.refresh(credential, call, now)
        return super().renew(credential, call, now)

    @classmethod
    def classify(cls, response: requests.Response) -> errors.CrmError | None:
        return failures.classify(response)

    @classmethod
    def rate_hints(cls, response: requests.Response, buckets: Sequence[str]) -> list[RateHint]:
        found = _USAGE.search(response.headers.get(_LIMIT_HEADER, ""))
        if found is None:
            return []
        used, limit = int(found.group(1)), int(found.group(2))
        return [RateHint(DAILY, limit, DAY, remaining=max(0, limit - used))]

    def identify(self) -> Account:
        # A data service comes first: it answers 401 to an expired token, the user-info service would say 403.
        objects = json_object(self.api.request("GET", data_path("/sobjects")))
        response = self.api.request("GET", USER_INFO)
        user = json_object(response)
        return Account(
            external_id=id_of(user, "organization_id"),
            name=self._organisation() or str(user.get("name") or ""),
            user=str(user.get("preferred_username") or user.get("email") or ""),
            url=response.url.removesuffix(USER_INFO),
            warnings=tuple(_warnings(objects)),
        )

    def _organisation(self) -> str:
        try:
            rows = list(self._reader.query(soql.select(["Name"], "Organization")))
        except (errors.FixConfig, errors.FixData):
            return ""
        return str(rows[0].get("Name") or "") if rows else ""

    def prepare(self) -> Mapping[str, Any]:
        return Customizer(self.api, self._schemas).prepare()

    def describe(self, object_type: str) -> list[FieldSpec]:
        return self._schemas.get(object_type, fresh=True).specs

    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        return self._reader.changes(object_type, cursor, paths)

    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        return self._reader.fetch(object_type, ids, paths)

    def log_calls(self, calls: Sequence[CallActivity]) -> list[Written]:
        return self._calls.write(calls)

    def record_url(self, object_type: str, record_id: str) -> str:
        return f"{self.connection.instance_url.rstrip('/')}/lightning/r/{object_type}/{record_id}/view"


def _warnings(objects: Mapping[str, Any]) -> Iterator[str]:
    seen = {str(item.get("name")): item for item in objects.get("sobjects") or ()}
    for name in _NEEDED_OBJECTS:
        if not seen.get(name, {}).get("queryable"):
            yield f"The integration user may not read {name} records. Give it Read on {name} in a permission set."
    if seen.get("Task", {}).get("queryable") and not seen["Task"].get("createable"):
        yield "The integration user may not create tasks, so calls can't be logged. Give it 'Edit Tasks'."
