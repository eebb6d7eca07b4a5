"""Phone numbers in E.164, as the library reads them, in a tenth of its time for the usual ones.

A number in international form, or in the national form of the North American plan, is usual when its plan's main region knows it
as valid: the library would come to the same. Whatever else comes is left to the library.
"""

import re
from collections.abc import Callable
from functools import cache, lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberDesc

E164 = phonenumbers.PhoneNumberFormat.E164
_INTERNATIONAL = re.compile(r"\+([1-9][0-9]{6,14})")
_NORTH_AMERICAN = re.compile(r"1?([2-9][0-9]{9})")
_PUNCTUATION = str.maketrans("", "", "()-. ")
_PUNCTUATED = re.compile(r"[0-9(][0-9(). -]{8,18}[0-9]")
_NORTH_AMERICANS = frozenset({"US", "CA"})
_KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail",
)  # fmt: skip
Matches = Callable[[str], object]


@lru_cache(100_000)
def e164(text: str, region: str, accept: str) -> str | None:
    """The number, or None when it isn't valid (or with `accept` "possible", not even possible). The same ones come again."""
    if accept != "possible":
        found = _usual(text, region)
        if found is not None:
            return found
    return _by_the_library(text, region, accept)


def _by_the_library(text: str, region: str, accept: str) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if accept == "possible":
        reason = phonenumbers.is_possible_number_with_reason(number)
        fits = reason == phonenumbers.ValidationResult.IS_POSSIBLE
    else:
        fits = phonenumbers.is_valid_number(number)
    return phonenumbers.format_number(number, E164) if fits else None


def _usual(text: str, region: str) -> str | None:
    """A valid number, or None when the library has to be asked."""
    if text[:1] == "+":
        return _international(text if text[1:].isdigit() else text.translate(_PUNCTUATION))
    if region not in _NORTH_AMERICANS or not _PUNCTUATED.fullmatch(text):
        return None
    national = _NORTH_AMERICAN.fullmatch(text.translate(_PUNCTUATION))
    matches = _plan("1")
    return f"+1{national[1]}" if national and matches is not None and matches(national[1]) else None


def _international(text: str) -> str | None:
    code = _code_of(text) if _INTERNATIONAL.fullmatch(text) else ""
    matches = _plan(code) if code else None
    return text if matches is not None and matches(text[1 + len(code) :]) else None


def _code_of(text: str) -> str:
    """The country's code: the only beginning that is one."""
    for length in (1, 2, 3):
        if int(text[1 : 1 + length]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return text[1 : 1 + length]
    return ""


@cache
def _plan(code: str) -> Matches | None:
    """Tells whether the code's main region knows a number, whose form its rules for prefixes leave alone, as valid."""
    region = phonenumbers.region_code_for_country_code(int(code))
    metadata = PhoneMetadata.metadata_for_region(region)
    if metadata is None or metadata.leading_digits is not None or metadata.general_desc is None:
        return None
    kinds = [one for name in _KINDS if (one := getattr(metadata, name)) is not None and one.national_number_pattern]
    general, known = _pattern([metadata.general_desc]), _pattern(kinds)
    prefix = metadata.national_prefix_for_parsing
    altered = re.compile(prefix) if prefix else None

    def matches(number: str) -> bool:
        if number[0] == "0" or (altered is not None and altered.match(number)):
            return False
        return general(number) is not None and known(number) is not None

    return matches


def _pattern(descriptions: list[PhoneNumberDesc]) -> Callable[[str], re.Match[str] | None]:
    """Any of these: a number of a possible length that its pattern matches as a whole."""
    parts = []
    for one in descriptions:
        lengths = "|".join(f".{{{length}}}" for length in one.possible_length)
        parts.append(
            f"(?=(?:{lengths})\\Z)(?:{one.national_number_pattern})"
            if lengths
            else f"(?:{one.national_number_pattern})"
        )
    return re.compile("|".join(f"(?:{part})\\Z" for part in parts)).match
