"""Hostile input for what writes and reads plain text: queries, logs, notes, addresses, numbers, cursors."""

import re
from collections.abc import Callable

from activities.notes import NAMES
from activities.templates import TemplateError, compile_template
from integrations import errors
from integrations.exchanges_text import clean, parsed, part_about, pretty, readable, spellings
from integrations.outside import AddressRefused, check_address
from integrations.providers.salesforce import soql
from integrations.redaction import redact
from integrations.registry import provider_class
from integrations.transport.hosts import check_url
from sync.feed import BadCursor, Position
from sync.phone_numbers import to_e164
from tests.attacks.fuzzing import REFUSED, TAKEN, Target
from tests.attacks.nasties import Hostile
from tests.attacks.samples import ADDRESSES, LOGGED, NOTE

_QUERY = re.compile(
    r"SELECT Id FROM Lead WHERE Name = '((?:[^'\\]|\\.)*)' AND Email IN \('((?:[^'\\]|\\.)*)'\)", re.DOTALL
)


def soql_text(hostile: Hostile) -> str:
    """However bent a text is, it stays between its quotes."""
    one, two = hostile.text(), hostile.text()
    hostile.sent = (one, two)
    query = soql.select(["Id"], "Lead", [soql.equals("Name", one), soql.among("Email", [two])])
    assert _QUERY.fullmatch(query), query
    try:
        soql.name(one)
    except ValueError:
        return REFUSED
    return TAKEN


def logged(hostile: Hostile) -> str:
    text = hostile.bent_text(hostile.one_of(LOGGED)) * hostile.random.randint(1, 50)
    once = redact(text)
    assert "\0" not in clean(text, spellings(["a-secret-of-ours"]))[0]
    pretty(text)
    parsed(text)
    readable(text.encode("utf-8", "replace"))
    part_about(text, hostile.json(hostile.value()).decode("utf-8", "replace"), re.compile("x"))
    assert "a-token-of-ours" not in redact(f"Authorization: Bearer a-token-of-ours {text[:50]}")
    return TAKEN if once == text else REFUSED


def template(hostile: Hostile) -> str:
    text = hostile.bent_text(NOTE)
    try:
        compile_template(text, NAMES).render({"notes": hostile.text(), "key_points": [hostile.text()], "summary": ""})
    except TemplateError:
        return REFUSED
    return TAKEN


def address(hostile: Hostile) -> str:
    """An address that a tenant typed is one of the public internet or refused; a CRM's is the vendor's or refused."""
    text = hostile.bent_text(hostile.one_of(ADDRESSES))
    refused = 0
    for check, refusal in CHECKS:
        try:
            check(text)
        except refusal:
            refused += 1
    return REFUSED if refused == len(CHECKS) else TAKEN


CHECKS: tuple[tuple[Callable[[str], None], type[Exception]], ...] = (
    (check_address, AddressRefused),
    (lambda text: check_url(text, provider_class("salesforce").hosts, "Salesforce"), errors.FixConfig),
)


def phone(hostile: Hostile) -> str:
    try:
        assert to_e164(hostile.bent_text("+1 (415) 555-0101"), "US").isascii()
    except ValueError:
        return REFUSED
    return TAKEN


def cursor(hostile: Hostile) -> str:
    text = hostile.bent_text(Position().encode())
    try:
        Position.decode(text)
    except BadCursor:
        return REFUSED
    return TAKEN


TARGETS = (
    Target("SOQL", soql_text, 30), Target("log lines", logged, 20), Target("note templates", template, 20),
    Target("addresses", address, 30), Target("phone numbers", phone, 20), Target("cursors", cursor, 10),
)  # fmt: skip
