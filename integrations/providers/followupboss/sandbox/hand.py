"""What people do in the pages of the fake Follow Up Boss: by hand, as the owner, and told by webhooks like anything else."""

from collections.abc import Mapping
from typing import Any

from integrations.providers.followupboss.sandbox.calls import Calls
from integrations.providers.followupboss.sandbox.people import People
from integrations.providers.followupboss.sandbox.settings import AccountSettings

ACTIVITIES = ("calls", "notes", "tasks", "textMessages", "appointments")
OWNER = "1"


class ByHand(People, Calls, AccountSettings):
    def edit(self, object_type: str, record_id: str, fields: Mapping[str, Any]) -> None:
        """Several ids, joined by commas, are one bulk change."""
        self._sit_down()
        ids = record_id.split(",")
        found = [self._held(object_type, one) for one in ids]
        if object_type != "people":
            for one in found:
                self._change(object_type, one, fields)
        elif len(ids) == 1:
            self.change_person(found[0], self.checked(fields))
        else:
            for one in found:
                self.keep({**one, **self.checked(fields)})
            self.tell("peopleUpdated", [one["id"] for one in found])

    def _change(self, object_type: str, one: dict[str, Any], fields: Mapping[str, Any]) -> None:
        if object_type in ACTIVITIES:
            self.change_activity(object_type, one, dict(fields))
            return
        self.store.put(object_type.lower(), str(one["id"]), {**one, **fields})
        self.tell(f"{_noun(object_type)}Updated", [one["id"]])

    def add(self, object_type: str, fields: Mapping[str, Any]) -> str:
        self._sit_down()
        if object_type == "people":
            return str(self.new_person(self.checked(fields))["id"])
        if object_type in ACTIVITIES:
            self._held("people", str(fields["personId"]))
            return str(self.add_activity(object_type, dict(fields))["id"])
        if object_type == "customFields":
            made = self.add_custom_field(str(fields["label"]), str(fields["type"]), list(fields.get("choices") or []))
            return str(made["id"])
        return super().add(object_type, fields)

    def remove(self, object_type: str, record_id: str) -> None:
        self._sit_down()
        held = self._held(object_type, record_id)
        if object_type == "people":
            self.remove_person(record_id)
        elif object_type in ACTIVITIES:
            self.remove_activity(object_type, record_id)
        else:
            self.store.delete(object_type.lower(), record_id)
            self.tell(f"{_noun(object_type)}Deleted", [held["id"]])

    def _held(self, object_type: str, record_id: str) -> dict[str, Any]:
        held = self.store.get(object_type if object_type in ACTIVITIES else object_type.lower(), record_id)
        if held is None:
            raise KeyError(f"There is no {object_type} {record_id} in the followupboss sandbox.")
        return held

    def _sit_down(self) -> None:
        self.me = self.store.get("users", OWNER) or {}


def _noun(object_type: str) -> str:
    return "stage" if object_type == "stages" else object_type
