from collections import Counter

import phonenumbers
import pytest

from integrations.sandbox.people import Person, parsed, people

ALL_SEEDS = (11, 22, 33)


@pytest.fixture(scope="module")
def crowd() -> list[Person]:
    return people(1250, 33)


def test_the_same_seed_gives_the_same_people_and_a_shorter_list_is_a_beginning() -> None:
    assert people(300, 33) == people(300, 33)
    assert people(300, 33)[:120] == people(120, 33)
    assert people(40, 33) != people(40, 22)


def test_every_address_is_one_that_nobody_can_own(crowd: list[Person]) -> None:
    addresses = [person.email.strip().lower() for person in crowd if person.email]
    assert all(address.endswith((".example", "@example.com", "@example.org", "@example.net")) for address in addresses)
    assert all(address.isascii() and " " not in address and address.count("@") == 1 for address in addresses)


def test_most_phones_are_valid_in_their_country_and_some_are_rubbish(crowd: list[Person]) -> None:
    given = [person for person in crowd if person.phone]
    valid = [person for person in given if parsed(person.phone, person.country)]
    assert 0.93 < len(valid) / len(given) < 1


def test_american_numbers_are_all_from_the_range_reserved_for_fiction(crowd: list[Person]) -> None:
    numbers = [
        parsed(text, "US") for person in crowd if person.country == "US" for text in (person.phone, person.mobile)
    ]
    national = [str(number.national_number) for number in numbers if number]
    assert len(national) > 500
    assert {number[3:8] for number in national} == {"55501"}


def test_the_crowd_is_untidy(crowd: list[Person]) -> None:
    for blank in ("email", "phone", "mobile", "first_name", "company", "title", "street"):
        share = sum(not getattr(person, blank) for person in crowd) / len(crowd)
        assert 0 < share < 0.6, blank
    assert all(person.last_name for person in crowd)
    assert len({person.country for person in crowd}) >= 10
    assert any(not person.last_name.isascii() for person in crowd)
    assert any(" ext. " in person.phone for person in crowd)
    assert any(person.phone and not person.phone.strip().startswith("+") for person in crowd if person.country == "GB")
    assert 10 < sum(person.do_not_call for person in crowd) < 100


def test_a_duplicate_has_the_same_phone_and_address_in_other_words(crowd: list[Person]) -> None:
    duplicates = [person for person in crowd if person.duplicate_of]
    assert len(duplicates) > 25
    for person in duplicates:
        original = crowd[(person.duplicate_of or 0) - 1]
        assert original.number == person.duplicate_of
        assert person.email.lower() == original.email.strip().lower()
        assert parsed(person.phone, person.country) == parsed(original.phone, original.country) is not None
    assert any(person.phone != crowd[(person.duplicate_of or 0) - 1].phone for person in duplicates)


def test_nobody_but_a_duplicate_shares_a_number_or_an_address(crowd: list[Person]) -> None:
    originals = [person for person in crowd if person.duplicate_of is None]
    assert _shared(originals, _numbers) == []
    assert _shared(originals, _address) == []


def test_the_three_populations_meet_only_in_a_few_people() -> None:
    crowds = [{key for person in people(1200, seed) for key in _numbers(person)} for seed in ALL_SEEDS]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert 5 < len(crowds[one] & crowds[other]) < 80


def _numbers(person: Person) -> list[str]:
    both = (parsed(text, person.country) for text in (person.phone, person.mobile))
    return [phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) for number in both if number]


def _address(person: Person) -> list[str]:
    return [person.email.strip().lower()] if person.email else []


def _shared(crowd: list[Person], keys_of: object) -> list[str]:
    assert callable(keys_of)
    counts = Counter(key for person in crowd for key in keys_of(person))
    return [key for key, count in counts.items() if count > 1]
