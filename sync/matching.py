"""Finds which of our contacts a new record is. Pure: candidates in, a verdict out; never a guess.

The strategies in order: the CRM's id that a dialer kept with the contact, e-mail, phone, and a composite of two of e-mail, phone
and name with company where one alone is contradicted or fits several. Only one who fits, and whom nothing speaks against, is
linked. Everybody else who may be the same person is a suspect, for a person to look at. A contact that already stands for another
record of the same connection is no candidate: the CRM itself says that those are two people.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

CRM_ID, EMAIL, PHONE, COMPOSITE, FUZZY = "crm_id", "email", "phone", "composite", "fuzzy"
WEIGHTS = {"email": (0.5, -0.2), "phone": (0.4, -0.1), "name": (0.3, -0.4), "company": (0.1, -0.1)}
"""What it is worth when something is the same, and when it differs. What one side leaves blank says nothing."""
HIGHEST_SCORE = 0.99
FEWEST_TO_LINK = 2
LEGAL_FORMS = frozenset({
    "inc", "incorporated", "corp", "corporation", "company", "co", "llc", "llp", "lp", "ltd", "limited", "plc", "pllc", "gmbh",
    "mbh", "ag", "kg", "kgaa", "ohg", "ug", "se", "sa", "sas", "sarl", "srl", "spa", "bv", "nv", "ab", "as", "asa", "aps", "oy",
    "oyj", "pty", "kk", "sl", "doo", "sro", "zoo",
})  # fmt: skip
_DROPPED = re.compile("[\u0300-\u036f'’.]")
_BREAKS = re.compile(r"[\W_]+")
_LETTERS = str.maketrans("łøđðıæœ", "loddiao") | {ord("ß"): "s"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What matching needs to know of a contact of ours. `stored_ids`: ids of this CRM that a dialer kept with it."""

    id: UUID
    email: str
    phones: frozenset[str]
    last_name: str
    first_name: str = ""
    company: str = ""
    stored_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Suspect:
    """A contact that may be the same person. `reasons` are codes such as `email_same` or `name_differs`."""

    id: UUID
    by: str
    score: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """`id` None: the record is nobody we know for certain; whoever it may be stands in `suspects`."""

    id: UUID | None
    by: str = ""
    suspects: tuple[Suspect, ...] = ()


NO_MATCH = Match(None)


@dataclass(frozen=True, slots=True)
class _Person:
    email: str
    phones: frozenset[str]
    first_name: str
    last_name: str
    company: str


class Index:
    """The candidates of one page, by id, e-mail and phone. A contact that was matched is taken out."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._by: dict[str, dict[str, dict[UUID, Candidate]]] = {CRM_ID: {}, EMAIL: {}, PHONE: {}}
        for one in candidates:
            for by, key in _keys(one):
                self._by[by].setdefault(key, {})[one.id] = one
        self._nobody = not any(self._by.values())

    def match(self, values: Mapping[str, Any], crm_id: str = "") -> Match:
        """Whom a record with these dialer values is. The strategies are asked in order, the first that is certain decides."""
        if self._nobody:
            return NO_MATCH
        person = _person(values)
        by_id = self._found(CRM_ID, [crm_id])
        by_email = self._found(EMAIL, [person.email])
        by_phone = self._found(PHONE, person.phones)
        for by, fitting in ((CRM_ID, by_id), (EMAIL, by_email), (PHONE, by_phone)):
            certain = [one for one in fitting.values() if _certain(by, person, one)]
            if len(certain) == 1 and not (by == EMAIL and len(fitting) > 1):
                return self._take(certain[0], by)
            if certain:
                break
        everybody = {**by_phone, **by_email, **by_id}
        agreeing = [one for one in everybody.values() if _agreeing(person, one) >= FEWEST_TO_LINK]
        if len(agreeing) == 1:
            return self._take(agreeing[0], COMPOSITE)
        return _unclear(person, everybody, by_email)

    def _found(self, by: str, keys: Iterable[str]) -> dict[UUID, Candidate]:
        return {pk: one for key in keys if key for pk, one in self._by[by].get(key, {}).items()}

    def _take(self, one: Candidate, by: str) -> Match:
        for kind, key in _keys(one):
            self._by[kind].get(key, {}).pop(one.id, None)
        return Match(one.id, by)


def plain(text: str) -> str:
    """Without case, accents and punctuation; the database's `dialbridge_plain` does the same."""
    bare = _DROPPED.sub("", unicodedata.normalize("NFKD", text[:80].lower())).translate(_LETTERS)
    return _BREAKS.sub(" ", bare).strip()


