"""People whom the fake CRM knows."""

from typing import Any

from integrations.transport.client import Patience
from tests.fake_crm.provider import FakeService

PATIENCE = Patience(turn=1, retry=0)


def person(service: FakeService, record_id: str, **fields: Any) -> None:
    marks = {name: fields.pop(name) for name in ("moved_to", "deleted", "inactive") if name in fields}
    standard = {"first": "Ann", "last": f"Lee{record_id}", "email": f"ann{record_id}@example.com"}
    service.put_person(record_id, {**standard, **fields}, **marks)
