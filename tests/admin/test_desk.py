"""The conflict desk: one conflict after the other, decided, skipped and taken back, by plain forms."""

import re
from typing import Any, cast

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection as database
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from integrations import tenancy
from integrations.admin_html import page_url
from integrations.models import CrmConnection, Tenant
from sync import desk
from sync.models import Conflict, ConflictDecision, Contact, SyncRecord
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.rows import reread

DESK = "/admin/sync/conflict/desk/"
MANY = 10_000


@pytest.fixture
def connection(tenant: Tenant) -> CrmConnection:
    made: CrmConnection = factories.connection(tenant)
    factories.mapping(tenant, "company", "company")
    return made


def dispute(of: CrmConnection, name: str, field: str = "company", **fields: Any) -> Conflict:
    """The dialer says "Ours Ltd", the CRM "Theirs Ltd"."""
    person = factories.contact(of.tenant, first_name=name, email=f"{name}@example.com", **{field: "Ours Ltd"})
    linked = factories.link(of, person, crm_record_id=f"of-{name}", base={field: "Base Ltd"}, sync_status="conflict")
    sides = {"base": "Base Ltd", "ours": "Ours Ltd", "theirs": "Theirs Ltd", **fields}
    return factories.conflict(linked, person, field=field, **sides)


def press(client: Client, row: Conflict, do: str, address: str = DESK, **more: Any) -> Any:
    return client.post(address, {"conflict": row.pk, "do": do, **more}, follow=True)


def current(response: Any) -> Conflict | None:
    return cast("Conflict | None", response.context.get("row"))


def test_the_menu_leads_to_the_desk_and_the_desk_to_the_list(client: Client, connection: CrmConnection) -> None:
    dispute(connection, "Ann")
    assert f'href="{DESK}"' in pages.html(client, "/admin/")
    assert "/admin/sync/conflict/?status__exact=open" in pages.html(client, DESK)


def test_both_sides_stand_beside_what_was_agreed_and_what_is_known_of_the_person(
    client: Client, connection: CrmConnection
) -> None:
    row = dispute(connection, "Ann")
    factories.change(row.contact, new="Ours Ltd", source="person", actor="kim", rule="")
    factories.call(connection.tenant, row.contact, disposition="Callback wanted")
    shown = pages.html(client, DESK)
    for words in (
        "Base Ltd",
        "Person: kim",
        "somebody in HubSpot",
        "Agreed before",
        "Company of Ann",
        "Callback wanted",
    ):
        assert words in shown
    assert '<mark class="db-diff">Ours</mark> Ltd' in shown
    assert '<mark class="db-diff">Theirs</mark> Ltd' in shown
    assert 'href="https://app.example.com/record/501"' in shown
    assert pages.page(Contact, "change", row.contact_id) in shown


def test_what_comes_from_outside_is_escaped(client: Client, connection: CrmConnection) -> None:
    dispute(connection, "Ann", theirs="<script>alert(1)</script>")
    shown = pages.html(client, DESK)
    assert "<script>alert" not in shown
    assert "alert" in shown


@pytest.mark.parametrize(
    ("do", "kept"), [("ours", "Ours Ltd"), ("theirs", "Theirs Ltd"), ("other", "New Ltd")], ids=str
)
def test_after_a_decision_the_next_comes_by_itself(
    client: Client, connection: CrmConnection, do: str, kept: str
) -> None:
    first, second = dispute(connection, "Ann"), dispute(connection, "Bob")
    answer = press(client, first, do, value="New Ltd")
    assert current(answer) == second
    assert "Company of Ann" in answer.content.decode()
    assert reread(first.contact).company == kept
    assert (reread(first).status, reread(first).decided_by) == ("decided", "admin-of-acme")


def test_the_last_decision_leads_to_an_empty_desk_that_says_so(client: Client, connection: CrmConnection) -> None:
    shown = press(client, dispute(connection, "Ann"), "ours").content.decode()
    assert "Nothing to decide" in shown
    assert "Undo" in shown


def test_a_wrong_other_value_is_said_at_its_field_and_decides_nothing(
    client: Client, connection: CrmConnection
) -> None:
    row = dispute(connection, "Ann", "phone", ours="+14155550100", theirs="+14155550101")
    dispute(connection, "Bob")
    answer = press(client, row, "other", value="call me maybe")
    assert (current(answer), reread(row).status) == (row, "open")
    assert "no valid phone number" in answer.content.decode()
    assert 'value="call me maybe"' in answer.content.decode()


