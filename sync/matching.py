"""Finds which of our contacts a new record is. Pure: candidates in, a verdict out; never a guess.

A contact that already stands for another record of the same connection is no candidate: the CRM itself says that those are
two people.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Candidate:
    """What matching needs to know of a contact of ours."""

    id: UUID
    email: str
    phones: frozenset[str]
    last_name: str


@dataclass(frozen=True, slots=True)
class Match:
    """`id` None with `rivals`: several fit equally well, a person has to look."""

    id: UUID | None
    by: str = ""
    rivals: tuple[UUID, ...] = ()


NO_MATCH = Match(None)


class Index:
    """The candidates of one page, by e-mail and by phone. A contact that was matched is taken out."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._by_email: dict[str, dict[UUID, Candidate]] = {}
        self._by_phone: dict[str, dict[UUID, Candidate]] = {}
        for one in candidates:
            if one.email:
                self._by_email.setdefault(one.email, {})[one.id] = one
            for phone in one.phones:
                self._by_phone.setdefault(phone, {})[one.id] = one

    def match(self, values: Mapping[str, Any]) -> Match:
        """By e-mail first, then by phone; a phone match also needs names and e-mails that don't contradict it."""
        email = str(values.get("email") or "").lower()
        found = self._verdict(self._by_email.get(email, {}) if email else {}, "email")
        if found is not NO_MATCH:
            return found
        fitting: dict[UUID, Candidate] = {}
        for name in ("phone", "mobile_phone"):
            for one in self._by_phone.get(str(values.get(name) or ""), {}).values():
                if _compatible(one, email, str(values.get("last_name") or "")):
                    fitting[one.id] = one
        return self._verdict(fitting, "phone")

    def _verdict(self, fitting: Mapping[UUID, Candidate], by: str) -> Match:
        if not fitting:
            return NO_MATCH
        if len(fitting) > 1:
            return Match(None, by, tuple(sorted(fitting)))
        one = next(iter(fitting.values()))
        self._take_out(one)
        return Match(one.id, by)

    def _take_out(self, one: Candidate) -> None:
        self._by_email.get(one.email, {}).pop(one.id, None)
        for phone in one.phones:
            self._by_phone.get(phone, {}).pop(one.id, None)


def _compatible(one: Candidate, email: str, last_name: str) -> bool:
    if email and one.email and email != one.email:
        return False
    return not (last_name and one.last_name) or last_name.casefold() == one.last_name.casefold()
