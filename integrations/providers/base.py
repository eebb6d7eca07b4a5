"""The contract between Dialbridge and a CRM.

A provider is one class. Its class attributes say what the service is and allows; its class methods deal with credentials and
answers before there is a connection; its instance methods do the work for one connection, through an `Api` that signs, limits,
breaks, classifies and records every request. A provider never touches the database, never sleeps and never retries: it raises
an error from `integrations.errors` that says what to do, and the caller does it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Protocol

import requests

from integrations import errors
from integrations.records import (
    Account,
    Agreed,
    CallActivity,
    ChangePage,
    Connection,
    Consent,
    Credential,
    CrmUser,
    Cursor,
    Delivery,
    Description,
    Fetched,
    FieldSpec,
    Finding,
    FollowUp,
    MappingDefault,
    Meeting,
    Note,
    OAuthApp,
    RateHint,
    RateLimit,
    RecordWrite,
    RemoteEvent,
    Reply,
    StreamPage,
    Ticket,
    Trust,
    Written,
)
from integrations.transport.classify import classify_by_status


class Api(Protocol):
    """What a provider may ask of the transport. `path` is joined to the provider's base URL; an absolute URL of an allowed
    host is taken as it is. Answers are 2xx (or listed in `accept`); everything else is raised as an error.

    `repeatable` says that sending the request twice does no harm: only then may the transport try again by itself. It is true
    for GET unless said otherwise. A request that is not repeatable and got no answer raises `OutcomeUnknown`.

    `data` is a body that is not JSON; an iterable of bytes is sent as it comes, and never repeated by itself. With `stream`
    the body of a good answer has not been read yet: the caller reads it in pieces and closes the response. Cookies are kept
    between requests.
    """

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        accept: Sequence[int] = (),
        read_timeout: float | None = None,
        stream: bool = False,
    ) -> requests.Response: ...


class TokenCall(Protocol):
    """Sends one form-encoded request to a token endpoint: allowed hosts only, time-outs, no retry, any status returned.

    Raises `Retry` when no answer came.
    """

    def __call__(
        self, url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None = None, method: str = "POST"
    ) -> requests.Response: ...


class ChangeStream(Protocol):
    """A subscription to one connection's changes. `pages` blocks and is iterated in one thread; `close` may come from another."""

    def pages(self) -> Iterator[StreamPage]:
        """Pages in the order of the CRM, until `close`. The next one is asked for once the caller has stored the last.

        Raises the errors of `Api.request`; FixConfig for a right or a switch that somebody has to change in the CRM. It
        reconnects and subscribes again by itself where the service asks for it.
        """

    def close(self) -> None:
        """Ends `pages` within a second or two, telling the CRM where that is possible. May be called twice."""


