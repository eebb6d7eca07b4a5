"""Who works in the organisation, and whose address is whose."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from integrations.providers.salesforce import soql
from integrations.providers.salesforce.ids import to_18
from integrations.records import CrmUser

FIELDS = ("Id", "Email", "Name", "IsActive")
# Guests, portal users and the service's own robots own nothing that is dialled.
PEOPLE = "UserType = 'Standard'"


class Users:
    """Remembers what it was asked for, for the life of one provider."""

    def __init__(self, rows: Callable[[str], Iterator[Mapping[str, Any]]]) -> None:
        self._rows = rows
        self._ids: dict[str, str] = {}

    def everybody(self) -> list[CrmUser]:
        return [
            CrmUser(
                id=to_18(str(row["Id"])),
                email=str(row.get("Email") or "").lower(),
                name=str(row.get("Name") or ""),
                active=row.get("IsActive") is True,
            )
            for row in self._rows(soql.select(FIELDS, "User", [PEOPLE], ["Id"]))
        ]

    def ids(self, emails: Iterable[str]) -> Mapping[str, str]:
        """Lower-case address → id of the active user who has it; empty where nobody has. The first of several is taken."""
        unknown = sorted({email.lower() for email in emails if email} - self._ids.keys())
        for query in soql.queries(_active, unknown):
            for row in self._rows(query):
                email = str(row.get("Email") or "").lower()
                self._ids[email] = self._ids.get(email) or to_18(str(row["Id"]))
        self._ids.update((email, "") for email in unknown if email not in self._ids)
        return self._ids


def _active(emails: Iterable[str]) -> str:
    return soql.select(["Id", "Email"], "User", ["IsActive = TRUE", PEOPLE, soql.among("Email", emails)], ["Id"])
