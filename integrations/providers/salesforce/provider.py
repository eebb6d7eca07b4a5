"""Salesforce: leads and contacts to dial, calls logged as tasks.

This module wires the parts together; each part has a module of its own: credentials (`oauth`), what errors mean
(`failures`), what the user may see (`schema`), reading people (`reading`), the fields we add (`custom_fields`) and
logging calls, meetings and follow-ups (`forms`, `task`, `calls`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

import requests
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from integrations import errors
from integrations.contract.ports import Api, ChangeStream, TokenCall
from integrations.providers.base import CrmProvider
from integrations.providers.salesforce import (
    bulk_failures,
    cdc,
    cometd,
    defaults,
    deliveries,
    failures,
    oauth,
    objects,
    soql,
    task,
    web_flow,
)
from integrations.providers.salesforce.batches import Collections
from integrations.providers.salesforce.bulk import BulkIngest
from integrations.providers.salesforce.bulk_query import BULK_FROM, BulkReader
from integrations.providers.salesforce.calls import BATCH_SIZE, ActivityLog
from integrations.providers.salesforce.campaigns import Campaign
from integrations.providers.salesforce.custom_fields import USER_INFO, Customizer
from integrations.providers.salesforce.forms import CallForm, EventForm, FollowUpForm
from integrations.providers.salesforce.preflight import Preflight
from integrations.providers.salesforce.removals import removals
from integrations.providers.salesforce.replication import Replication
from integrations.providers.salesforce.rest import WRITE_HEADERS, Rest
from integrations.providers.salesforce.schema import Schemas, data_path, id_of, json_object
from integrations.providers.salesforce.stream import Stream, channels_of
from integrations.providers.salesforce.task import DESCRIPTION_SIZE
from integrations.providers.salesforce.users import Users
from integrations.providers.salesforce.writing import BATCH_SIZE as WRITE_BATCH_SIZE
from integrations.providers.salesforce.writing import RecordWriter
from integrations.records.activities import Agreed, CallActivity, FollowUp, Meeting
from integrations.records.connections import Account, Connection, Consent, Credential, CrmUser, Finding, OAuthApp
from integrations.records.events import Delivery, RemoteEvent, Reply, Trust
from integrations.records.fields import Description, FieldSpec, MappingDefault
from integrations.records.limits import RateHint, RateLimit
from integrations.records.remote import ChangePage, Cursor, Fetched, RecordWrite, Ticket, Written

# The day's pool is shared with everything else in the organisation and is only known from headers. It is never counted
# here: `buckets()` does not name it, so a hint of it is a gauge to show and to stop low-priority work by.
DAILY = "daily"
DAY = 86_400.0
# Salesforce itself has no limit per second. This one keeps a single tenant's backfill from taking all of our workers.
BURST = RateLimit("burst", 100, 10)
_USAGE = re.compile(r"(?:^|;)\s*api-usage\s*=\s*(\d+)\s*/\s*(\d+)")
_LIMIT_HEADER = "Sforce-Limit-Info"
BULK = "bulk"
_QUOTAS: Mapping[str, Promise] = {
    BULK: _("Bulk jobs"),
    BURST.bucket: _("Our own brake"),
    DAILY: _("All requests of a day"),
}
_JOBS = "/jobs/"
_NEEDED_OBJECTS = ("Lead", "Contact", "Task")


class Provider(CrmProvider):
    slug: ClassVar[str] = "salesforce"
    label: ClassVar[str] = failures.LABEL
    hosts: ClassVar[tuple[str, ...]] = web_flow.HOSTS
    person_types: ClassVar[tuple[str, ...]] = ("Lead", "Contact")
    call_type: ClassVar[str] = task.OBJECT
    meeting_type: ClassVar[str] = EventForm.object_type
    follow_up_type: ClassVar[str] = FollowUpForm.object_type
    object_types: ClassVar[tuple[str, ...]] = objects.OBJECT_TYPES
    credential_forms: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "oauth": ("refresh_token|access_token",),
        "jwt": ("client_id", "username", "private_key"),
    }
    where_to_get: ClassVar[Mapping[str, Promise]] = {
        "consent": _(
            "Log in as the user whose rights we shall have; best one that is there for this integration alone."
        ),
        "jwt": _(
            "In Salesforce the connected app shows its consumer key, which is the client id here, and holds the certificate that "
            "belongs to the private key. A permission set lets the integration user use the app."
        ),
    }
    default_limits: ClassVar[tuple[RateLimit, ...]] = (BURST,)
    setting_words: ClassVar[Mapping[str, Promise]] = {
        "allow_duplicates": _("Save records that the CRM takes for duplicates"),
        "campaign_id": _("Campaign that calls count for"),
        "campaign_status": _("Status of its members"),
        "outbound_messages": _("Take the CRM's outbound messages"),
        "stream_channel": _("Channel of the change stream"),
        "webhook_certificates": _("Certificates that sign webhooks"),
        "webhook_scheme": _("How webhooks are signed"),
    }
    default_mappings: ClassVar[tuple[MappingDefault, ...]] = defaults.MAPPINGS
    mapping_object: ClassVar[str] = "Lead"
    default_dispositions: ClassVar[Mapping[str, Mapping[str, Any]]] = defaults.DISPOSITIONS
    note_limit: ClassVar[int] = DESCRIPTION_SIZE
    call_batch_size: ClassVar[int] = BATCH_SIZE
    write_batch_size: ClassVar[int] = WRITE_BATCH_SIZE
    bulk_from: ClassVar[int] = BULK_FROM
    consent_options: ClassVar[tuple[str, ...]] = ("login_url", "client_id", "client_secret")
    has_consent_page: ClassVar[bool] = True
    has_account_addresses: ClassVar[bool] = True
    has_stream: ClassVar[bool] = True
    unknown_outcome_pause: ClassVar[float] = 5

    def __init__(self, connection: Connection, api: Api) -> None:
        super().__init__(connection, api)
        self._schemas = Schemas(api)
        bulk_from = int(connection.settings.get("bulk_from", BULK_FROM))
        self._reader = BulkReader(api, self._schemas, self.record_url, bulk_from=bulk_from)
        self._users = Users(self._reader.query)
        self._bulk = BulkIngest(connection, api, self._schemas, self._users, self.record_url)
        tools = (connection, api, self._schemas, self._reader, self._users, self.record_url)
        self._calls = ActivityLog(CallForm(), *tools)
        self._meetings = ActivityLog(EventForm(), *tools)
        self._follow_ups = ActivityLog(FollowUpForm(), *tools)
        self._campaign = Campaign(connection.settings, self._reader.query, Collections(api))
        self._writer = RecordWriter(connection, api, self._schemas, self._reader, self._users, self.record_url)

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
            **WRITE_HEADERS,
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
    def oauth_app(cls, options: Mapping[str, str]) -> OAuthApp:
        return web_flow.app_of(options)

    @classmethod
    def consent_url(cls, consent: Consent, *, another_account: bool = False) -> str:
        return web_flow.consent_url(consent, another_account=another_account)

    @classmethod
    def redeem(cls, consent: Consent, answer: Mapping[str, str], call: TokenCall, now: datetime) -> Credential:
        return web_flow.redeem(consent, answer, call, now)

    @classmethod
    def revoke(cls, credential: Credential, call: TokenCall) -> None:
        web_flow.revoke(credential, call)

    @classmethod
    def classify(cls, response: requests.Response) -> errors.CrmError | None:
        if _JOBS in (response.url or ""):
            return bulk_failures.classify(response)
        return cometd.refused_session(response) or failures.classify(response)

    @classmethod
    def buckets(cls, method: str, path: str) -> tuple[str, ...]:
        """The stream of changes is not counted among an organisation's API requests. A quota of bulk jobs closes bulk only."""
        if path.startswith("/cometd/"):
            return ()
        known = super().buckets(method, path)
        return (BULK, *known) if _JOBS in path else known

    @classmethod
    def quota_words(cls, bucket: str) -> str:
        return str(_QUOTAS.get(bucket, ""))

    @classmethod
    def verify(cls, delivery: Delivery, trust: Trust) -> None:
        deliveries.verify(delivery, trust)

    @classmethod
    def read_delivery(cls, delivery: Delivery, trust: Trust) -> list[RemoteEvent]:
        return deliveries.read(delivery)

    @classmethod
    def reply(cls, delivery: Delivery) -> Reply:
        return deliveries.reply(delivery)

    @classmethod
    def rate_hints(cls, response: requests.Response, buckets: Sequence[str]) -> list[RateHint]:
        found = _USAGE.search(response.headers.get(_LIMIT_HEADER, ""))
        if found is None:
            return []
        used, limit = int(found.group(1)), int(found.group(2))
        return [RateHint(DAILY, limit, DAY, remaining=max(0, limit - used))]

    def identify(self) -> Account:
        # A data service comes first: it answers 401 to an expired token, the user-info service would say 403.
        response = self.api.request("GET", data_path("/sobjects"))
        user, organisation = self._user(), self._organisation()
        known = {"organization_id": organisation.get("Id"), **user}
        return Account(
            external_id=id_of(known, "organization_id"),
            name=str(organisation.get("Name") or user.get("name") or ""),
            user=str(user.get("preferred_username") or user.get("email") or ""),
            url=response.url.removesuffix(data_path("/sobjects")),
            warnings=tuple(_warnings(json_object(response))),
        )

    def _user(self) -> Mapping[str, Any]:
        """Nothing for an app without the scope `id`, which is not told who its user is."""
        try:
            return json_object(self.api.request("GET", USER_INFO))
        except (errors.FixConfig, errors.Gone):
            return {}

    def _organisation(self) -> Mapping[str, Any]:
        try:
            rows = list(self._reader.query(soql.select(["Id", "Name"], "Organization")))
        except (errors.FixConfig, errors.FixData):
            return {}
        return rows[0] if rows else {}

    def prepare(self) -> Mapping[str, Any]:
        return Customizer(self.api, self._schemas, self.connection.settings, self.connection.metadata).prepare()

    def preflight(self) -> list[Finding]:
        return Preflight(self.api, self._schemas).findings()

    def describe(self, object_type: str) -> list[FieldSpec]:
        return self._schemas.get(object_type, fresh=True).specs

    def describe_if_changed(self, object_type: str, stamp: str) -> Description:
        return self._schemas.if_changed(object_type, stamp)

    def users(self) -> list[CrmUser]:
        return self._users.everybody()

    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        return self._reader.changes(object_type, cursor, paths)

    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        return self._reader.fetch(object_type, ids, paths)

    def removals(self, object_type: str, since: datetime) -> Iterator[RemoteEvent]:
        """Fifteen days back at most: so long the recycle bin and the log of deletions are kept."""
        return removals(self._reader, Replication(self.api), self._schemas, object_type, since)

    def ids(self, object_type: str) -> Iterator[Sequence[str]]:
        return Rest(self.api).ids(object_type)

    def write(self, object_type: str, writes: Sequence[RecordWrite]) -> list[Written]:
        return self._writer.write(object_type, writes)

    def delete(self, object_type: str, ids: Sequence[str]) -> list[Written]:
        return self._writer.delete(object_type, ids)

    def start_bulk(self, object_type: str, writes: Iterable[RecordWrite]) -> Ticket:
        return self._bulk.start(object_type, writes)

    def start_bulk_deletion(self, object_type: str, ids: Iterable[str]) -> Ticket:
        """As `start_bulk`. Keys of the answers are the ids."""
        return self._bulk.start_deletion(object_type, ids)

    def bulk_results(self, ticket: Ticket) -> Iterator[Written]:
        return self._bulk.results(ticket)

    def discard_bulk(self, ticket: Ticket) -> None:
        """Stops the jobs if they still run, and has Salesforce forget them."""
        self._bulk.discard(ticket)

    def open_stream(self, positions: Mapping[str, Any]) -> ChangeStream:
        return Stream(self.api, positions, channels_of(self.connection.settings), self._compounds)

    def _compounds(self, object_type: str) -> cdc.Compounds:
        return cdc.compounds(self._schemas.get(object_type).fields.values())

    def log_calls(self, calls: Sequence[CallActivity]) -> list[Written]:
        return self._calls.write(calls, self._campaign.enlist)

    def book_meetings(self, meetings: Sequence[Meeting]) -> list[Written]:
        return self._meetings.write(meetings)

    def cancel_meetings(self, meetings: Sequence[Agreed]) -> list[Written]:
        """An Event has no field that says "cancelled": it is deleted."""
        return self._meetings.remove(meetings)

    def set_follow_ups(self, follow_ups: Sequence[FollowUp]) -> list[Written]:
        return self._follow_ups.write(follow_ups)

    def record_url(self, object_type: str, record_id: str) -> str:
        return f"{self.connection.instance_url.rstrip('/')}/lightning/r/{object_type}/{record_id}/view"


def _warnings(objects: Mapping[str, Any]) -> Iterator[str]:
    seen = {str(item.get("name")): item for item in objects.get("sobjects") or ()}
    for name in _NEEDED_OBJECTS:
        if not seen.get(name, {}).get("queryable"):
            yield f"The integration user may not read {name} records. Give it Read on {name} in a permission set."
    if seen.get("Task", {}).get("queryable") and not seen["Task"].get("createable"):
        yield "The integration user may not create tasks, so calls can't be logged. Give it 'Edit Tasks'."