class CrmProvider(ABC):
    slug: ClassVar[str]
    label: ClassVar[str]
    hosts: ClassVar[tuple[str, ...]]
    """Host names we may talk to over https; a leading `*.` stands for any one or more labels."""
    person_types: ClassVar[tuple[str, ...]]
    """Object types that hold people to dial, in the order to pull them."""
    call_type: ClassVar[str]
    """Object type that a logged call becomes."""
    meeting_type: ClassVar[str] = ""
    """Object type that a booked meeting becomes; empty: this CRM keeps none."""
    follow_up_type: ClassVar[str] = ""
    """Object type that a follow-up becomes; empty: this CRM keeps none."""
    note_type: ClassVar[str] = ""
    """Object type that a call's summary becomes beside the call; empty: the call's own notes are its only place."""
    credential_forms: ClassVar[Mapping[str, tuple[str, ...]]]
    """Kind of credential → keys it must have, as `connect_crm` takes them. `a|b` means one of them."""
    default_limits: ClassVar[tuple[RateLimit, ...]]
    default_mappings: ClassVar[tuple[MappingDefault, ...]]
    mapping_object: ClassVar[str]
    """Object type that the default mappings are written for."""
    default_dispositions: ClassVar[Mapping[str, Mapping[str, Any]]]
    object_types: ClassVar[tuple[str, ...]] = ()
    """Every object type that `describe`, `fetch` and `write` know; people and calls among them."""
    note_limit: ClassVar[int] = 0
    """Characters of a call's notes that this CRM takes, what we add ourselves included; 0: it names no limit."""
    call_batch_size: ClassVar[int] = 1
    write_batch_size: ClassVar[int] = 1
    """How many records one `write` takes."""
    bulk_from: ClassVar[int] = 0
    """From so many records on a bulk job beats batches; 0: this CRM has none."""
    consent_options: ClassVar[tuple[str, ...]] = ()
    """What a person may say before they go to the consent page, of: login_url, client_id, client_secret."""
    has_consent_page: ClassVar[bool] = False
    has_stream: ClassVar[bool] = False
    app_webhooks: ClassVar[bool] = False
    """Deliveries for all accounts come to one address of the app and name their account."""
    unknown_outcome_pause: ClassVar[float] = 0
    """Seconds to wait before looking up a call whose first write got no answer."""

    def __init__(self, connection: Connection, api: Api) -> None:
        self.connection = connection
        self.api = api

    # --- before there is a connection -------------------------------------------------------------------------------

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

    # --- consent of a person in the browser -------------------------------------------------------------------------

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

    @classmethod  # noqa: B027 - there may be nothing to revoke
    def revoke(cls, credential: Credential, call: TokenCall) -> None:
        """Ends this credential at the CRM, as far as it can be ended from outside. A dead one is a success.

        Raises Retry when the service stumbled; the caller disconnects all the same.
        """

    # --- webhooks ---------------------------------------------------------------------------------------------------

    @classmethod
    def verify(cls, delivery: Delivery, trust: Trust) -> None:
        """Raises BadSignature unless the vendor has signed these very bytes, for this address, just now."""
        raise errors.Unsupported(f"{cls.label} sends no webhooks.")

    @classmethod
    def read_delivery(cls, delivery: Delivery, trust: Trust) -> list[RemoteEvent]:
        """The events of a verified delivery. Raises FixData when it can't be read."""
        raise errors.Unsupported(f"{cls.label} sends no webhooks.")

    @classmethod
    def reply(cls, delivery: Delivery) -> Reply:
        """What to answer, with status 200, once all events are stored."""
        return Reply()

    @classmethod
    def app_credential(cls) -> Credential:
        """What manages the app's own webhooks. Raises FixConfig naming the missing settings."""
        raise errors.Unsupported(f"{cls.label} has no webhooks of an app.")

    @classmethod
    def subscribe_app(cls, api: Api, url: str) -> list[str]:
        """Makes the app send everything we use to `url`. Safe to repeat. Returns what was changed, in sentences."""
        raise errors.Unsupported(f"{cls.label} has no webhooks of an app.")

    # --- what calls say -----------------------------------------------------------------------------------------------

    @classmethod
    def call_choice(cls, path: str, value: str, choices: Sequence[tuple[str, str]]) -> str | None:
        """Which of a call field's choices, as (value, label), this value of a disposition map is written as.

        Empty where this CRM keeps the word as text instead; None where it has no such choice (any more).
        """
        return value if value in {one for one, _label in choices} else None

    # --- answers ----------------------------------------------------------------------------------------------------

    @classmethod
    def classify(cls, response: requests.Response) -> errors.CrmError | None:
        """The error an answer means, None if it is a success. Providers override their oddities and call this for the rest."""
        return classify_by_status(response, cls.label)

    @classmethod
    def reads(cls, method: str, path: str) -> bool:
        """Whether such a request changes nothing."""
        return method in {"GET", "HEAD"}

    @classmethod
    def buckets(cls, method: str, path: str) -> tuple[str, ...]:
        """The rate-limit buckets that a request counts in. A bucket may be one that only headers have told of."""
        return tuple(limit.bucket for limit in cls.default_limits)

    @classmethod
    def rate_hints(cls, response: requests.Response, buckets: Sequence[str]) -> list[RateHint]:
        """What this answer says of our quota."""
        return []

    # --- one connection ---------------------------------------------------------------------------------------------

    @abstractmethod
    def identify(self) -> Account:
        """Asks the service who we are: the test of a connection."""

    @abstractmethod
    def prepare(self) -> Mapping[str, Any]:
        """Creates or looks up what logging calls exactly once needs in the account, and returns what to remember of it.

        Safe to repeat. Never raises for missing rights: it falls back and says so in `warnings` of the result.
        """

    @abstractmethod
    def describe(self, object_type: str) -> list[FieldSpec]:
        """Every field of the object type that this credential may see."""

    def describe_if_changed(self, object_type: str, stamp: str) -> Description:
        """`describe`, unless the CRM says that nothing changed since `stamp`. Rights alone may change without its saying so."""
        return Description(self.describe(object_type))

    def preflight(self) -> list[Finding]:
        """What this credential may not do that we need, each with what to click. Reads only, changes nothing.

        Never raises for missing rights: they are what it reports.
        """
        return []

    def users(self) -> list[CrmUser]:
        """Everybody who works in the CRM and may own records."""
        return []

    @abstractmethod
    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        """Pages of records changed since the cursor, oldest id or change first; everything when the cursor is None.

        Each page's cursor resumes after that page, also in another process and days later. A record may come twice, none is
        left out. `paths` are the mapping's CRM fields; the provider asks the service for no more than these and its own.
        """

    @abstractmethod
    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        """The records with these ids, in as few requests as the service allows."""

    def removals(self, object_type: str, since: datetime) -> Iterator[RemoteEvent]:
        """Deletions and merges since then that the CRM still tells of. Empty where it tells of none."""
        return iter(())

    def ids(self, object_type: str) -> Iterator[Sequence[str]]:
        """Pages of the ids of every record that this credential can see, at the lowest price the CRM offers."""
        for page in self.changes(object_type, None, ()):
            yield [record.id for record in page.records]

    def write(self, object_type: str, writes: Sequence[RecordWrite]) -> list[Written]:
        """Creates and updates at most `write_batch_size` records and answers for each by its key.

        A creation that meets its own earlier try, or a record that the CRM takes for the same person, ends at that record
        (`created` false) and updates it. An error that concerns one record stands in its `Written`; one that concerns all of
        them is raised.
        """
        raise errors.Unsupported(f"{self.label}: {object_type} records can't be written.")

    def delete(self, object_type: str, ids: Sequence[str]) -> list[Written]:
        """Deletes, by the CRM's own kind of deletion. One that is gone already is a success. Keys of the answers are the ids."""
        raise errors.Unsupported(f"{self.label}: {object_type} records can't be deleted.")

    def merge(self, object_type: str, winner: str, loser: str) -> str:
        """Merges two records in the CRM and returns the id of the one that is left."""
        raise errors.Unsupported(
            f"{self.label} lets no program merge records. Merge them in {self.label} itself; we follow by the next sync."
        )

    def start_bulk(self, object_type: str, writes: Iterable[RecordWrite]) -> Ticket:
        """Hands any number of records over as one job, read one by one and never all held. Returns what finds the job again."""
        raise errors.Unsupported(f"{self.label} has no bulk jobs.")

    def bulk_results(self, ticket: Ticket) -> Iterator[Written]:
        """What became of each record of a bulk job, in any order. Raises NotReady while the job runs."""
        raise errors.Unsupported(f"{self.label} has no bulk jobs.")

    def subscribe(self, url: str) -> list[str]:
        """Makes this account send its webhooks to `url`. Safe to repeat. Returns warnings; never raises for missing rights."""
        return []

    def unsubscribe(self) -> None:  # noqa: B027 - there may be nothing to take back
        """Takes back what `subscribe` did; for disconnecting."""

    def open_stream(self, positions: Mapping[str, Any]) -> ChangeStream:
        """`positions`: channel → the last stored position; a channel that is missing starts with new events only."""
        raise errors.Unsupported(f"{self.label} has no change stream.")

    @abstractmethod
    def log_calls(self, calls: Sequence[CallActivity]) -> list[Written]:
        """Writes at most `call_batch_size` calls, each once whatever happens, and answers for each by its key.

        An error that concerns one call stands in its `Written`; one that concerns all of them is raised. A call with
        `first_attempt_at` may have been written by an earlier try and is looked up or upserted, never posted blindly.
        """

    def book_meetings(self, meetings: Sequence[Meeting]) -> list[Written]:
        """Writes at most `call_batch_size` meetings under the same promises as `log_calls`."""
        raise errors.Unsupported(f"{self.label} keeps no meetings that we could write.")

    def cancel_meetings(self, meetings: Sequence[Agreed]) -> list[Written]:
        """Takes back at most `call_batch_size` meetings, whatever became of them since; safe to repeat.

        One without `crm_record_id` is looked for by its key. The answer's id is that of a meeting which stays in the CRM, marked as
        cancelled; it is blank where nothing is left, also where there never was one.
        """
        raise errors.Unsupported(f"{self.label} keeps no meetings that we could cancel.")

    def set_follow_ups(self, follow_ups: Sequence[FollowUp]) -> list[Written]:
        """Writes at most `call_batch_size` follow-ups under the same promises as `log_calls`."""
        raise errors.Unsupported(f"{self.label} keeps no tasks that we could write.")

    def write_notes(self, notes: Sequence[Note]) -> list[Written]:
        """Writes at most `call_batch_size` notes beside their calls under the same promises as `log_calls`."""
        raise errors.Unsupported(f"{self.label} keeps no notes beside calls.")

    @abstractmethod
    def record_url(self, object_type: str, record_id: str) -> str:
        """The page of a record in the CRM, for people."""
