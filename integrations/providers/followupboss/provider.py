"""Follow Up Boss: people to dial, and their call log. The quirks are told in README.md beside this file."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

import requests
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from integrations import errors, exchanges
from integrations.contract.ports import Api, TokenCall
from integrations.providers.base import CrmProvider
from integrations.providers.followupboss import call_events, defaults, failures, oauth, quotas, webhooks
from integrations.providers.followupboss.activities import KINDS, NOTES, ActivityReader, Kind
from integrations.providers.followupboss.activity_writing import ActivityWriter
from integrations.providers.followupboss.agents import Agents
from integrations.providers.followupboss.appointments import APPOINTMENTS, TASKS, Appointments
from integrations.providers.followupboss.batch import write_each
from integrations.providers.followupboss.calls import CallLog, choice_of
from integrations.providers.followupboss.custom_fields import CustomFields
from integrations.providers.followupboss.directory import Directory
from integrations.providers.followupboss.events import Callers, Events
from integrations.providers.followupboss.hooks import Hooks
from integrations.providers.followupboss.people import People
from integrations.providers.followupboss.preflight import Preflight
from integrations.providers.followupboss.reading import PeopleReader
from integrations.providers.followupboss.schema import Schema
from integrations.providers.followupboss.summary_notes import SummaryNotes
from integrations.providers.followupboss.values import Composer
from integrations.providers.followupboss.writing import PeopleWriter
from integrations.records.activities import Agreed, CallActivity, FollowUp, Meeting, Note
from integrations.records.connections import Account, Connection, Consent, Credential, CrmUser, Finding, OAuthApp
from integrations.records.events import Delivery, RemoteEvent, Trust
from integrations.records.fields import FieldSpec
from integrations.records.limits import RateHint
from integrations.records.remote import ChangePage, Cursor, Fetched, RecordWrite, Written

WEB_HOST = "app.followupboss.com"

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
    meeting_type = APPOINTMENTS
    follow_up_type = TASKS
    note_type = NOTES.name
    credential_forms = {"api_key": ("api_key",), "oauth": ("access_token", "refresh_token")}
    where_to_get: ClassVar[Mapping[str, Promise]] = {
        "consent": _("Approve as the owner of the account: only the owner's connection is told of changes at once."),
        "api_key": _(
            "In Follow Up Boss open Admin > API and make a key, signed in as the owner of the account: only with the owner's key "
            "we are told of changes at once."
        ),
    }
    default_limits = quotas.LIMITS
    setting_words: ClassVar[Mapping[str, Promise]] = {
        "accept_body_signature": _("Take webhooks whose signature covers their body alone"),
        "call_form": _("Calls are written as"),
    }
    default_mappings = defaults.MAPPINGS
    mapping_object = "people"
    default_dispositions = defaults.DISPOSITIONS
    object_types = ("people", *KINDS)
    has_consent_page = True
    consent_options = ("client_id", "client_secret")
    call_batch_size = 1
    write_batch_size = 10
    unknown_outcome_pause = 30

    def __init__(self, connection: Connection, api: Api) -> None:
        super().__init__(connection, api)
        self.people = People(api, connection.region)
        self.activities = ActivityReader(api)
        self.events = Events(api)
        self.hooks = Hooks(api)
        self.directory = Directory(api)
        self._schema = Schema(api)
        self.custom_fields = CustomFields(api, self._schema)
        self._reader = PeopleReader(api, self._schema, self.directory, self._person_url, self._sees_everybody)
        composer = Composer(self._schema, self.directory, connection)
        self._writer = PeopleWriter(self.people, composer, self._sees_everybody, self._person_url)
        self._activity_writer = ActivityWriter(api, self.activities, self.directory, self._sees_everybody, self.events)
        self._summary_notes = SummaryNotes(self._activity_writer, self._person_url)
        form = call_events.EventForm(self.events, connection.timezone)
        callers = Callers(self.people, self.events)
        agents = Agents(self.directory, self._sees_everybody)
        self._calls = CallLog(connection, api, agents, self._sees_everybody, callers, form, self._person_url)
        self._appointments = Appointments(connection, api, agents, self._sees_everybody, self._person_url)

    @classmethod
    def call_choice(cls, path: str, value: str, choices: Sequence[tuple[str, str]]) -> str | None:
        return choice_of(value, choices) if path == "outcome" else super().call_choice(path, value, choices)

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
        return oauth.renew(credential, call, now)

    # --- consent of a person in the browser -------------------------------------------------------------------------

    @classmethod
    def oauth_app(cls, options: Mapping[str, str]) -> OAuthApp:
        return oauth.app(options)

    @classmethod
    def consent_url(cls, consent: Consent, *, another_account: bool = False) -> str:
        return oauth.consent_url(consent, another_account=another_account)

    @classmethod
    def redeem(cls, consent: Consent, answer: Mapping[str, str], call: TokenCall, now: datetime) -> Credential:
        return oauth.redeem(consent, answer, call, now)

    @classmethod
    def revoke(cls, credential: Credential, call: TokenCall) -> None:
        """Does nothing: the service documents no way to end a key or a token. A key is deleted there under Admin, API; an
        unused refresh token dies after 90 days.
        """

    # --- webhooks ---------------------------------------------------------------------------------------------------

    @classmethod
    def verify(cls, delivery: Delivery, trust: Trust) -> None:
        webhooks.verify(delivery, trust)

    @classmethod
    def read_delivery(cls, delivery: Delivery, trust: Trust) -> list[RemoteEvent]:
        return webhooks.read(delivery)

    # --- answers ----------------------------------------------------------------------------------------------------

    @classmethod
    def classify(cls, response: requests.Response) -> errors.CrmError | None:
        return failures.classify(response)

    @classmethod
    def buckets(cls, method: str, path: str) -> tuple[str, ...]:
        return quotas.buckets(method, path)

    @classmethod
    def quota_words(cls, bucket: str) -> str:
        return quotas.words(bucket)

    @classmethod
    def rate_hints(cls, response: requests.Response, buckets: Sequence[str]) -> list[RateHint]:
        return quotas.hints(response, buckets)

    # --- one connection ---------------------------------------------------------------------------------------------

    def identify(self) -> Account:
        me = self.directory.me
        return Account(
            external_id=me.account_id,
            name=me.account_name,
            user=me.email,
            url=f"https://{me.domain}.followupboss.com" if me.domain else "",
            warnings=self._warnings(),
        )

    def _warnings(self) -> tuple[str, ...]:
        me = self.directory.me
        found = []
        if not me.sees_everybody:
            found.append(NARROW_VIEW.format(who=f"{me.email} (role: {me.role or 'unknown'})"))
        if not (settings.FOLLOWUPBOSS_SYSTEM and settings.FOLLOWUPBOSS_SYSTEM_KEY):
            found.append(NO_SYSTEM)
        return tuple(found)

    def prepare(self) -> Mapping[str, Any]:
        """Creates the custom fields that the default mappings write, unless the setting `check_only` forbids it, and remembers
        who we are. Calls need nothing: they are found again by a marker in their note.
        """
        try:
            me = self.directory.me
        except errors.FixConfig as error:
            return {"warnings": [error.message]}
        fields = self.custom_fields.prepare(check_only=bool(self.connection.settings.get("check_only")))
        return {
            "domain": me.domain,
            "user_id": me.user_id,
            "role": me.role,
            "sees_everybody": me.sees_everybody,
            "warnings": list(dict.fromkeys([*self._warnings(), *fields])),
        }

    def describe(self, object_type: str) -> list[FieldSpec]:
        kind = self._kind(object_type)
        return list(kind.fields) if kind else self._schema.describe()

    def preflight(self) -> list[Finding]:
        return Preflight(self.api, self.directory, self.custom_fields).findings()

    def users(self) -> list[CrmUser]:
        return self.directory.crm_users()

    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        kind = self._kind(object_type)
        return self.activities.changes(kind, cursor) if kind else self._reader.changes(cursor, paths)

    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        """People whom an agent's credential does not show are neither among the records nor called missing."""
        kind = self._kind(object_type)
        return self.activities.fetch(kind, ids) if kind else self._reader.fetch(ids, paths)

    def ids(self, object_type: str) -> Iterator[Sequence[str]]:
        return super().ids(object_type) if self._kind(object_type) else self._reader.ids()

    def write(self, object_type: str, writes: Sequence[RecordWrite]) -> list[Written]:
        """People: entries of lists stay unless they were seen and are left out; `tags` may also be `{"add": …, "remove": …}`. A
        person who was merged away is answered with the other one's id beside the error.
        """
        kind = self._kind(object_type)
        if kind is None:
            return write_each(self.api, writes, self._writer.write)
        return write_each(self.api, writes, lambda one: self._activity_writer.write(kind, one))

    def delete(self, object_type: str, ids: Sequence[str]) -> list[Written]:
        """Somebody whom this credential does not see is not called deleted: an error says so."""
        kind = self._kind(object_type)
        orders = [RecordWrite(one, {}, one) for one in ids]
        if kind is None:
            return write_each(self.api, orders, lambda one: self._writer.delete(one.key))
        return write_each(self.api, orders, lambda one: self._activity_writer.delete(kind, one.key))

    def subscribe(self, url: str) -> list[str]:
        return self.hooks.subscribe(url)

    def unsubscribe(self) -> None:
        self.hooks.unsubscribe()

    def log_calls(self, calls: Sequence[CallActivity]) -> list[Written]:
        return [self._log(call) for call in calls]

    def _log(self, call: CallActivity) -> Written:
        with exchanges.about(call.key):
            return self._calls.log(call)

    def book_meetings(self, meetings: Sequence[Meeting]) -> list[Written]:
        return self._appointments.book(meetings)

    def cancel_meetings(self, meetings: Sequence[Agreed]) -> list[Written]:
        return self._appointments.cancel(meetings)

    def set_follow_ups(self, follow_ups: Sequence[FollowUp]) -> list[Written]:
        return self._appointments.follow_up(follow_ups)

    def write_notes(self, notes: Sequence[Note]) -> list[Written]:
        return write_each(self.api, notes, self._summary_notes.write)

    def log_event(
        self, payload: Mapping[str, Any], *, received_at: datetime, first_attempt_at: datetime | None = None
    ) -> Written:
        """Logs a payload in the form of an event of type `Call`, `Note`, `Text Message`, …: as a call, a note or a text message,
        never as an event. Whom it is about is looked up, and made if unknown.
        """
        person_id = call_events.person_of(payload, self.people)
        if payload.get("type") == "Call":
            call = call_events.activity_of(
                payload, record_id=person_id, received_at=received_at, first_attempt_at=first_attempt_at
            )
            return self._calls.log(call)
        kind, write = call_events.record_of(payload, person_id=person_id, first_attempt_at=first_attempt_at)
        return self.write(kind, [write])[0]

    def record_url(self, object_type: str, record_id: str) -> str:
        """Blank for all but people: the others are only lines on a person's page."""
        return self._person_url(record_id) if object_type in self.person_types else ""

    def _person_url(self, person_id: str) -> str:
        domain = self.connection.metadata.get("domain")
        return f"https://{f'{domain}.followupboss.com' if domain else WEB_HOST}/2/people/view/{person_id}"

    def _sees_everybody(self) -> bool:
        known = self.connection.metadata.get("sees_everybody")
        return self.directory.me.sees_everybody if known is None else bool(known)

    def _kind(self, object_type: str) -> Kind | None:
        """None for people."""
        if object_type not in self.object_types:
            raise errors.Unsupported(f"Follow Up Boss has no {object_type}. It has: {', '.join(self.object_types)}.")
        return KINDS.get(object_type)
