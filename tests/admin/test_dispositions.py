"""The pages of dispositions, agents and notes."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from activities import advice
from activities.models import AgentOverride, CallSettings, DispositionEffect, DispositionMap
from activities.notes import USUAL
from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from sync.models import SyncJob
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn

COVERAGE = "/admin/activities/dispositionmap/coverage/"
ADD = "/admin/activities/dispositionmap/add/"
REPORT = "/admin/activities/agentoverride/report/"
NOTES = "/admin/activities/callsettings/notes/"
OUTCOMES = [["g-1", "Connected"], ["g-2", "Left voicemail"]]


@pytest.fixture
def connection(tenant: Tenant) -> CrmConnection:
    made: CrmConnection = factories.connection(tenant)
    options = {"object_type": "calls", "kind": "picklist"}
    factories.crm_field(made, "hs_call_disposition", options=OUTCOMES, **options)
    factories.crm_field(made, "hs_call_status", options=[["COMPLETED", "Completed"]], **options)
    return made


def errors(response: Any) -> dict[str, Any]:
    return dict(response.context["adminform"].form.errors)


# --- the matrix ------------------------------------------------------------------------------------------------------


def test_the_matrix_shows_each_disposition_in_each_crm(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    factories.connection(tenant, "salesforce")
    lost = factories.disposition(tenant, "Voicemail", values={"hs_call_disposition": "<b>gone</b>"})
    for _ in range(2):
        factories.call(tenant, disposition="<i>Callback</i>")
    shown = pages.html(client, COVERAGE)
    assert "&lt;i&gt;Callback&lt;/i&gt;" in shown
    assert (
        "No “&lt;b&gt;gone&lt;/b&gt;” in hs_call_disposition any more. It offers: Connected, Left voicemail." in shown
    )
    assert f'href="{pages.page(DispositionMap, "change", lost.pk)}"' in shown
    assert "crm_provider=salesforce&amp;disposition=%3Ci%3ECallback" in shown
    assert "Do not call" in shown


def test_the_matrix_takes_few_queries_however_many_dispositions_there_are(
    client: Client, tenant: Tenant, connection: CrmConnection, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    factories.connection(tenant, "salesforce")
    for number in range(30):
        factories.call(tenant, disposition=f"Word {number}")
        factories.disposition(tenant, f"Map {number}")
        factories.disposition_effect(tenant, f"Effect {number}")
    with django_assert_max_num_queries(15):
        client.get(COVERAGE)


@pytest.mark.parametrize("page", [COVERAGE, REPORT, NOTES])
def test_without_a_crm_or_a_call_a_page_says_how_to_go_on(client: Client, page: str) -> None:
    assert "href=" in pages.html(client, page)


@pytest.mark.parametrize("page", [COVERAGE, REPORT, NOTES])
def test_support_chooses_the_tenant_first(support_client: Client, tenant: Tenant, stranger: Tenant, page: str) -> None:
    shown = pages.html(support_client, page)
    assert f'href="?tenant={stranger.pk}"' in shown
    pages.html(support_client, f"{page}?tenant={stranger.pk}")


@pytest.mark.parametrize("page", [COVERAGE, REPORT, NOTES])
def test_another_tenants_page_is_not_there(client: Client, stranger: Tenant, page: str) -> None:
    assert client.get(f"{page}?tenant={stranger.pk}").status_code == 404
    assert client.get(f"{page}?tenant=nonsense").status_code == 404
    assert client.post(f"{page}?tenant={stranger.pk}", {"template": "x", "save": "1"}).status_code == 404


@pytest.mark.parametrize("page", [COVERAGE, REPORT, NOTES])
def test_somebody_without_a_role_sees_none_of_it(tenant: Tenant, sign_in: SignIn, page: str) -> None:
    assert sign_in(factories.user("nobody", tenants=(tenant,))).get(page).status_code == 403


def test_the_first_page_leads_to_a_lost_value_and_saving_another_one_ends_it(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    factories.cursor(connection)
    for name in ("Connected", "No Answer", "Meeting Booked", "Not Interested", "DNC"):
        factories.disposition(tenant, name, values={})
    row = factories.disposition(tenant, "Voicemail", values={"hs_call_disposition": "gone"})
    advice.refresh_all()
    shown = pages.html(client, "/admin/")
    assert "HubSpot has no “gone” in hs_call_disposition any more, which “Voicemail” is mapped to" in shown
    assert f'href="{COVERAGE}?tenant={tenant.pk}"' in shown
    url = pages.page(DispositionMap, "change", row.pk)
    assert client.post(url, {"disposition": "Voicemail", "choice_1": "g-2"}).status_code == 302
    assert "Everything is in sync" in pages.html(client, "/admin/")


# --- a map -----------------------------------------------------------------------------------------------------------


def test_the_form_offers_the_crms_choices(client: Client, connection: CrmConnection) -> None:
    response = client.get(f"{ADD}?crm_provider=hubspot&disposition=Voicemail")
    form = response.context["adminform"].form
    assert form.picks == {"choice_0": "hs_call_status", "choice_1": "hs_call_disposition"}
    assert [form.initial[name] for name in form.picks] == ["COMPLETED", "g-2"]
    assert "Left voicemail" in response.content.decode()


def test_a_choice_is_stored_as_the_crms_value(client: Client, connection: CrmConnection) -> None:
    said = {
        "crm_provider": "hubspot",
        "disposition": "Voicemail",
        "choice_0": "COMPLETED",
        "choice_1": "g-1",
    }
    assert client.post(ADD, said).status_code == 302
    with tenancy.everyone():
        assert DispositionMap.objects.get().values == {"hs_call_status": "COMPLETED", "hs_call_disposition": "g-1"}


def test_saving_without_a_change_keeps_the_words(client: Client, tenant: Tenant, connection: CrmConnection) -> None:
    factories.crm_field(connection, "hs_call_title", object_type="calls")
    values = {"hs_call_disposition": "left-voicemail", "hs_call_title": "Hello"}
    row = factories.disposition(tenant, "Voicemail", values=values)
    url = pages.page(DispositionMap, "change", row.pk)
    form = client.get(url).context["adminform"].form
    said = {name: form[name].value() or "" for name in form.fields if name != "values"}
    said |= pages.pairs("values", form["values"].value())
    assert client.post(url, said).status_code == 302
    with tenancy.everyone():
        row.refresh_from_db()
    assert row.values == values


def test_a_value_that_the_crm_has_no_more_has_to_be_replaced(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    row = factories.disposition(tenant, "Voicemail", values={"hs_call_disposition": "gone"})
    url = pages.page(DispositionMap, "change", row.pk)
    assert "gone (the CRM has it no more)" in pages.html(client, url)
    wrong = client.post(url, {"disposition": "Voicemail", "choice_0": "", "choice_1": "gone"})
    assert "It offers: Connected, Left voicemail." in str(errors(wrong)["choice_1"])
    assert client.post(url, {"disposition": "Voicemail", "choice_1": "g-2"}).status_code == 302


def test_the_other_values_may_not_say_what_the_crm_does_not_offer(client: Client, connection: CrmConnection) -> None:
    said = {
        "crm_provider": "hubspot",
        "disposition": "X",
        "choice_1": "",
        **pages.pairs("values", {"hs_call_disposition": "nope"}),
    }
    assert "It offers" in str(errors(client.post(ADD, said))["choice_1"])


def test_the_choices_appear_once_the_crm_was_chosen(client: Client, connection: CrmConnection) -> None:
    response = client.post(ADD, {"crm_provider": "hubspot", "disposition": "X"})
    assert "Choose how it is written" in str(errors(response)["values"])
    assert "Left voicemail" in response.content.decode()


# --- effects ---------------------------------------------------------------------------------------------------------


def test_effects_are_written_once_for_each_disposition(client: Client, tenant: Tenant) -> None:
    url = "/admin/activities/dispositioneffect/add/"
    said = {"disposition": " Not  Interested ", "lead_status": "Lost", "follow_up_days": "3"}
    assert client.post(url, said).status_code == 302
    with tenancy.everyone():
        row = DispositionEffect.objects.get()
    assert (row.tenant_id, row.disposition, row.follow_up_days) == (tenant.pk, "Not Interested", 3)
    assert "has its effects already" in str(errors(client.post(url, {"disposition": "not interested"})))
    assert "Lead status: Lost, Follow-up after 3 days" in pages.html(
        client, pages.page(DispositionEffect, "changelist")
    )


# --- agents ----------------------------------------------------------------------------------------------------------


def test_the_report_leads_to_the_form_with_the_suggested_user(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    jane = factories.crm_agent(connection)
    factories.call(tenant, agent_email="jane.doe@dialer.example")
    shown = pages.html(client, REPORT)
    assert "jane.doe@dialer.example" in shown
    url = pages.page(AgentOverride, "add") + f"?connection={connection.pk}&agent_email=jane.doe%40dialer.example"
    form = client.get(f"{url}&crm_user_id={jane.crm_user_id}").context["adminform"].form
    assert form.initial["user"] == str(jane.pk)
    said = {"connection": connection.pk, "agent_email": "Jane.Doe@dialer.example", "user": jane.pk}
    assert client.post(url, said).status_code == 302
    with tenancy.everyone():
        row = AgentOverride.objects.get()
    assert (row.tenant_id, row.agent_email, row.crm_user_id) == (
        tenant.pk, "jane.doe@dialer.example", jane.crm_user_id,
    )  # fmt: skip
    assert "Every agent of the last 90 days" in pages.html(client, REPORT)
    assert "It has been said already" in str(errors(client.post(url, said)))


def test_a_user_of_another_crm_is_refused(client: Client, tenant: Tenant, connection: CrmConnection) -> None:
    other = factories.crm_agent(factories.connection(tenant, "salesforce"))
    said = {"connection": connection.pk, "agent_email": "a@dialer.example", "user": other.pk}
    assert "another CRM" in str(errors(client.post(pages.page(AgentOverride, "add"), said))["user"])


def test_another_tenants_connection_and_users_are_not_offered(
    client: Client, connection: CrmConnection, stranger: Tenant
) -> None:
    theirs = factories.connection(stranger)
    agent = factories.crm_agent(theirs, "Their User")
    assert "Their User" not in pages.html(client, pages.page(AgentOverride, "add"))
    said = {"connection": theirs.pk, "agent_email": "a@dialer.example", "user": agent.pk}
    assert {"connection", "user"} <= errors(client.post(pages.page(AgentOverride, "add"), said)).keys()


def test_the_users_are_read_again_after_asking(client: Client, tenant: Tenant, connection: CrmConnection) -> None:
    url = f"/admin/activities/agentoverride/read/?tenant={tenant.pk}"
    assert "Read now" in pages.html(client, url)
    with tenancy.everyone():
        assert not SyncJob.objects.exists()
    assert client.post(url).status_code == 302
    with tenancy.everyone():
        assert SyncJob.objects.get().kind == "agents"


# --- notes -----------------------------------------------------------------------------------------------------------


def test_a_preview_shows_a_real_call_and_saves_nothing(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    factories.call(tenant, notes="Wants <b>prices</b>")
    response = client.post(NOTES, {"template": "Said: {{notes}}", "preview": "1"})
    shown = response.content.decode()
    assert "Said: Wants &lt;b&gt;prices&lt;/b&gt;" in shown
    assert "of 65536 characters" in shown
    with tenancy.everyone():
        assert not CallSettings.objects.exists()


def test_without_a_call_the_preview_makes_one_up(client: Client) -> None:
    assert "a made-up call" in pages.html(client, NOTES)
    assert "Jane wants to see prices for &lt;50 seats &amp; a demo." in pages.html(client, NOTES)


def test_a_saved_template_is_kept_and_the_usual_one_is_none(client: Client, tenant: Tenant) -> None:
    for template, kept in (("Said: {{notes}}\r\n", "Said: {{notes}}\n"), (USUAL, ""), ("  ", "")):
        assert client.post(NOTES, {"template": template, "save": "1"}).status_code == 302
        with tenancy.everyone():
            assert CallSettings.objects.get(tenant=tenant).note_template == kept


def test_a_wrong_template_is_refused_with_the_place(client: Client) -> None:
    response = client.post(NOTES, {"template": "a\n{{sumary}}", "save": "1"})
    assert response.status_code == 200
    assert "Line 2, column 1: {{sumary}} is no name." in str(response.context["form"].errors["template"])
    with tenancy.everyone():
        assert not CallSettings.objects.exists()


# --- the matrix as an editor ------------------------------------------------------------------------------------------


def form_of(client: Client, **said: str) -> dict[str, str]:
    """What a browser sends of the matrix as it stands, with some of it changed."""
    data: dict[str, str] = {}
    for row in client.get(COVERAGE).context["rows"]:
        data[f"seen:{row['number']}"] = row["seen"]
        data[f"effects:{row['number']}"] = "1"
        data[f"lead:{row['number']}"] = row["lead"]
        data[f"days:{row['number']}"] = str(row["days"])
        data.update({f"{key}:{row['number']}": "1" for key in ("dnc", "meeting") if row[key]})
        data.update({pick["name"]: pick["chosen"] for square in row["squares"] for pick in square["picks"]})
    return {**data, "do": "save", **said}


def place(client: Client, disposition: str, path: str = "hs_call_disposition") -> str:
    """The name of a cell's select."""
    rows = {row["name"]: row for row in client.get(COVERAGE).context["rows"]}
    picks = [pick for square in rows[disposition]["squares"] for pick in square["picks"]]
    return next(str(pick["name"]) for pick in picks if pick["path"] == path)


