from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from integrations.models import CrmConnection
from sync import candidates
from sync.matching import plain, plain_company
from tests import factories

ANN = {"first_name": "Ann", "last_name": "Lee", "company": "Acme Logistics"}


def person(crm: CrmConnection, **fields: Any) -> Any:
    return factories.contact(crm.tenant, **{"email": "", "phone": "", **fields})


def test_each_strategy_takes_one_statement_for_the_page(scoped: CrmConnection) -> None:
    records = {str(n): {"email": f"a{n}@x.example", "phone": f"+1415555{n:04}"} for n in range(300)}
    by_id = person(scoped, custom={"crm_record_id": "7"})
    by_mail = person(scoped, email="a8@x.example")
    by_phone = person(scoped, mobile_phone="+14155550009")
    with CaptureQueriesContext(database) as asked:
        found = {one.id for one in candidates.exact(scoped, records)}
    assert found == {by_id.pk, by_mail.pk, by_phone.pk}
    assert len(asked) == 3


def test_who_is_linked_by_the_same_connection_is_no_candidate(scoped: CrmConnection) -> None:
    factories.link(scoped, person(scoped, email="ann@x.example"))
    assert candidates.exact(scoped, {"1": {"email": "ann@x.example"}}) == []


def test_an_id_kept_for_another_crm_is_not_ours(scoped: CrmConnection) -> None:
    person(scoped, custom={"crm_record_id": "1", "crm_provider": "elsewhere"})
    assert candidates.exact(scoped, {"1": {}}) == []


def test_a_switchboard_says_nothing_about_anybody(scoped: CrmConnection) -> None:
    for _ in range(candidates.MOST_SHARING + 1):
        person(scoped, phone="+14155550100")
    assert candidates.exact(scoped, {"1": {"phone": "+14155550100"}}) == []


def test_another_tenants_people_are_never_found(scoped: CrmConnection, stranger: Any) -> None:
    factories.contact(stranger, email="ann@x.example", **ANN)
    assert candidates.exact(scoped, {"1": {"email": "ann@x.example"}}) == []
    assert candidates.alike(scoped, [ANN], 0.85) == {}


@pytest.mark.parametrize(
    ("spelled", "found"),
    [
        pytest.param({"company": "ACME Logistics, Inc."}, True, id="legal form"),
        pytest.param({"last_name": "Léé"}, True, id="accents"),
        pytest.param({"last_name": "Leh"}, True, id="one letter"),
        pytest.param({"company": "Zenith Foods"}, False, id="another company"),
        pytest.param({"company": ""}, False, id="names alone"),
    ],
)
def test_a_similar_name_and_company_is_found(scoped: CrmConnection, spelled: dict[str, str], found: bool) -> None:
    known = person(scoped, **{**ANN, **spelled})
    assert [pk for pk, _likeness in candidates.alike(scoped, [ANN], 0.85).get(0, [])] == [known.pk] * found


@pytest.mark.parametrize(
    "text",
    [
        "Zoë", "O'Brien-Łukasz", "  ACME  & Co. KG", "Müller GmbH", "Co", "Straße", "a_b", "", "ANN", "Van Dyke", "Ann\n", " Ann",
        "Limited Foods Ltd Inc 7", "co CO ltd", "Ltdx Coinc", "J. R. Smith", "x" * 79 + " y", "Two  spaces",
    ],
)  # fmt: skip
def test_the_database_and_the_code_write_names_the_same_way(db: None, text: str) -> None:
    with database.cursor() as sql:
        sql.execute("SELECT dialbridge_plain(%s), dialbridge_company(%s)", [text, text])
        assert sql.fetchone() == (plain(text), plain_company(text))
