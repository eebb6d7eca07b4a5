"""Who works in the organisation, and whose address is whose."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from integrations import errors
from integrations.providers.salesforce import failures, soql
from integrations.providers.salesforce.ids import to_18
from integrations.records.connections import CrmUser

log = logging.getLogger("dialbridge.salesforce")

FIELDS = ("Id", "Email", "Name", "IsActive")
# Guests, portal users and the service's own robots own nothing that is dialled.
PEOPLE = "UserType = 'Standard'"


class Users:
    """Remembers what it was asked for, for the life of one provider."""

    def __init__(self, rows: Callable[[str], Iterator[Mapping[str, Any]]]) -> None:
        self._rows = rows
        self._ids: dict[str, str] = {}

    def everybody(self) -> list[CrmUser]:
        def everybody(conditions: Sequence[str]) -> list[Mapping[str, Any]]:
            return list(self._rows(soql.select(FIELDS, "User", conditions, ["Id"])))

        return [
            CrmUser(
                id=to_18(str(row["Id"])),
                email=str(row.get("Email") or "").lower(),
                name=str(row.get("Name") or ""),
                active=row.get("IsActive") is True,
            )
            for row in _of_people(everybody)
        ]

    def ids(self, emails: Iterable[str]) -> Mapping[str, str]:
        """Lower-case address → id of the active user who has it; empty where nobody has, or where users are hidden from us.

        The first of several is taken.
        """
        unknown = sorted({email.lower() for email in emails if email} - self._ids.keys())
        try:
            found = _of_people(lambda conditions: self._active(unknown, conditions)) if unknown else []
        except errors.FixConfig as error:
            log.warning("Salesforce hides its users from this connection, so owners stay as they are: %s", error.detail)
            found = []
        for row in found:
            email = str(row.get("Email") or "").lower()
            self._ids[email] = self._ids.get(email) or to_18(str(row["Id"]))
        self._ids.update((email, "") for email in unknown if email not in self._ids)
        return self._ids

    def _active(self, emails: Sequence[str], conditions: Sequence[str]) -> list[Mapping[str, Any]]:
        def active(some: Iterable[str]) -> str:
            where = ["IsActive = TRUE", *conditions, soql.among("Email", some)]
            return soql.select(["Id", "Email"], "User", where, ["Id"])

        return [row for query in soql.queries(active, emails) for row in self._rows(query)]


def _of_people(rows: Callable[[Sequence[str]], list[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """Without robots and guests, where the kind of a user is shown to us."""
    try:
        return rows([PEOPLE])
    except errors.FixConfig as error:
        if error.cause != failures.SCHEMA:
            raise
        return rows([])
