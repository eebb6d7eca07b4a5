import random

import phonenumbers
import pytest

from mapping import numbers

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
NATIONAL = ("({}) {}-{}", "{}-{}-{}", "{}{}{}", "1 {} {} {}", "1-{}-{}-{}", "{}.{}.{}", "({}){} {}")


def by_the_library(text: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    valid = phonenumbers.is_valid_number(number)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if valid else None


def altered(digits: str, chance: random.Random) -> str:
    """With some of the last digits replaced, so that both valid and invalid numbers come of it."""
    kept = digits[: len(digits) - chance.randint(0, min(6, len(digits) - 1))]
    return kept + "".join(chance.choice("0123456789") for _ in range(len(digits) - len(kept)))


@pytest.mark.parametrize("seed", range(4))
def test_a_number_of_any_country_is_read_as_the_library_reads_it(seed: int) -> None:
    chance = random.Random(seed)
    for region in REGIONS[seed::4]:
        example = phonenumbers.example_number(region)
        assert example is not None
        forms = [f"+{example.country_code}{altered(str(example.national_number), chance)}" for _ in range(3)]
        forms.append(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.INTERNATIONAL))
        for text in forms:
            assert numbers.e164(text, "US", "valid") == by_the_library(text, "US"), text


@pytest.mark.parametrize("form", NATIONAL)
def test_a_north_american_number_is_read_as_the_library_reads_it(form: str) -> None:
    chance = random.Random(form)
    for _ in range(100):
        digits = str(chance.randint(10**9, 10**10 - 1))
        text = form.format(digits[:3], digits[3:6], digits[6:])
        for region in ("US", "CA", "DE"):
            assert numbers.e164(text, region, "valid") == by_the_library(text, region), (text, region)


@pytest.mark.parametrize(
    "text",
    ["", "+", "+1", "+0123456789", "+999123456789", "+44 (0)20 7183 8750", "011 44 20 7183 8750", "415-555-1234 x9"],
)
def test_an_odd_number_is_read_as_the_library_reads_it(text: str) -> None:
    assert numbers.e164(text, "US", "valid") == by_the_library(text, "US")


def test_a_possible_number_need_not_be_valid() -> None:
    assert numbers.e164("(111) 555-1234", "US", "valid") is None
    assert numbers.e164("(111) 555-1234", "US", "possible") == "+11115551234"