def dispute_tags(of: CrmConnection, ours: Any, theirs: Any) -> Conflict:
    """A conflict about a field of the tenant's own, whose values are whatever the CRM's field holds."""
    person = factories.contact(of.tenant, first_name="Ann", email="ann@example.com", custom={"tags": ours})
    linked = factories.link(of, person, crm_record_id="of-ann", base={}, sync_status="conflict")
    return factories.conflict(linked, person, field="custom.tags", base=None, ours=ours, theirs=theirs)


@pytest.mark.parametrize(
    ("ours", "theirs", "typed", "kept"),
    [
        (["a"], ["a", "b"], " b \r\n\r\nnew one\r\n", ["b", "new one"]),
        (["a"], "b", "a\r\nb", ["a", "b"]),
        ([1, 2], [2, 3], "3\r\n-4\r\n0.5", [3, -4, 0.5]),
        (["1"], [True, None], "1\r\ntrue\r\n(empty)", ["1", True, None]),
        (["a"], ["b"], "  ", None),
        (1, 2, "2.5", 2.5),
        ("a", "b", "c", "c"),
        (True, False, "false", False),
        (True, False, "", None),
        ([{"a": 1}], None, '[{"a": 2}]', [{"a": 2}]),
    ],
    ids=str,
)
def test_another_value_is_asked_for_in_the_shape_of_what_both_sides_hold(
    client: Client, connection: CrmConnection, ours: Any, theirs: Any, typed: str, kept: Any
) -> None:
    row = dispute_tags(connection, ours, theirs)
    press(client, row, "other", value=typed)
    assert reread(row).status == "decided"
    assert reread(row.contact).custom["tags"] == kept


def test_a_list_is_shown_line_by_line(client: Client, connection: CrmConnection) -> None:
    row = dispute_tags(connection, ["red", "blue"], ["red", "green"])
    shown = client.get(DESK).content.decode()
    assert "One value per line." in shown
    assert re.search(r"<textarea[^>]*>\s*red\nblue</textarea>", shown)
    assert "[&quot;" not in shown
    list_page = client.get(page_url(row, "another_value")).content.decode()
    assert "[&quot;" not in list_page
    assert "red, green" in list_page


def test_a_table_of_names_and_values_is_filled_in_line_by_line(client: Client, connection: CrmConnection) -> None:
    row = dispute_tags(connection, {"size": 3}, {"size": 4, "colour": "red"})
    table: dict[str, Any] = {"value-key": ["size", "colour", ""], "value-value": ["4", "blue", ""]}
    press(client, row, "other", **table)
    assert reread(row.contact).custom["tags"] == {"size": 4, "colour": "blue"}


@pytest.mark.parametrize("typed", ["1\r\ntwo\r\n\r\ninf", "1\r\n2\r\n3\r\nfour"])
def test_a_line_that_does_not_fit_is_named_and_nothing_of_the_rest_is_lost(
    client: Client, connection: CrmConnection, typed: str
) -> None:
    row = dispute_tags(connection, [1], [2])
    shown = press(client, row, "other", value=typed).content.decode()
    wrong = [number for number, line in enumerate(typed.split(), 1) if not line.isdigit()]
    assert f"Line {wrong[0]}: “" in shown
    assert typed.replace("\r\n", "\n") in shown.replace("\r\n", "\n")
    assert reread(row).status == "open"


def test_one_can_skip_and_go_back(client: Client, connection: CrmConnection) -> None:
    first, second, third = (dispute(connection, name) for name in ("Ann", "Bob", "Cem"))
    answer = client.get(DESK)
    assert (current(answer), answer.context["place"].number, answer.context["total"]) == (first, 1, "3")
    answer = client.get(answer.context["following"])
    assert (current(answer), answer.context["place"].number) == (second, 2)
    assert current(client.get(answer.context["previous"])) == first
    answer = client.get(f"{DESK}?at={third.pk}")
    assert (current(answer), answer.context["following"]) == (third, "")
    assert current(press(client, third, "ours")) == first


