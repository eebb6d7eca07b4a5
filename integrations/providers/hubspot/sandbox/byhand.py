"""What people do in HubSpot's own pages."""

from collections.abc import Mapping
from typing import Any

from integrations.providers.hubspot.sandbox.objects import Objects
from integrations.providers.hubspot.sandbox.records import BY_HAND
from integrations.sandbox.store import Document


class ByHand(Objects):
    def edit(self, object_type: str, record_id: str, fields: Mapping[str, Any]) -> None:
        found = self._there(object_type, record_id)
        with self.by(BY_HAND):
            self.change(found, self.check(found["kind"], dict(fields), new=False, own_id=record_id))

    def add(self, object_type: str, fields: Mapping[str, Any]) -> str:
        kind = self.kind(object_type)
        with self.by(BY_HAND):
            return str(self.create(kind, self.check(kind, dict(fields), new=True))["id"])

    def remove(self, object_type: str, record_id: str) -> None:
        with self.by(BY_HAND):
            self.archive(self._there(object_type, record_id))

    def _there(self, object_type: str, record_id: str) -> Document:
        found = self.find(self.kind(object_type), record_id)
        if found is None:
            raise KeyError(f"{object_type} {record_id}")
        return found
