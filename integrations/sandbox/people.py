"""Invented people for the sandboxes: many countries and scripts, as untidy as a real CRM, and the same on every run.

A person depends on the seed and on the people before, so that a shorter list is the beginning of a longer one. Numbers
are dealt from ranges reserved for fiction and never twice, except to a duplicate; seeds that differ modulo 3 share no
number and no e-mail address, apart from every fiftieth person, who is the same under every seed: somebody who is in
all three CRMs.
"""

import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from random import Random

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat

from integrations.sandbox.people_data import COMPANIES, COUNTRIES, MAIL_DOMAINS, RUBBISH_PHONES, TITLES, Country

COMMON_EVERY = 50
SHARE = float(os.environ.get("SANDBOX_SHARE", "1"))
"""How much of its people a CRM starts with. Tests that look at one of them take a small part."""
COMMON_CLASS = 3
CLASSES = 4


@dataclass(frozen=True)
class Person:
    number: int
    """1 and up."""
    first_name: str
    last_name: str
    """Never blank."""
    email: str
    phone: str
    """As somebody typed it: often in the country's own notation, sometimes nonsense, sometimes blank."""
    mobile: str
    company: str
    title: str
    country: str
    """ISO 3166, two letters."""
    city: str
    street: str
    postal_code: str
    do_not_call: bool
    duplicate_of: int | None
    """Number of the earlier entry that is the same person under another spelling of e-mail and phone."""


def part(count: int) -> int:
    """How many of so many people a CRM starts with here."""
    return max(1, round(count * SHARE))


def people(count: int, seed: int) -> list[Person]:
    return list(_dealt(count, seed))


@cache
def _dealt(count: int, seed: int) -> tuple[Person, ...]:
    deck = _Deck(seed)
    return tuple(deck.deal(number) for number in range(1, count + 1))


class _Deck:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._dealt: list[Person] = []
        self._used: Counter[tuple[str, str, int]] = Counter()

    def deal(self, number: int) -> Person:
        common = number % COMMON_EVERY == 0
        draw = Random(f"{'everywhere' if common else self._seed}-{number}")  # noqa: S311 - repeatable on purpose
        original = None if common or draw.random() > 0.04 else self._original(draw)
        person = self._new(number, draw, common=common) if original is None else _again(original, number, draw)
        self._dealt.append(person)
        return person

    def _original(self, draw: Random) -> Person | None:
        """Somebody recent who can be recognised by e-mail and phone."""
        usable = [
            person
            for person in self._dealt[-100:]
            if person.duplicate_of is None and person.email and _is_number(person)
        ]
        return draw.choice(usable) if usable else None

    def _new(self, number: int, draw: Random, *, common: bool) -> Person:
        klass = COMMON_CLASS if common else self._seed % 3
        country = draw.choices(COUNTRIES, weights=[country.weight for country in COUNTRIES])[0]
        first, last = draw.choice(country.first_names), draw.choice(country.last_names)
        company = "" if draw.random() < 0.12 else draw.choice(COMPANIES)
        city, postal_code = draw.choice(country.places)
        phone = self._phone(country, "fixed", klass, draw)
        mobile = self._phone(country, "mobile", klass, draw)
        return Person(
            number=number,
            first_name="" if draw.random() < 0.03 else first,
            last_name=last,
            email="" if draw.random() < 0.07 else _email(first, last, company, number * CLASSES + klass, draw),
            phone=_untidy(phone, draw, blank=0.06, rubbish=0.03),
            mobile=_untidy(mobile, draw, blank=0.2, rubbish=0.01),
            company=company,
            title="" if draw.random() < 0.25 else draw.choice(TITLES),
            country=country.code,
            city=city,
            street="" if draw.random() < 0.3 else draw.choice(country.streets).format(draw.randint(1, 9900)),
            postal_code=postal_code,
            do_not_call=draw.random() < 0.03,
            duplicate_of=None,
        )

    def _phone(self, country: Country, kind: str, klass: int, draw: Random) -> str:
        """The next free number of the country in one of the notations people use; blank when the ranges are used up."""
        turn = self._used[country.code, kind, klass]
        self._used[country.code, kind, klass] += 1
        numbers = country.fixed if kind == "fixed" else country.mobile
        national = numbers.at(turn * CLASSES + klass) if numbers else ""
        return (
            _notation(PhoneNumber(country_code=country.calling_code, national_number=int(national)), draw)
            if national
            else ""
        )


def _notation(number: PhoneNumber, draw: Random) -> str:
    national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    international = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    return draw.choice(
        (
            phonenumbers.format_number(number, PhoneNumberFormat.E164),
            international,
            national,
            national,
            re.sub(r"[\s-]+", ".", re.sub(r"[()]", "", national)),
            re.sub(r"\D", "", national),
            f" {national} ",
            f"{national} ext. {draw.randint(10, 999)}",
            f"{international} x{draw.randint(10, 99)}",
        )
    )


def _untidy(phone: str, draw: Random, *, blank: float, rubbish: float) -> str:
    chance = draw.random()
    nonsense = draw.choice(RUBBISH_PHONES)
    if chance < blank:
        return ""
    return nonsense if chance < blank + rubbish else phone


def _email(first: str, last: str, company: str, unique: int, draw: Random) -> str:
    domains = [*MAIL_DOMAINS, f"{_plain(company) or 'mail'}.example"]
    name = draw.choice((f"{_plain(first)}.{_plain(last)}", f"{_plain(first)[:1]}{_plain(last)}", _plain(last)))
    address = f"{name.strip('.') or 'contact'}{unique}@{draw.choice(domains)}"
    return draw.choice((address, address, address, address.title(), f" {address}"))


def _plain(text: str) -> str:
    """The ASCII letters and digits of a name, accents taken off; blank for other scripts."""
    decomposed = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", decomposed.lower())


def _is_number(person: Person) -> bool:
    return parsed(person.phone, person.country) is not None


def parsed(phone: str, country: str) -> PhoneNumber | None:
    """The number if it is a valid one in that country, without its extension."""
    try:
        number = phonenumbers.parse(phone, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return PhoneNumber(country_code=number.country_code, national_number=number.national_number)


def _again(original: Person, number: int, draw: Random) -> Person:
    """The same person typed in once more, by somebody else."""
    phone = parsed(original.phone, original.country)
    email = original.email.strip()
    return replace(
        original,
        number=number,
        first_name=draw.choice((original.first_name, original.first_name[:1], original.first_name.upper())),
        email=draw.choice((email.upper(), email.lower(), email.swapcase())),
        phone=_notation(phone, draw) if phone else original.phone,
        mobile=draw.choice((original.mobile, "")),
        title=draw.choice((original.title, "")),
        street="",
        do_not_call=False,
        duplicate_of=original.number,
    )
