"""The provider of the CRM in memory: no HTTP, everything else as the contract says."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from integrations.providers.base import CrmProvider
from integrations.records.activities import CallActivity
from integrations.records.connections import Account, Credential
from integrations.records.events import RemoteEvent
from integrations.records.fields import FieldSpec, MappingDefault
from integrations.records.remote import ChangePage, Cursor, Fetched, RecordWrite, Written
from tests.sync.model.crm import KIND, OVERLAP, Crm

CRMS: dict[str, Crm] = {}
"""By the connection's id."""
TEXTS = ("first_name", "last_name", "company", "title")


class Provider(CrmProvider):
    slug = "telling"
    label = "Telling CRM"
    hosts = ()
    person_types = (KIND,)
    call_type = "calls"
    credential_forms = {"key": ("access_token",)}
    default_limits = ()
    default_mappings = (
        *(MappingDefault(name, name, "bidirectional") for name in TEXTS),
        MappingDefault("email", "email", "bidirectional", "lowercase"),
        MappingDefault("do_not_call", "dnc", "bidirectional", "boolean_checkbox"),
    )
    mapping_object = KIND
    default_dispositions = {}
    write_batch_size = 3

    @property
    def crm(self) -> Crm:
        self.api.calls += 1  # type: ignore[attr-defined]
        return CRMS[self.connection.id]

    @classmethod
    def base_url(cls, credential: Credential) -> str:
        return ""

    @classmethod
    def auth_headers(cls, credential: Credential) -> dict[str, str]:
        return {}

    def identify(self) -> Account:
        return Account("in-memory", self.label)

    def prepare(self) -> Mapping[str, Any]:
        return {}

    def describe(self, object_type: str) -> list[FieldSpec]:
        return []

    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        after, more = max(int((cursor or {}).get("after", 0)) - OVERLAP, 0), True
        while more:
            records, after, more = self.crm.page(after)
            yield ChangePage(records, {"after": after})

    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        return Fetched(*self.crm.fetch(ids))

    def removals(self, object_type: str, since: datetime) -> Iterator[RemoteEvent]:
        return iter(self.crm.removed)

    def write(self, object_type: str, writes: Sequence[RecordWrite]) -> list[Written]:
        return self.crm.write(writes)

    def log_calls(self, calls: Sequence[CallActivity]) -> list[Written]:
        return []

    def record_url(self, object_type: str, record_id: str) -> str:
        return f"https://{self.slug}.example/{record_id}"
