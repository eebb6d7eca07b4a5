"""One case per CRM of the registry: its sandbox runs, a tenant is connected, and the real transport stands between them."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from integrations.crm import open_crm
from integrations.models import CrmConnection, Tenant
from integrations.providers.base import CrmProvider
from integrations.records.activities import CallActivity, Direction
from integrations.records.remote import RecordWrite, RemoteRecord
from integrations.registry import provider_class
from integrations.sandbox.server import SandboxServer
from integrations.transport.client import Patience
from mapping.publishing import compiled
from sync.models import SyncRun
from sync.pull import pull

PATIENCE = Patience(turn=12, retry=3)


@dataclass
class Case:
    slug: str
    server: SandboxServer
    tenant: Tenant
    credential: dict[str, Any]
    row: CrmConnection
    known: tuple[str, str] | None = None

    @property
    def provider(self) -> CrmProvider:
        return open_crm(self.row, PATIENCE)[0]

    def record(self) -> tuple[str, str]:
        """Object type and id of somebody with a phone."""
        self.known = self.known or self._somebody()
        return self.known

    def _somebody(self) -> tuple[str, str]:
        kind = self.provider.person_types[0]
        paths = compiled(self.row, kind).engine.crm_fields
        page = next(iter(self.provider.changes(kind, None, paths)))
        engine = compiled(self.row, kind).engine
        with engine.session() as session:
            found = next(one for one in page.records if session.inbound(one.fields).values.get("phone"))
        return found.object_type, found.id

    def call(self, **more: Any) -> CallActivity:
        object_type, record_id = self.record()
        standard = CallActivity(
            key=str(uuid.uuid4()),
            object_type=object_type,
            record_id=record_id,
            direction=Direction.OUTBOUND,
            started_at=datetime(2026, 1, 21, 14, 30, tzinfo=UTC),
            duration_seconds=342,
            disposition="Voicemail",
            outcome=provider_class(self.slug).default_dispositions["Voicemail"],
            subject="Call - Voicemail",
            notes="Left a message <b>twice</b> & hung up\nsecond line – naïve",
            phone="+14155550123",
            recording_url="https://dialer.example/api/recordings/1/play",
        )
        return replace(standard, **more)

    def pull_all(self, kind: str) -> SyncRun:
        """A full run to its end, two minutes later: it leaves out what changed this very moment, and a bulk job takes its time."""
        self.server.service.clock.advance(120)
        pulled = pull(self.row, kind, PATIENCE, full=True)
        while not pulled.finished:
            time.sleep(0.05)
            pulled = pull(self.row, kind, PATIENCE, run=pulled.run)
        return pulled.run

    # --- people ---------------------------------------------------------------------------------------------------

    def fetch(self, record_id: str, kind: str = "") -> RemoteRecord:
        kind = kind or self.provider.person_types[0]
        found = self.provider.fetch(kind, [record_id], compiled(self.row, kind).engine.crm_fields)
        return found.records[0]

    def read(self, record_id: str, kind: str = "") -> dict[str, Any]:
        """The dialer's values of a record as the CRM holds it now."""
        kind = kind or self.provider.person_types[0]
        with compiled(self.row, kind).engine.session() as session:
            return session.inbound(self.fetch(record_id, kind).fields).values

    def to_write(self, values: Mapping[str, Any], record_id: str = "", **more: Any) -> RecordWrite:
        """These dialer values on their way out, through the tenant's mapping."""
        kind = self.provider.person_types[0]
        existing = self.fetch(record_id).fields if record_id else None
        with compiled(self.row, kind).engine.session() as session:
            mapped = session.outbound(values, existing=existing)
        assert not mapped.problems
        return RecordWrite(more.pop("key", str(uuid.uuid4())), mapped.values, record_id, seen=existing or {}, **more)

    def held(self, key: str) -> list[Any]:
        marked = self.server.service.key_of(key)
        return [one for one in self.server.service.logged_calls() if one.key == marked]