def plain_company(text: str) -> str:
    """The same without legal forms, unless it consists of nothing else."""
    bare = plain(text)
    return " ".join(word for word in bare.split() if word not in LEGAL_FORMS) or bare


def threshold_of(settings: Mapping[str, Any], default: float = 0.85) -> float:
    """From which likeness of name and company somebody is a suspect: a connection's `fuzzy_threshold`, kept sensible."""
    try:
        return min(max(float(settings.get("fuzzy_threshold", default)), 0.7), 1.0)
    except (TypeError, ValueError):
        return default


def _keys(one: Candidate) -> list[tuple[str, str]]:
    found = [(CRM_ID, key) for key in one.stored_ids] + [(PHONE, key) for key in one.phones]
    return [*found, (EMAIL, one.email)] if one.email else found


def _person(values: Mapping[str, Any]) -> _Person:
    text = {name: str(values.get(name) or "") for name in ("email", "first_name", "last_name", "company")}
    phones = frozenset(str(values.get(name) or "") for name in ("phone", "mobile_phone")) - {""}
    return _Person(text["email"].lower(), phones, text["first_name"], text["last_name"], text["company"])


def _compared(person: _Person, one: Candidate) -> dict[str, bool]:
    """For what both sides know: whether it is the same. Names are known when both last names are."""
    found = {}
    if person.email and one.email:
        found["email"] = person.email == one.email
    if person.phones and one.phones:
        found["phone"] = not person.phones.isdisjoint(one.phones)
    if person.last_name and one.last_name:
        found["name"] = _same_name(person, one)
    if person.company and one.company:
        found["company"] = plain_company(person.company) == plain_company(one.company)
    return found


def _same_name(person: _Person, one: Candidate) -> bool:
    if plain(person.last_name) != plain(one.last_name):
        return False
    return not (person.first_name and one.first_name) or plain(person.first_name) == plain(one.first_name)


def _certain(by: str, person: _Person, one: Candidate) -> bool:
    """Whether one agreement is enough: an e-mail unless the names differ, a phone unless e-mail or names differ."""
    compared = _compared(person, one)
    if by == CRM_ID:
        return compared.get("email", True) or compared.get("name", True)
    return compared.get("name", True) and (by == EMAIL or compared.get("email", True))


def _agreeing(person: _Person, one: Candidate) -> int:
    """How many of e-mail, phone, and name with company are the same on both sides."""
    compared = _compared(person, one)
    whole_name = bool(person.first_name and one.first_name) and compared.get("name", False)
    named = whole_name and compared.get("company", False)
    return sum([compared.get("email", False), compared.get("phone", False), named])


def _unclear(person: _Person, everybody: Mapping[UUID, Candidate], by_email: Mapping[UUID, Candidate]) -> Match:
    """Nobody is certain: whoever is worth a look is named, the best first."""
    suspects = [
        suspect(person, one, EMAIL if one.id in by_email else PHONE)
        for one in everybody.values()
        if one.id in by_email or one.stored_ids or _worth_a_look(_compared(person, one))
    ]
    if not suspects:
        return NO_MATCH
    return Match(None, suspects[0].by, tuple(sorted(suspects, key=lambda one: (-one.score, one.id))))


def _worth_a_look(compared: Mapping[str, bool]) -> bool:
    """Of those who share a phone only: another name is a household's or an office's, and so is another e-mail without a name."""
    return compared.get("name", compared.get("email", True))


def suspect(person: _Person, one: Candidate, by: str) -> Suspect:
    compared = _compared(person, one)
    score = sum(WEIGHTS[name][0 if same else 1] for name, same in compared.items())
    reasons = tuple(f"{name}_{'same' if same else 'differs'}" for name, same in compared.items())
    return Suspect(one.id, by, round(min(max(score, 0.0), HIGHEST_SCORE), 2), reasons)


def fuzzy_suspects(found: Sequence[tuple[UUID, float]]) -> tuple[Suspect, ...]:
    """Contacts whose names and company are alike, by how much."""
    return tuple(Suspect(pk, FUZZY, round(likeness, 2), ("name_company_alike",)) for pk, likeness in found)
