"""The pages of dispositions, agents and notes."""

from typing import Any

import pytest
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


@pytest.fixture
def client(tenant: Tenant, sign_in: SignIn) -> Client:
    return sign_in(factories.tenant_admin(tenant))


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
    assert client.post(url, {"disposition": "Voicemail", "choice_1": "g-2", "values": ""}).status_code == 302
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
        "values": "",
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
    said = {name: form[name].value() or "" for name in form.fields}
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
    wrong = client.post(url, {"disposition": "Voicemail", "choice_0": "", "choice_1": "gone", "values": ""})
    assert "It offers: Connected, Left voicemail." in str(errors(wrong)["choice_1"])
    assert client.post(url, {"disposition": "Voicemail", "choice_1": "g-2", "values": ""}).status_code == 302


def test_json_may_not_say_what_the_crm_does_not_offer(client: Client, connection: CrmConnection) -> None:
    said = {"crm_provider": "hubspot", "disposition": "X", "choice_1": "", "values": '{"hs_call_disposition": "nope"}'}
    assert "It offers" in str(errors(client.post(ADD, said))["choice_1"])


def test_the_choices_appear_once_the_crm_was_chosen(client: Client, connection: CrmConnection) -> None:
    response = client.post(ADD, {"crm_provider": "hubspot", "disposition": "X", "values": ""})
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
