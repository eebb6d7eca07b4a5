"""Guessing at passwords, keys and mailboxes gets slower and slower, and locks nobody out."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone

from integrations import audit, guessing, tenancy
from integrations.guessing import ADDRESS, API_KEYS, PERSON_ANYWHERE, PERSON_HERE, RESET_OF_PERSON, Count, Rule
from integrations.models import AuditEntry, GuessCount
from tests.attacks.conftest import PASSWORD

LOGIN = "/admin/login/"
WRONG = "not-the-password"
HERE, ELSEWHERE = "203.0.113.7", "198.51.100.9"
REFUSED = "too many attempts"


def try_to_log_in(name: str, password: str, address: str = HERE) -> Any:
    return Client(REMOTE_ADDR=address).post(LOGIN, {"username": name, "password": password})


def is_in(answer: Any) -> bool:
    return bool(answer.status_code == 302)


def is_told_to_wait(answer: Any) -> bool:
    return REFUSED in answer.content.decode()


def later(seconds: float) -> None:
    """As if so much time had gone by."""
    for count in GuessCount.objects.all():
        gone = timedelta(seconds=seconds)
        count.last_at -= gone
        count.wait_until = count.wait_until and count.wait_until - gone
        count.save()


def test_after_five_failures_even_the_right_password_waits_and_then_works(ann: User) -> None:
    for _ in range(PERSON_HERE.free):
        assert not is_told_to_wait(try_to_log_in(ann.username, WRONG))
    waiting = try_to_log_in(ann.username, PASSWORD)
    assert is_told_to_wait(waiting)
    assert "1 minute" in waiting.content.decode()
    later(PERSON_HERE.first)
    assert is_in(try_to_log_in(ann.username, PASSWORD))
    assert not is_told_to_wait(try_to_log_in(ann.username, WRONG)), "the slate is clean again"


def test_each_further_failure_doubles_the_wait_up_to_a_limit(db: None) -> None:
    count = Count.of(Rule(free=2, first=10, longest=60), "x")
    begins = []
    for _ in range(6):
        begins.append(round(guessing.attempt([count]).begins))
        later(61)
    assert begins == [0, 10, 20, 40, 60, 60]


def test_tries_while_waiting_make_it_no_longer(db: None) -> None:
    count = Count.of(Rule(free=2, first=30, longest=900), "x")
    guessing.attempt([count])
    assert guessing.attempt([count]).refused == 0
    waits = [guessing.attempt([count]).refused for _ in range(20)]
    assert max(waits) <= 30
    assert GuessCount.objects.get().failures == 2


def test_failures_are_forgotten_after_a_while(db: None) -> None:
    count = Count.of(PERSON_HERE, "x")
    for _ in range(PERSON_HERE.free):
        guessing.attempt([count])
    later(PERSON_HERE.forgotten + 1)
    assert guessing.attempt([count]).refused == 0
    assert GuessCount.objects.get().failures == 1
    later(3 * 86_400)
    guessing.attempt([Count.of(PERSON_HERE, "y")])
    assert GuessCount.objects.count() == 1, "old counts are swept away"


def test_somebody_elses_guesses_do_not_keep_out_who_was_here_before(ann: User) -> None:
    assert is_in(try_to_log_in(ann.username, PASSWORD, HERE))
    for number in range(PERSON_ANYWHERE.free + 1):
        try_to_log_in(ann.username, WRONG, f"192.0.2.{number}")
    assert is_told_to_wait(try_to_log_in(ann.username, PASSWORD, ELSEWHERE)), "a new address waits a moment"
    assert is_in(try_to_log_in(ann.username, PASSWORD, HERE))


def test_a_person_guessed_at_from_everywhere_waits_a_minute_at_most(ann: User) -> None:
    for number in range(PERSON_ANYWHERE.free + 8):
        try_to_log_in(ann.username, WRONG, f"192.0.2.{number}")
        later(PERSON_ANYWHERE.longest)
    try_to_log_in(ann.username, WRONG, "192.0.2.200")
    count = GuessCount.objects.get(key=Count.of(PERSON_ANYWHERE, "person", ann.username).key)
    assert count.wait_until
    assert count.wait_until - timezone.now() <= timedelta(seconds=PERSON_ANYWHERE.longest)


def test_one_address_cannot_try_one_password_on_everybody(db: None) -> None:
    for number in range(ADDRESS.free):
        assert not is_told_to_wait(try_to_log_in(f"person-{number}", WRONG))
    assert is_told_to_wait(try_to_log_in("somebody-else", WRONG))
    assert not is_told_to_wait(try_to_log_in("somebody-else", WRONG, ELSEWHERE))


def test_a_whole_ipv6_network_counts_as_one_address(ann: User) -> None:
    for number in range(PERSON_HERE.free):
        try_to_log_in(ann.username, WRONG, f"2001:db8:1:2::{number}")
    assert is_told_to_wait(try_to_log_in(ann.username, PASSWORD, "2001:db8:1:2:ffff::1"))
    assert is_in(try_to_log_in(ann.username, PASSWORD, "2001:db8:1:3::1"))


def test_the_page_does_not_tell_who_exists(ann: User) -> None:
    pages = {
        name: [is_told_to_wait(try_to_log_in(name, WRONG, address)) for _ in range(PERSON_HERE.free + 1)]
        for name, address in ((ann.username, HERE), ("nobody", ELSEWHERE))
    }
    assert pages[ann.username] == pages["nobody"]


def test_guessing_is_in_the_audit_log_once_for_each_wait_and_names_nothing_that_was_typed(ann: User) -> None:
    for _ in range(PERSON_HERE.free + 10):
        try_to_log_in(ann.username, WRONG)
    with tenancy.everyone():
        entries = list(AuditEntry.objects.filter(user_id=ann.pk))
    assert [one.action for one in entries].count(audit.LOGIN_FAILED) == PERSON_HERE.free
    [slowed] = [one for one in entries if one.action == audit.SLOWED_DOWN]
    assert "15 seconds" in slowed.details
    assert slowed.address == HERE
    assert WRONG not in str([one.__dict__ for one in entries])
    assert not [one for one in GuessCount.objects.all() if ann.username in one.key]


def test_a_new_password_by_e_mail_ends_the_waiting(ann: User) -> None:
    ann.email = "ann@example.com"
    ann.save()
    for _ in range(PERSON_HERE.free):
        try_to_log_in(ann.username, WRONG)
    client = Client(REMOTE_ADDR=HERE)
    client.post("/people/password/", {"email": "ann@example.com"})
    link = next(line for line in mail.outbox[0].body.splitlines() if "/people/password/" in line)
    form = client.get("/people/" + link.partition("/people/")[2], follow=True)
    new = "another-long-password-7"
    client.post(form.redirect_chain[-1][0], {"new_password1": new, "new_password2": new})
    assert is_in(try_to_log_in(ann.username, new))


def test_nobodys_mailbox_is_filled_with_links(ann: User) -> None:
    ann.email = "ann@example.com"
    ann.save()
    answers = {
        Client(REMOTE_ADDR=f"192.0.2.{number}").post("/people/password/", {"email": "ann@example.com"})["Location"]
        for number in range(RESET_OF_PERSON.free + 5)
    }
    assert len(mail.outbox) == RESET_OF_PERSON.free
    assert len(answers) == 1, "whoever asks is told the same"


# --- API keys -------------------------------------------------------------------------------------------------------

CONTACTS = "/api/v1/contacts/"


def ask(key: str, address: str = HERE) -> Any:
    return Client(REMOTE_ADDR=address).get(CONTACTS, headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def guessed(db: None) -> list[int]:
    """One address has tried as many keys as are free, of three shapes."""
    shapes = ("dbk_0badbeef_{}", "dbk_{}", "nonsense-{}")
    return [ask(shapes[number % 3].format(number)).status_code for number in range(API_KEYS.free)]


def test_wrong_keys_are_slowed_down_and_told_when_to_come_back(guessed: list[int]) -> None:
    assert set(guessed) == {401}
    answer = ask("dbk_0badbeef_x")
    assert answer.status_code == 429
    assert "wrong API keys" in answer.json()["detail"]
    assert int(answer["Retry-After"]) >= 1
    assert answer["Content-Type"] == "application/problem+json"


def test_a_right_key_is_never_held_up(guessed: list[int], api_key: str) -> None:
    assert ask("dbk_0badbeef_x").status_code == 429
    assert ask(api_key).status_code == 200


def test_other_addresses_are_not_held_up_either(guessed: list[int]) -> None:
    assert ask("dbk_0badbeef_x", ELSEWHERE).status_code == 401


def test_a_key_with_one_letter_changed_is_wrong(api_key: str) -> None:
    assert ask(api_key).status_code == 200
    for place in range(len(api_key)):
        changed = api_key[:place] + ("A" if api_key[place] != "A" else "B") + api_key[place + 1 :]
        assert ask(changed, f"192.0.2.{place}").status_code == 401, place
