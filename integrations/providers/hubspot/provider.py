"""HubSpot as Dialbridge sees it: contacts to dial, and calls logged on their timelines."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

import requests
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from integrations import errors
from integrations.contract.ports import Api, TokenCall
from integrations.providers.base import CrmProvider
from integrations.providers.hubspot import answers, deliveries, oauth, outcomes, preparing, signatures, subscriptions
from integrations.providers.hubspot.calls import ActivityLog
from integrations.providers.hubspot.defaults import DISPOSITIONS, MAPPINGS
from integrations.providers.hubspot.drafts import Drafter
from integrations.providers.hubspot.endpoints import OBJECT_TYPE_IDS, path
from integrations.providers.hubspot.fetching import Fetcher
from integrations.providers.hubspot.forms import Activity, CallForm, Form, MeetingForm, TaskForm
from integrations.providers.hubspot.merging import merge
from integrations.providers.hubspot.objects import BATCH, Objects
from integrations.providers.hubspot.owners import Owners
from integrations.providers.hubspot.preflight import Preflight
from integrations.providers.hubspot.reading import Reader
from integrations.providers.hubspot.removals import removals
from integrations.providers.hubspot.schema import LONGEST_TEXT, Schema
from integrations.providers.hubspot.shaping import Shaper
from integrations.providers.hubspot.timeline import Timeline
from integrations.providers.hubspot.writing import Tools, Writer, delete
from integrations.records.activities import Agreed, CallActivity, FollowUp, Meeting
from integrations.records.connections import Account, Connection, Consent, Credential, CrmUser, Finding, OAuthApp
from integrations.records.events import Delivery, RemoteEvent, Trust
from integrations.records.fields import FieldSpec
from integrations.records.limits import RateHint, RateLimit
from integrations.records.remote import ChangePage, Cursor, Fetched, RecordWrite, Written

UI_DOMAIN = "app.hubspot.com"
PROBES: tuple[tuple[str, dict[str, str], str], ...] = (
    ("objects", {"type": "contacts"}, "Contacts cannot be read"),
    ("owners", {}, "Owners cannot be read, so no owner is synced and calls have none"),
)
"""What a connection needs beyond knowing its account, and what goes without it."""

_QUOTAS: Mapping[str, Promise] = {
    "daily": _("All requests of a day"),
    "default": _("All requests"),
    "search": _("Searches"),
}


class Provider(CrmProvider):
    slug = "hubspot"
    label = answers.LABEL
    hosts = ("api.hubapi.com",)
    person_types = ("contacts",)
    call_type = "calls"
    meeting_type = MeetingForm.place.object_type
    follow_up_type = TaskForm.place.object_type
    object_types = ("contacts", "companies", "deals", "calls")
    credential_forms = {"private_app": ("access_token",), "oauth": ("access_token", "refresh_token")}
    where_to_get: ClassVar[Mapping[str, Promise]] = {
        "consent": _("Approve as a super admin of the HubSpot account."),
        "private_app": _(
            "In HubSpot open Settings > Integrations > Private Apps, make an app, tick its scopes crm.objects.contacts.read, "
            "crm.objects.contacts.write and crm.schemas.contacts.read, and copy the access token. What else would be good is "
            "told after connecting."
        ),
    }
    consent_options = ("client_id", "client_secret")
    has_consent_page = True
    app_webhooks = True
    # Searches have their own bucket, shared by all apps of the account, and are exempt from the ten-secondly one.
    default_limits = (RateLimit("default", 100, 10.0), RateLimit("search", 5, 1.0))
    setting_words: ClassVar[Mapping[str, Promise]] = {
        "accept_body_signature": _("Take webhooks whose signature covers their body alone"),
    }
    default_mappings = MAPPINGS
    mapping_object = "contacts"
    default_dispositions = DISPOSITIONS
    note_limit = LONGEST_TEXT
    call_batch_size = BATCH
    write_batch_size = BATCH
    unknown_outcome_pause = 10.0

    def __init__(self, connection: Connection, api: Api) -> None:
        super().__init__(connection, api)
        self._owners = Owners(api)
        self._schema = Schema(api)
        self._objects = Objects(api)

    @classmethod
    def call_choice(cls, path: str, value: str, choices: Sequence[tuple[str, str]]) -> str | None:
        return (
            outcomes.choice_of(value, choices)
            if path == outcomes.PROPERTY
            else super().call_choice(path, value, choices)
        )

    # --- credentials ------------------------------------------------------------------------------------------------

    @classmethod
    def base_url(cls, credential: Credential) -> str:
        return str(settings.HUBSPOT_API_URL).rstrip("/")

    @classmethod
    def auth_headers(cls, credential: Credential) -> dict[str, str]:
        if credential.auth == "developer":
            return {}  # the developer's key travels in the query
        return {"Authorization": f"Bearer {credential.access_token}"}

    @classmethod
    def renewable(cls, credential: Credential) -> bool:
        return credential.auth == "oauth" and bool(credential.refresh_token)

    @classmethod
    def renew(cls, credential: Credential, call: TokenCall, now: datetime) -> Credential:
        if not cls.renewable(credential):
            return super().renew(credential, call, now)
        return oauth.renew(credential, call, now)

    @classmethod
    def oauth_app(cls, options: Mapping[str, str]) -> OAuthApp:
        return oauth.app_of(options)

    @classmethod
    def consent_url(cls, consent: Consent, *, another_account: bool = False) -> str:
        return oauth.consent_url(consent)

    @classmethod
    def redeem(cls, consent: Consent, answer: Mapping[str, str], call: TokenCall, now: datetime) -> Credential:
        return oauth.redeem(consent, answer, call, now)

    @classmethod
    def revoke(cls, credential: Credential, call: TokenCall) -> None:
        """A pasted token is its owner's to revoke."""
        if cls.renewable(credential):
            oauth.revoke(credential, call)

    # --- webhooks ---------------------------------------------------------------------------------------------------

    @classmethod
    def verify(cls, delivery: Delivery, trust: Trust) -> None:
        signatures.verify(delivery, trust)

    @classmethod
    def read_delivery(cls, delivery: Delivery, trust: Trust) -> list[RemoteEvent]:
        return deliveries.read(delivery, trust)

    @classmethod
    def app_credential(cls) -> Credential:
        return subscriptions.credential()

    @classmethod
    def subscribe_app(cls, api: Api, url: str) -> list[str]:
        return subscriptions.subscribe(api, url)

    # --- answers ----------------------------------------------------------------------------------------------------

    @classmethod
    def classify(cls, response: requests.Response) -> errors.CrmError | None:
        return answers.classify(response)

    @classmethod
    def reads(cls, method: str, path: str) -> bool:
        return super().reads(method, path) or path.partition("?")[0].endswith(("/search", "/read"))

    @classmethod
    def buckets(cls, method: str, path: str) -> tuple[str, ...]:
        return ("search",) if path.partition("?")[0].endswith("/search") else ("default",)

    @classmethod
    def quota_words(cls, bucket: str) -> str:
        return str(_QUOTAS.get(bucket, ""))

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
        for endpoint, parts, consequence in PROBES:
            try:
                self.api.request("GET", path(endpoint, **parts), params={"limit": 1})
            except errors.FixConfig as error:
                yield f"{consequence}. {error.message}"

    def prepare(self) -> Mapping[str, Any]:
        check_only = bool(self.connection.settings.get("check_only"))
        return preparing.prepare(self.api, self.connection.metadata, check_only=check_only)

    def preflight(self) -> list[Finding]:
        return Preflight(self.api, self.connection).findings()

    def describe(self, object_type: str) -> list[FieldSpec]:
        return self._schema.describe(object_type)

    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        return self._reader.changes(object_type, cursor, paths)

    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        return Fetcher(self._objects, self._shaper).fetch(object_type, ids, paths)

    def ids(self, object_type: str) -> Iterator[Sequence[str]]:
        return self._reader.ids(object_type)

    def removals(self, object_type: str, since: datetime) -> Iterator[RemoteEvent]:
        return removals(self._objects, object_type, since)

    def users(self) -> list[CrmUser]:
        return self._owners.users()

    def write(self, object_type: str, writes: Sequence[RecordWrite]) -> list[Written]:
        tools = Tools(self.api, self._objects, self._schema, Drafter(self._schema, self._owners), self.record_url)
        return Writer(tools, object_type, self.connection.metadata).write(writes)

    def delete(self, object_type: str, ids: Sequence[str]) -> list[Written]:
        return list(delete(self._objects, object_type, ids))

    def merge(self, object_type: str, winner: str, loser: str) -> str:
        return merge(self._objects, object_type, winner, loser)

    def log_calls(self, calls: Sequence[CallActivity]) -> list[Written]:
        written = self._calls.log(calls)
        self.timeline.announce_calls(calls, written)
        return written

    def book_meetings(self, meetings: Sequence[Meeting]) -> list[Written]:
        return self._meetings.log(meetings)

    def cancel_meetings(self, meetings: Sequence[Agreed]) -> list[Written]:
        return self._meetings.cancel(meetings)

    def set_follow_ups(self, follow_ups: Sequence[FollowUp]) -> list[Written]:
        return self._follow_ups.log(follow_ups)

    def record_url(self, object_type: str, record_id: str) -> str:
        domain = self.connection.metadata.get("ui_domain") or UI_DOMAIN
        number = OBJECT_TYPE_IDS.get(object_type, object_type)
        return f"https://{domain}/contacts/{self.connection.account_id}/record/{number}/{record_id}"

    @cached_property
    def timeline(self) -> Timeline:
        return Timeline(self.api, self.connection)

    @cached_property
    def _shaper(self) -> Shaper:
        return Shaper(self._owners, self._schema, self.record_url)

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self._objects, self._shaper)

    @cached_property
    def _calls(self) -> ActivityLog[CallActivity]:
        return self._log_of(CallForm(self.api, self.connection))

    @cached_property
    def _meetings(self) -> ActivityLog[Meeting]:
        return self._log_of(MeetingForm())

    @cached_property
    def _follow_ups(self) -> ActivityLog[FollowUp]:
        return self._log_of(TaskForm())

    def _log_of(self, form: Form[Activity]) -> ActivityLog[Activity]:
        return ActivityLog(form, self.api, self._owners, self.connection.metadata, self.record_url)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(f"X-HubSpot-RateLimit-{name}", "")
    return int(value) if value.isdigit() else None
