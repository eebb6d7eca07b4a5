"""The contract between Dialbridge and a CRM.

A provider is one class. Its class attributes say what the service is and allows; its class methods deal with credentials and
answers before there is a connection; its instance methods do the work for one connection, through an `Api` that signs, limits,
breaks, classifies and records every request. A provider never touches the database, never sleeps and never retries: it raises
an error from `integrations.errors` that says what to do, and the caller does it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Protocol

import requests

from integrations import errors
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
from integrations.transport.classify import classify_by_status


class Api(Protocol):
    """What a provider may ask of the transport. `path` is joined to the provider's base URL; an absolute URL of an allowed
    host is taken as it is. Answers are 2xx (or listed in `accept`); everything else is raised as an error.

    `repeatable` says that sending the request twice does no harm: only then may the transport try again by itself. It is true
    for GET unless said otherwise. A request that is not repeatable and got no answer raises `OutcomeUnknown`.
    """

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        accept: Sequence[int] = (),
        read_timeout: float | None = None,
    ) -> requests.Response: ...


class TokenCall(Protocol):
    """Sends one form-encoded request to a token endpoint: allowed hosts only, time-outs, no retry, any status returned.

    Raises `Retry` when no answer came.
    """

    def __call__(
        self, url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None = None
    ) -> requests.Response: ...


class CrmProvider(ABC):
    slug: ClassVar[str]
    label: ClassVar[str]
    hosts: ClassVar[tuple[str, ...]]
    """Host names we may talk to over https; a leading `*.` stands for any one or more labels."""
    person_types: ClassVar[tuple[str, ...]]
    """Object types that hold people to dial, in the order to pull them."""
    call_type: ClassVar[str]
    """Object type that a logged call becomes."""
    credential_forms: ClassVar[Mapping[str, tuple[str, ...]]]
    """Kind of credential → keys it must have, as `connect_crm` takes them. `a|b` means one of them."""
    default_limits: ClassVar[tuple[RateLimit, ...]]
    default_mappings: ClassVar[tuple[MappingDefault, ...]]
    mapping_object: ClassVar[str]
    """Object type that the default mappings are written for."""
    default_dispositions: ClassVar[Mapping[str, Mapping[str, Any]]]
    call_batch_size: ClassVar[int] = 1
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

    # --- answers ----------------------------------------------------------------------------------------------------

    @classmethod
    def classify(cls, response: requests.Response) -> errors.CrmError | None:
        """The error an answer means, None if it is a success. Providers override their oddities and call this for the rest."""
        return classify_by_status(response, cls.label)

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

    @abstractmethod
    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        """Pages of records changed since the cursor, oldest id or change first; everything when the cursor is None.

        Each page's cursor resumes after that page, also in another process and days later. A record may come twice, none is
        left out. `paths` are the mapping's CRM fields; the provider asks the service for no more than these and its own.
        """

    @abstractmethod
    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        """The records with these ids, in as few requests as the service allows."""

    @abstractmethod
    def log_calls(self, calls: Sequence[CallActivity]) -> list[Written]:
        """Writes at most `call_batch_size` calls, each once whatever happens, and answers for each by its key.

        An error that concerns one call stands in its `Written`; one that concerns all of them is raised. A call with
        `first_attempt_at` may have been written by an earlier try and is looked up or upserted, never posted blindly.
        """

    @abstractmethod
    def record_url(self, object_type: str, record_id: str) -> str:
        """The page of a record in the CRM, for people."""