def test_the_queue_can_be_one_field_of_one_crm(client: Client, connection: CrmConnection) -> None:
    dispute(connection, "Ann")
    title = dispute(connection, "Bob", "title")
    other = dispute(connection, "Cem", "title")
    filters = {one["words"]: one for one in client.get(DESK).context["filters"]}
    assert {words: one["count"] for words, one in filters.items()} == {
        "Job title, HubSpot": "2",
        "Company, HubSpot": "1",
    }
    answer = client.get(filters["Job title, HubSpot"]["url"])
    assert (current(answer), answer.context["total"]) == (title, "2")
    answer = press(client, title, "ours", filters["Job title, HubSpot"]["url"])
    assert current(answer) == other
    assert (
        "No conflict of this kind is open."
        in press(client, other, "ours", filters["Job title, HubSpot"]["url"]).content.decode()
    )


def test_all_alike_are_decided_with_a_rule_and_undone_as_a_whole(client: Client, connection: CrmConnection) -> None:
    rows = [dispute(connection, name) for name in ("Ann", "Bob", "Cem")]
    other = dispute(connection, "Dee", "title")
    shown = pages.html(client, DESK)
    assert "Decide all 3 like these, as a rule" in shown
    assert "3 open conflicts about Company with HubSpot are decided this way." in shown
    answer = press(client, rows[0], "all_theirs")
    assert current(answer) == other
    assert "3 conflicts are decided. The rule for Company is now: The CRM wins." in answer.content.decode()
    with tenancy.everyone():
        Contact.objects.filter(pk=rows[1].contact_id).update(company="Newer Ltd")
    undo = answer.context["undo"]
    answer = client.post(DESK, {"do": "undo", "decision": undo.pk}, follow=True)
    assert answer.redirect_chain[-1][0] == pages.page(ConflictDecision, "change", undo.pk)
    shown = answer.content.decode()
    assert "Undone: 2 conflicts are open again. The rule before is in force again. 1 value stays" in shown
    assert "It was edited since: now it is “Newer Ltd”." in shown
    assert [reread(row).status for row in rows] == ["open", "decided", "open"]
    assert [reread(row.contact).company for row in rows] == ["Ours Ltd", "Newer Ltd", "Ours Ltd"]


def test_undo_on_the_desk_brings_the_conflict_back(client: Client, connection: CrmConnection) -> None:
    first = dispute(connection, "Ann")
    dispute(connection, "Bob")
    answer = press(client, first, "theirs")
    assert "Your last decision: Company, The CRM&#x27;s value." in answer.content.decode()
    answer = client.post(DESK, {"do": "undo", "decision": answer.context["undo"].pk}, follow=True)
    assert current(answer) == first
    assert reread(first.contact).company == "Ours Ltd"
    assert answer.context["undo"] is None


def test_a_decision_can_be_undone_from_its_conflict_after_asking(client: Client, connection: CrmConnection) -> None:
    row = dispute(connection, "Ann")
    press(client, row, "theirs")
    shown = pages.html(client, pages.page(Conflict, "change", row.pk))
    assert pages.page(Conflict, "undo", row.pk) in shown
    asked = client.get(pages.page(Conflict, "undo", row.pk), follow=True)
    assert "1 conflict is opened again" in asked.content.decode()
    assert reread(row).status == "decided"
    client.post(asked.redirect_chain[-1][0])
    assert (reread(row).status, reread(row.contact).company) == ("open", "Ours Ltd")


# --- who may --------------------------------------------------------------------------------------------------------


def test_support_chooses_the_tenant_by_how_many_wait(
    support_client: Client, connection: CrmConnection, stranger: Tenant
) -> None:
    dispute(connection, "Ann")
    theirs = factories.connection(stranger)
    for name in ("Bob", "Cem"):
        dispute(theirs, name)
    shown = pages.html(support_client, DESK)
    assert shown.index("Stranger: 2") < shown.index("Acme: 1")
    answer = support_client.get(f"{DESK}?tenant={stranger.pk}")
    assert answer.context["total"] == "2"
    assert f"tenant={stranger.pk}" in answer.context["following"]


