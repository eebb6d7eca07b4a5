"""Merges what a mapping says into lists that Follow Up Boss replaces as a whole: phones, e-mail addresses, addresses, tags.

An entry finds its home by value, then by type or by being the primary one, then by place. Entries that the mapping does not
name are kept, and so is the spelling of a number that differs in format alone. Everything here is pure.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import phonenumbers

Entry: TypeAlias = dict[str, Any]
Record: TypeAlias = Mapping[str, Any]
Same: TypeAlias = Callable[[str, str], bool]
Means: TypeAlias = Callable[[Entry, Record, bool], bool]
"""Whether a present entry is what a wanted one means; the flag says that they stand at the same place."""

ADDRESS = ("type", "street", "city", "state", "code", "country")


def same_phone(region: str) -> Same:
    """Compares numbers as they are dialled, whatever their format."""
    return lambda one, other: dialled(one, region) == dialled(other, region)


def dialled(text: str, region: str) -> str:
    """E.164, or the bare text of what is no number."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return text.strip()
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def national(text: str, region: str) -> str:
    """The digits without the country's code, as Follow Up Boss keeps most numbers."""
    try:
        return phonenumbers.national_significant_number(phonenumbers.parse(text, region))
    except phonenumbers.NumberParseException:
        return text.strip()


def same_email(one: str, other: str) -> bool:
    return one.strip().lower() == other.strip().lower()


def contacts(
    present: Sequence[Record], wanted: Sequence[Record], same: Same, seen: Sequence[Record] = ()
) -> list[Entry]:
    """Phones or e-mail addresses as they are to be.

    A wanted entry without a value takes its counterpart away. One that was seen and is not wanted goes; one that was not seen
    was added by somebody since, and stays.
    """
    entries = plain(present)
    homes = _homes(entries, wanted, (_is_equal(same), _is_chosen))
    gone = _taken_away(entries, homes, [_value(one) for one in seen], lambda entry, old: same(_value(entry), old))
    primary: int | None = None
    for place, want in enumerate(wanted):
        home = homes.get(place)
        if not want.get("value"):
            gone |= {home} if home is not None else set()
            continue
        if home is None:
            home = len(entries)
            entries.append(_kept({"isPrimary": 0, **want}))
        else:
            entries[home] = _overlaid(entries[home], want, same)
        primary = home if want.get("isPrimary") else primary
    if primary is not None:
        for place, entry in enumerate(entries):
            entry["isPrimary"] = int(place == primary)
    return [entry for place, entry in enumerate(entries) if place not in gone]


def plain(present: Sequence[Record]) -> list[Entry]:
    return [_kept(one) for one in present]


def addresses(present: Sequence[Record], wanted: Sequence[Record], seen: Sequence[Record] = ()) -> list[Entry]:
    """As with `contacts`; an address finds its home by being the same, by type, or by place."""
    found = plain_addresses(present)
    given = [{key: value or "" for key, value in want.items() if key in ADDRESS} for want in wanted]
    homes = _homes(found, given, (_is_within, _is_of_type))
    gone = _taken_away(found, homes, plain_addresses(seen), lambda entry, old: entry == old)
    for place, want in enumerate(given):
        if place in homes:
            found[homes[place]] |= want
        else:
            found.append(want)
    return [entry for place, entry in enumerate(found) if place not in gone]


def plain_addresses(present: Sequence[Record]) -> list[Entry]:
    return [{key: one.get(key) or "" for key in ADDRESS if key in one} for one in present]


def new_tags(present: Sequence[str], wanted: Sequence[str]) -> list[str]:
    known = {tag.strip().lower() for tag in present}
    return [tag for tag in dict.fromkeys(wanted) if tag.strip() and tag.strip().lower() not in known]


def without_tags(present: Sequence[str], removed: Sequence[str]) -> list[str]:
    words = {tag.strip().lower() for tag in removed}
    return [tag for tag in present if tag.strip().lower() not in words]


def _homes(entries: Sequence[Entry], wanted: Sequence[Record], rules: Sequence[Means]) -> dict[int, int]:
    """Which present entry each wanted one means: equal ones first, so that a changed one can't take their place."""
    homes: dict[int, int] = {}
    for means in rules:
        for place, want in enumerate(wanted):
            if place in homes:
                continue
            free = (home for home in range(len(entries)) if home not in homes.values())
            home = next((home for home in free if means(entries[home], want, home == place)), None)
            if home is not None:
                homes[place] = home
    return homes


def _taken_away(
    entries: Sequence[Entry], homes: Mapping[int, int], seen: Sequence[Any], equal: Callable[[Entry, Any], bool]
) -> set[int]:
    """Entries that were seen and that no wanted one means."""
    free = set(range(len(entries))) - set(homes.values())
    return {place for place in free if any(equal(entries[place], old) for old in seen)}


def _is_equal(same: Same) -> Means:
    def means(entry: Entry, want: Record, _in_place: bool) -> bool:
        kind = want.get("type", entry["type"])
        return bool(want.get("value")) and same(_value(entry), _value(want)) and bool(kind == entry["type"])

    return means


def _is_chosen(entry: Entry, want: Record, in_place: bool) -> bool:
    if "type" in want:
        return bool(want["type"] == entry["type"])
    return bool(entry["isPrimary"]) if want.get("isPrimary") else in_place


def _is_within(entry: Entry, want: Record, _in_place: bool) -> bool:
    """The same in all that is named, and at least a street or a town is."""
    return bool(want.get("street") or want.get("city")) and all(entry.get(key) == value for key, value in want.items())


def _is_of_type(entry: Entry, want: Record, in_place: bool) -> bool:
    return entry.get("type") == want["type"] if want.get("type") else in_place


def _overlaid(entry: Entry, want: Record, same: Same) -> Entry:
    value = entry["value"] if same(_value(entry), _value(want)) else want["value"]
    return {**entry, **{key: want[key] for key in ("type",) if want.get(key)}, "value": value}


def _value(one: Record) -> str:
    return str(one.get("value") or "")


def _kept(one: Record) -> Entry:
    return {"value": one.get("value"), "type": one.get("type"), "isPrimary": int(bool(one.get("isPrimary")))}
