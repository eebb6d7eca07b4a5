"""The contract between Dialbridge and a CRM.

A provider is one class. Its methods are grouped by role, a module each in `integrations/contract/`. Its class attributes say
what the service is and allows; its class methods deal with credentials and answers before there is a connection; its instance
methods do the work for one connection, through an `Api` that signs, limits, breaks, classifies and records every request. A
provider never touches the database, never sleeps and never retries: it raises an error from `integrations.errors` that says
what to do, and the caller does it.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from integrations import errors
from integrations.contract.access import Access
from integrations.contract.activities import Activities
from integrations.contract.hooks import Hooks
from integrations.contract.reading import Reading
from integrations.contract.writing import Writing
from integrations.records.connections import Account, Finding
from integrations.records.limits import RateHint
from integrations.transport.classify import classify_by_status


class CrmProvider(Access, Hooks, Reading, Writing, Activities):
    """What every service has besides the roles: answers to judge, limits to keep, an account to be somebody in."""

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
    def quota_words(cls, bucket: str) -> str:
        """What people call a bucket; empty: as its name is written."""
        return ""

    @classmethod
    def rate_hints(cls, response: requests.Response, buckets: Sequence[str]) -> list[RateHint]:
        """What this answer says of our quota."""
        return []

    @abstractmethod
    def identify(self) -> Account:
        """Asks the service who we are: the test of a connection."""

    @abstractmethod
    def prepare(self) -> Mapping[str, Any]:
        """Creates or looks up what logging calls exactly once needs in the account, and returns what to remember of it.

        Safe to repeat. Never raises for missing rights: it falls back and says so in `warnings` of the result.
        """

    def preflight(self) -> list[Finding]:
        """What this credential may not do that we need, each with what to click. Reads only, changes nothing.

        Never raises for missing rights: they are what it reports.
        """
        return []