def test_another_tenants_desk_conflicts_and_decisions_are_not_there(
    client: Client, connection: CrmConnection, stranger: Tenant
) -> None:
    theirs = factories.connection(stranger)
    row, made = dispute(theirs, "Zoe"), factories.decision(theirs)
    dispute(connection, "Ann")
    assert client.get(f"{DESK}?tenant={stranger.pk}").status_code == 404
    assert client.post(DESK, {"conflict": row.pk, "do": "ours"}).status_code == 404
    assert client.post(DESK, {"decision": made.pk, "do": "undo"}).status_code == 404
    assert client.post(pages.page(ConflictDecision, "take_back", made.pk)).status_code == 404
    assert "Zoe" not in pages.html(client, f"{DESK}?at={row.pk}")
    assert reread(row).status == "open"


@pytest.mark.parametrize(
    "data",
    [{"do": "nonsense"}, {"do": ""}, {"conflict": "x", "do": "ours"}, {"do": "undo", "decision": "x"}],
    ids=["unknown", "nothing", "no conflict", "no decision"],
)
def test_what_makes_no_sense_is_not_there(client: Client, connection: CrmConnection, data: dict[str, str]) -> None:
    row = dispute(connection, "Ann")
    assert client.post(DESK, {"conflict": row.pk, **data}).status_code == 404
    assert client.get(f"{DESK}?connection=nonsense").status_code == 404


def test_who_may_only_look_sees_no_button_and_decides_nothing(
    tenant: Tenant, connection: CrmConnection, sign_in: SignIn
) -> None:
    row = dispute(connection, "Ann")
    looker: User = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = sign_in(looker)
    assert 'name="do"' not in pages.html(client, DESK)
    assert client.post(DESK, {"conflict": row.pk, "do": "ours"}).status_code == 403
    assert reread(row).status == "open"


# --- how quick ------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_desk_asks_as_few_queries_with_ten_thousand_conflicts(
    client: Client, connection: CrmConnection, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    owner = connection.tenant
    with tenancy.everyone():
        people = Contact.objects.bulk_create(Contact(tenant=owner, first_name=f"P{n}") for n in range(MANY))
        links = SyncRecord.objects.bulk_create(
            SyncRecord(
                tenant=owner, connection=connection, crm_provider="hubspot", crm_object_type="contacts", crm_record_id=f"m{n}",
                local_record_id=one.pk, local_table="contacts", sync_direction="inbound",
            )
            for n, one in enumerate(people)
        )  # fmt: skip
        Conflict.objects.bulk_create(
            Conflict(tenant=owner, record=link, contact=one, field=("company", "title")[n % 2], ours="a", theirs="b")
            for n, (link, one) in enumerate(zip(links, people, strict=True))
        )
        with database.cursor() as cursor:
            cursor.execute("ANALYZE conflicts, crm_sync_records")  # as autovacuum would have long ago
    middle = _middle()
    client.get(DESK)
    with django_assert_max_num_queries(15):
        answer = client.get(f"{DESK}?at={middle}")
    assert answer.context["total"] == "10,000+"


def _middle() -> int:
    with tenancy.everyone():
        return int(Conflict.objects.order_by("pk").values_list("pk", flat=True)[MANY // 2])


@pytest.mark.parametrize(
    ("one", "other", "ours", "theirs"),
    [
        ("Acme Ltd", "Acme Inc", [("Acme ", False), ("Ltd", True)], [("Acme ", False), ("Inc", True)]),
        ("+14155550100", "+14155550199", None, None),
        ("Grace", "Gracie", [("Grac", False), ("e", False)], [("Grac", False), ("i", True), ("e", False)]),
        ("", "x", [], [("x", True)]),
        ("same", "same", [("same", False)], [("same", False)]),
    ],
    ids=["a word", "a number", "letters of a word", "blank", "nothing"],
)
def test_what_differs_is_found_within_the_text(one: str, other: str, ours: Any, theirs: Any) -> None:
    found = desk.difference(one, other)
    assert ["".join(text for text, _differs in side) for side in found] == [one, other]
    if ours is not None:
        assert [merged(side) for side in found] == [merged(ours), merged(theirs)]


def merged(parts: Any) -> list[tuple[str, bool]]:
    """Neighbours that are alike as one."""
    found: list[tuple[str, bool]] = []
    for text, differs in parts:
        if found and found[-1][1] == differs:
            found[-1] = (found[-1][0] + text, differs)
        else:
            found.append((text, differs))
    return found
