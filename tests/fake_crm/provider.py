"""A CRM that exists in tests only: the smallest service and provider, for what is common to all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import requests

from integrations import errors
from integrations.contract.ports import TokenCall
from integrations.records.activities import CallActivity
from integrations.records.connections import Account, Credential, Finding
from integrations.records.fields import FieldSpec, MappingDefault
from integrations.records.limits import RateHint, RateLimit
from integrations.records.remote import ChangePage, Cursor, Fetched, RemoteRecord, Written
from integrations.sandbox.http import Answer, Request, route
from tests.fake_crm.consent import OPEN_PATHS, ConsentProvider, ConsentService
from tests.fake_crm.events import EventsProvider, EventsService


class FakeService(ConsentService, EventsService):
    """Tokens that expire and rotate, one list of people, one list of calls that knows no keys."""

    slug = "fakecrm"

    def seed(self) -> None:
        self.store.put("tokens", "current", {"access": "access-0", "refresh": "refresh-0", "dead": False})

    def before(self, request: Request) -> Answer | None:
        if request.path in OPEN_PATHS:
            return None
        token = self.store.get("tokens", "current") or {}
        if request.headers.get("authorization") != f"Bearer {token['access']}":
            return Answer(401, {"message": "expired"})
        return None

    @route("GET", "/me")
    def me(self, request: Request) -> Answer:
        account = self.store.get("account", "current") or {"id": "acct-1", "name": "Fake account"}
        return Answer(200, account, {"X-Limit": "100", "X-Remaining": "99"})

    @route("GET", "/rights")
    def rights(self, request: Request) -> Answer:
        return Answer(200, list(self.store.all("findings")))

    @route("POST", "/hooks")
    def add_hook(self, request: Request) -> Answer:
        self.store.put("hooks", request.json()["url"], request.json())
        return Answer(200, [one["text"] for one in self.store.all("hook_warnings")])

    @route("DELETE", "/hooks")
    def remove_hooks(self, request: Request) -> Answer:
        for hook in self.store.all("hooks"):
            self.store.delete("hooks", hook["url"])
        return Answer(204)

    @route("GET", "/people")
    def people(self, request: Request) -> Answer:
        after, limit = int(request.arg("after", "0")), int(request.arg("limit", "2"))
        rows = sorted(self.store.all("people"), key=lambda one: int(one["id"]))
        return Answer(200, [one for one in rows if int(one["id"]) > after][:limit])

    @route("POST", "/calls")
    def log_call(self, request: Request) -> Answer:
        number = str(self.store.next_number("call"))
        self.store.put("calls", number, {"id": number, **request.json()})
        return Answer(201, {"id": number})

    @route("GET", "/calls")
    def calls(self, request: Request) -> Answer:
        return Answer(200, [one for one in self.store.all("calls") if one["key"] == request.arg("key")])


class Provider(ConsentProvider, EventsProvider):
    slug = "fakecrm"
    label = "Fake CRM"
    hosts = ("*.fakecrm.example",)
    person_types = ("people",)
    call_type = "calls"
    credential_forms = {"oauth": ("access_token", "refresh_token"), "key": ("access_token",)}
    has_account_addresses = True
    default_limits = (RateLimit("default", 1000, 10.0),)
    default_mappings = (
        MappingDefault("first_name", "first", "bidirectional"),
        MappingDefault("last_name", "last", "bidirectional"),
        MappingDefault("email", "email", "bidirectional", "lowercase"),
        MappingDefault("phone", "phone", "bidirectional", "phone_e164"),
        MappingDefault("company", "company", "bidirectional"),
        MappingDefault("do_not_call", "dnc", "bidirectional", "boolean_checkbox"),
    )
    mapping_object = "people"
    default_dispositions = {"Connected": {"outcome": "talked"}}
    call_batch_size = 5

    @classmethod
    def base_url(cls, credential: Credential) -> str:
        return credential.instance_url

    @classmethod
    def auth_headers(cls, credential: Credential) -> dict[str, str]:
        return {"Authorization": f"Bearer {credential.access_token}"}

    @classmethod
    def renewable(cls, credential: Credential) -> bool:
        return credential.auth == "oauth"

    @classmethod
    def renew(cls, credential: Credential, call: TokenCall, now: datetime) -> Credential:
        answer = call(f"{credential.instance_url}/token", {"refresh_token": credential.refresh_token})
        if answer.status_code >= 500:
            raise errors.Retry("The token service stumbled.")
        body = answer.json()
        if "error" in body:
            raise errors.Reconnect("The fake CRM has revoked this connection.", detail=body["error"])
        return replace(
            credential,
            access_token=body["access_token"],
            refresh_token=body["refresh_token"],
            expires_at=now + timedelta(seconds=body["expires_in"]),
        )

    @classmethod
    def rate_hints(cls, response: requests.Response, buckets: Sequence[str]) -> list[RateHint]:
        if "X-Limit" not in response.headers:
            return []
        headers = response.headers
        return [RateHint(buckets[0], int(headers["X-Limit"]), 10.0, int(headers["X-Remaining"]))]

    def identify(self) -> Account:
        body = self.api.request("GET", "/me").json()
        return Account(body["id"], body["name"])

    def prepare(self) -> Mapping[str, Any]:
        return {}

    def preflight(self) -> list[Finding]:
        return [Finding(**one) for one in self.api.request("GET", "/rights").json()]

    def subscribe(self, url: str) -> list[str]:
        return list(self.api.request("POST", "/hooks", json={"url": url}).json())

    def unsubscribe(self) -> None:
        self.api.request("DELETE", "/hooks")

    def describe(self, object_type: str) -> list[FieldSpec]:
        return [FieldSpec("first", "First name", "string"), FieldSpec("last", "Last name", "string")]

    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        after = (cursor or {}).get("after", 0)
        while True:
            rows = self.api.request("GET", "/people", params={"after": after, "limit": 50}).json()
            after = int(rows[-1]["id"]) if rows else after
            last = len(rows) < 50
            yield ChangePage([self._record(row) for row in rows], {"after": 0 if last else after, "pass": 1}, last=last)
            if last:
                return

    def _record(self, row: Mapping[str, Any]) -> RemoteRecord:
        return RemoteRecord(
            "people",
            row["id"],
            row["fields"],
            datetime.fromisoformat(row["modified"]),
            inactive=row.get("inactive", False),
            deleted=row.get("deleted", False),
            moved_to=tuple(row["moved_to"]) if "moved_to" in row else None,
        )

    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        rows = self.api.request("GET", "/records", params={"ids": ",".join(ids)}).json()
        found = {row["id"] for row in rows}
        return Fetched([self._record(row) for row in rows], [one for one in ids if one not in found])

    def log_calls(self, calls: Sequence[CallActivity]) -> list[Written]:
        return [self._log(call) for call in calls]

    def _log(self, call: CallActivity) -> Written:
        if call.crm_record_id:
            return Written(call.key, call.crm_record_id)  # a later stage: nothing that this CRM keeps has changed
        if call.first_attempt_at is not None:
            found = self.api.request("GET", "/calls", params={"key": call.key}).json()
            if found:
                return Written(call.key, found[0]["id"])
        body = {"key": call.key, "on": call.record_id, "outcome": dict(call.outcome)}
        return Written(call.key, self.api.request("POST", "/calls", json=body).json()["id"], created=True)

    def record_url(self, object_type: str, record_id: str) -> str:
        return f"https://app.fakecrm.example/{object_type}/{record_id}"
