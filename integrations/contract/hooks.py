"""Deliveries: are they the vendor's own, what do they say, and who gets them sent."""

from collections.abc import Mapping
from typing import Any

from integrations import errors
from integrations.contract.facts import Facts
from integrations.contract.ports import Api, ChangeStream
from integrations.records.connections import Credential
from integrations.records.events import Delivery, RemoteEvent, Reply, Trust


class Hooks(Facts):
    """Has defaults for a service that sends none."""

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

    def subscribe(self, url: str) -> list[str]:
        """Makes this account send its webhooks to `url`. Safe to repeat. Returns warnings; never raises for missing rights."""
        return []

    def unsubscribe(self) -> None:
        """Takes back what `subscribe` did; for disconnecting."""

    def open_stream(self, positions: Mapping[str, Any]) -> ChangeStream:
        """`positions`: channel → the last stored position; a channel that is missing starts with new events only."""
        raise errors.Unsupported(f"{self.label} has no change stream.")
