from uuid import UUID

from sync.matching import NO_MATCH, Candidate, Index

ANN = Candidate(UUID(int=1), "ann@example.com", frozenset({"+14155550101"}), "Lee")
BOB = Candidate(UUID(int=2), "bob@example.com", frozenset({"+14155550102"}), "Ray")
HOUSEHOLD = Candidate(UUID(int=3), "", frozenset({"+14155550101"}), "Lee")


def test_an_e_mail_finds_its_owner() -> None:
    assert Index([ANN, BOB]).match({"email": "bob@example.com"}).id == BOB.id


def test_a_phone_finds_its_owner_in_either_field() -> None:
    assert Index([ANN]).match({"mobile_phone": "+14155550101", "last_name": "LEE"}).id == ANN.id


def test_a_phone_with_another_e_mail_or_name_is_another_person() -> None:
    assert Index([ANN]).match({"phone": "+14155550101", "email": "new@example.com"}) is NO_MATCH
    assert Index([ANN]).match({"phone": "+14155550101", "last_name": "Kim"}) is NO_MATCH


def test_two_who_fit_are_never_guessed_between() -> None:
    found = Index([ANN, HOUSEHOLD]).match({"phone": "+14155550101", "last_name": "Lee"})
    assert found.id is None
    assert {one.id for one in found.suspects} == {ANN.id, HOUSEHOLD.id}


def test_a_contact_is_matched_by_one_record_of_a_page_only() -> None:
    index = Index([ANN])
    assert index.match({"email": "ann@example.com"}).id == ANN.id
    assert index.match({"email": "ann@example.com"}) is NO_MATCH


def test_blank_values_match_nobody() -> None:
    blank = Candidate(UUID(int=4), "", frozenset(), "")
    assert Index([blank]).match({"email": None, "phone": ""}) is NO_MATCH