def number(client: Client, disposition: str) -> int:
    return next(int(row["number"]) for row in client.get(COVERAGE).context["rows"] if row["name"] == disposition)


def maps() -> dict[str, Any]:
    with tenancy.everyone():
        return dict(DispositionMap.objects.values_list("disposition", "values"))


def test_sending_the_matrix_as_it_stands_stores_nothing(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    factories.disposition(tenant, "Voicemail", values={"hs_call_disposition": "left-voicemail"})
    shown = client.post(COVERAGE, form_of(client), follow=True).content.decode()
    assert "Nothing was changed." in shown
    assert maps() == {"Voicemail": {"hs_call_disposition": "left-voicemail"}}
    with tenancy.everyone():
        assert not DispositionEffect.objects.exists()


def test_only_a_cell_that_was_changed_is_stored_with_what_was_usual_for_it(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    client.post(COVERAGE, form_of(client, **{place(client, "No Answer"): "g-2"}))
    assert maps() == {"No Answer": {"hs_call_status": "COMPLETED", "hs_call_disposition": "g-2"}}
    client.post(COVERAGE, form_of(client, **{place(client, "No Answer"): ""}))
    assert maps() == {"No Answer": {"hs_call_status": "COMPLETED"}}


def test_a_lost_value_is_mended_by_one_button_alone(client: Client, tenant: Tenant, connection: CrmConnection) -> None:
    factories.disposition(tenant, "Voicemail", values={"hs_call_disposition": "gone"})
    select = place(client, "Voicemail")
    shown = pages.html(client, COVERAGE)
    assert "Use “Left voicemail”" in shown
    other = {place(client, "No Answer"): "g-1"}
    client.post(COVERAGE, form_of(client, **other, do=f"repair:{select}"))
    assert maps() == {"Voicemail": {"hs_call_disposition": "g-2"}}


def test_what_a_disposition_brings_about_is_a_part_of_its_row(client: Client, connection: CrmConnection) -> None:
    at = number(client, "No Answer")
    client.post(COVERAGE, form_of(client, **{f"dnc:{at}": "1", f"lead:{at}": " Lost  lead ", f"days:{at}": "3"}))
    with tenancy.everyone():
        row = DispositionEffect.objects.get()
    assert (row.disposition, row.do_not_call, row.lead_status, row.follow_up_days) == (
        "No Answer",
        True,
        "Lost lead",
        3,
    )
    assert row.books_meeting


@pytest.mark.parametrize("days", ["soon", "-1", "366", "1.5"])
def test_days_that_are_none_are_refused_and_nothing_is_stored(
    client: Client, connection: CrmConnection, days: str
) -> None:
    at = number(client, "No Answer")
    answer = client.post(COVERAGE, form_of(client, **{f"days:{at}": days, place(client, "Connected"): "g-2"}))
    assert "Write a number of days up to 365" in answer.content.decode()
    assert f'value="{days}"' in answer.content.decode()
    assert maps() == {}


def test_a_choice_that_the_crm_does_not_have_is_refused(client: Client, connection: CrmConnection) -> None:
    answer = client.post(COVERAGE, form_of(client, **{place(client, "No Answer"): "made-up"}))
    assert "The CRM has no such choice." in answer.content.decode()
    assert maps() == {}


def test_a_row_that_somebody_else_changed_is_not_written_over(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    mine = form_of(client, **{place(client, "No Answer"): "g-2"})
    factories.disposition(tenant, "No Answer", values={"hs_call_disposition": "g-1"})
    answer = client.post(COVERAGE, mine)
    assert "Somebody else changed “No Answer” meanwhile." in answer.content.decode()
    assert maps() == {"No Answer": {"hs_call_disposition": "g-1"}}


def test_a_disposition_of_ones_own_is_added_and_removed_again(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    shown = client.post(COVERAGE, form_of(client, new_name="Wrong  number"), follow=True).content.decode()
    assert "Wrong number" in shown
    client.post(COVERAGE, form_of(client, **{place(client, "Wrong number"): "g-1"}))
    assert maps() == {"Wrong number": {"hs_call_disposition": "g-1"}}
    assert (
        "There is “wrong number” already."
        in client.post(COVERAGE, form_of(client, new_name="wrong number")).content.decode()
    )
    address = "/admin/activities/dispositionmap/remove/?name=Wrong+number"
    assert "What is stored of it goes" in pages.html(client, address)
    assert maps() != {}
    client.post(address)
    assert maps() == {}
    assert "Wrong number" not in [row["name"] for row in client.get(COVERAGE).context["rows"]]


def test_the_defaults_come_back_after_asking_and_own_dispositions_stay(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    factories.disposition(tenant, "Voicemail", values={"hs_call_disposition": "g-1"})
    factories.disposition(tenant, "My own", values={"hs_call_disposition": "g-1"})
    address = "/admin/activities/dispositionmap/defaults/"
    assert "HubSpot: Voicemail" in pages.html(client, address)
    client.post(address)
    usual = {"hs_call_status": "COMPLETED", "hs_call_disposition": "left-voicemail"}
    assert maps() == {"Voicemail": usual, "My own": {"hs_call_disposition": "g-1"}}
    assert "as usual already" in client.get(address, follow=True).content.decode()


def test_the_example_shows_a_call_as_the_form_stands(client: Client, connection: CrmConnection) -> None:
    said = form_of(client, **{place(client, "No Answer"): "g-2"}, sample="No Answer", do="preview")
    sample = client.post(COVERAGE, said).context["sample"]
    assert sample["name"] == "No Answer"
    assert "hs_call_disposition: Left voicemail" in sample["crms"][0][1]
    assert maps() == {}


def test_who_may_only_look_at_the_matrix_changes_nothing(
    tenant: Tenant, connection: CrmConnection, sign_in: SignIn
) -> None:
    looker = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = sign_in(looker)
    said = form_of(client, new_name="Mine")
    assert 'value="save"' not in pages.html(client, COVERAGE)
    assert client.post(COVERAGE, said).status_code == 403
    assert client.post("/admin/activities/dispositionmap/defaults/").status_code == 403


# --- agents as an editor ----------------------------------------------------------------------------------------------


def agent_form(client: Client, **said: str) -> dict[str, str]:
    data: dict[str, str] = {}
    for row in client.get(f"{REPORT}?show=all").context["rows"]:
        for one in row["places"]:
            data |= {one["name"]: said.get(row["email"], one["value"]), f"was:{one['name']}": one["said"]}
    return {**data, "do": said.get("do", "save")}


def said_by_hand() -> dict[str, str]:
    with tenancy.everyone():
        return dict(AgentOverride.objects.values_list("agent_email", "crm_user_id"))


@pytest.fixture
def called(tenant: Tenant, connection: CrmConnection) -> None:
    """Jane is a user under another address, Sam is nobody, Ann is found by her address."""
    for email in ("jane.doe@dialer.example", "sam@dialer.example", "sam@dialer.example", "ann.lee@acme.example"):
        factories.call(tenant, agent_email=email)
    for name in ("Jane Doe", "Ann Lee", "Bo Poe"):
        factories.crm_agent(connection, name)


def test_the_report_shows_who_is_missing_and_all_when_asked(client: Client, called: None) -> None:
    answer = client.get(REPORT)
    assert [row["email"] for row in answer.context["rows"]] == ["sam@dialer.example", "jane.doe@dialer.example"]
    shown = answer.content.decode()
    assert "2 agents have no user in some CRM. 3 calls of the last 90 days have no owner there." in shown
    assert "May be Jane Doe (jane.doe@acme.example)" in shown
    assert '<option value="Bo Poe (bo.poe@acme.example)">' in shown
    assert len(client.get(f"{REPORT}?show=all").context["rows"]) == 3


@pytest.mark.parametrize("words", ["Bo Poe (bo.poe@acme.example)", "bo.poe@acme.example", "acme-Bo Poe", "bo poe"])
def test_a_user_is_meant_by_the_lists_words_an_address_an_id_or_a_name(
    client: Client, called: None, words: str
) -> None:
    client.post(REPORT, agent_form(client, **{"sam@dialer.example": words}))
    assert said_by_hand() == {"sam@dialer.example": "acme-Bo Poe"}
    client.post(REPORT, agent_form(client, **{"sam@dialer.example": ""}))
    assert said_by_hand() == {}


def test_an_agent_can_be_nobody_and_is_then_not_missing(client: Client, called: None) -> None:
    client.post(REPORT, agent_form(client, **{"sam@dialer.example": "-"}))
    assert said_by_hand() == {"sam@dialer.example": ""}
    assert [row["email"] for row in client.get(REPORT).context["rows"]] == ["jane.doe@dialer.example"]


def test_a_word_that_means_nobody_is_refused_and_nothing_is_stored(client: Client, called: None) -> None:
    said = {"sam@dialer.example": "Somebody", "jane.doe@dialer.example": "Jane Doe"}
    answer = client.post(REPORT, agent_form(client, **said))
    assert "No active user of this CRM is called so." in answer.content.decode()
    assert said_by_hand() == {}


def test_all_suggestions_are_accepted_at_once(client: Client, called: None) -> None:
    assert "Accept the 1 suggestion" in pages.html(client, REPORT)
    client.post(REPORT, {"do": "accept_all"})
    assert said_by_hand() == {"jane.doe@dialer.example": "acme-Jane Doe"}


def test_what_somebody_else_said_of_an_agent_is_not_written_over(
    client: Client, connection: CrmConnection, called: None
) -> None:
    mine = agent_form(client, **{"sam@dialer.example": "Bo Poe"})
    factories.agent_override(connection, agent_email="sam@dialer.example", crm_user_id="acme-Ann Lee")
    assert "Somebody else has said meanwhile" in client.post(REPORT, mine).content.decode()
    assert said_by_hand() == {"sam@dialer.example": "acme-Ann Lee"}


def test_reading_the_users_shows_that_it_goes_on(client: Client, tenant: Tenant, called: None) -> None:
    assert "data-live-url" not in pages.html(client, REPORT)
    answer = client.post(f"/admin/activities/agentoverride/read/?tenant={tenant.pk}", follow=True)
    assert "are being read now" in answer.content.decode()
    part = pages.html(client, f"{REPORT}?part=agents-reading")
    assert 'id="agents-reading"' in part
    assert "<html" not in part


def test_the_report_takes_few_queries_however_many_agents_there_are(
    client: Client, tenant: Tenant, connection: CrmConnection, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    other = factories.connection(tenant, "salesforce")
    for at in range(20):
        factories.call(tenant, agent_email=f"agent{at}@dialer.example")
        factories.crm_agent(connection, f"User {at}")
        factories.crm_agent(other, f"User {at}")
    with django_assert_max_num_queries(15):
        client.get(REPORT)
