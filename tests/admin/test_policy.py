"""The editor of a tenant's conflict policy: what it explains, counts, stores and refuses."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from mapping.models import ConflictPolicy, FieldMapping, Strategy
from mapping.publishing import publish
from sync import policy_preview
from sync.models import Rehearsal
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn

EDITOR = "/admin/mapping/conflictpolicy/editor/"


@pytest.fixture
def connection(tenant: Tenant) -> CrmConnection:
    made: CrmConnection = factories.connection(tenant)
    factories.mapping(tenant, "company", "company")
    factories.mapping(tenant, "title", "jobtitle", strategy="dialer_wins")
    factories.mapping(tenant, "email", "email", on_blank="ignore")
    with tenancy.everyone():
        publish(tenant.pk, "hubspot")
    return made


def disputes(of: CrmConnection, field: str, count: int, **fields: Any) -> None:
    for number in range(count):
        person = factories.contact(of.tenant)
        linked = factories.link(of, person, crm_record_id=f"{field}-{number}-{len(fields)}-{person.pk}")
        factories.conflict(linked, person, field=field, status="decided", **fields)


def posted(client: Client, **said: str) -> dict[str, str]:
    """The form as it stands on the page, with some of it changed."""
    form = client.get(EDITOR).context["form"]
    held = {name: form[name].value() or "" for name in form.fields}
    return {**held, **{name.replace("__", ":"): value for name, value in said.items()}}


def stored(owner: Tenant) -> ConflictPolicy | None:
    with tenancy.everyone():
        found: ConflictPolicy | None = ConflictPolicy.objects.filter(tenant=owner).first()
    return found


def test_each_strategy_is_explained_with_an_example(client: Client, connection: CrmConnection) -> None:
    shown = pages.html(client, EDITOR)
    for value, label in Strategy.choices:
        assert f'value="{value}"' in shown
        assert str(label) in shown
    assert "both become “Acme Inc”." in shown
    assert "Whoever says “don&#x27;t call” is believed." in shown or "Whoever says “don't call” is believed." in shown


def test_a_rule_and_exceptions_are_stored_and_told_in_the_history(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    said = posted(client, default="manual", rule__company="crm_wins", more_field="custom.plan", more_rule="dialer_wins")
    shown = client.post(EDITOR, {**said, "do": "save"}, follow=True).content.decode()
    row = stored(tenant)
    assert row is not None
    assert (row.default, row.overrides) == ("manual", {"company": "crm_wins", "custom.plan": "dialer_wins"})
    assert "Saved. It decides from the next record on." in shown
    assert "Unless said otherwise: The CRM wins → A person decides." in shown
    assert "Company: no rule of its own → The CRM wins." in shown
    client.post(EDITOR, {**posted(client, rule__company=""), "do": "save"})
    row = stored(tenant)
    assert row is not None
    assert row.overrides == {"custom.plan": "dialer_wins"}


def test_saving_without_a_change_says_so(client: Client, tenant: Tenant, connection: CrmConnection) -> None:
    factories.policy(tenant)
    shown = client.post(EDITOR, {**posted(client), "do": "save"}, follow=True).content.decode()
    assert "Nothing was changed." in shown
    assert "Nobody has changed the policy yet." in shown


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"more_field": "compny", "more_rule": "manual"}, "did you mean"),
        ({"more_field": "custom.plan"}, "Choose the rule for this field."),
        ({"more_rule": "manual"}, "Name the field that this rule is for."),
        ({"rule__company": "coin_toss"}, "coin_toss"),
        ({"default": "coin_toss"}, "coin_toss"),
    ],
    ids=["unknown field", "no rule", "no field", "unknown rule", "unknown default"],
)
def test_what_is_wrong_is_said_and_nothing_is_stored(
    client: Client, tenant: Tenant, connection: CrmConnection, said: Mapping[str, str], problem: str
) -> None:
    answer = client.post(EDITOR, {**posted(client, **said), "do": "save"})
    assert answer.status_code == 200
    assert problem in str(answer.context["form"].errors)
    assert stored(tenant) is None


def test_somebody_elses_change_is_not_written_over(client: Client, tenant: Tenant, connection: CrmConnection) -> None:
    mine = posted(client, default="manual")
    client.post(EDITOR, {**posted(client, default="dialer_wins"), "do": "save"})
    answer = client.post(EDITOR, {**mine, "do": "save"})
    assert "Somebody else changed the policy meanwhile." in answer.content.decode()
    row = stored(tenant)
    assert row is not None
    assert row.default == "dialer_wins"


def test_it_shows_which_mapping_rows_go_before_it_and_where_blanks_are_ruled(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    shown = pages.html(client, EDITOR)
    with tenancy.everyone():
        title, email = (FieldMapping.objects.get(dialer_field=name) for name in ("title", "email"))
    assert f'href="{pages.page(FieldMapping, "change", title.pk)}">HubSpot: The dialer wins' in shown
    assert f'href="{pages.page(FieldMapping, "change", email.pk)}">E-mail, HubSpot' in shown
    assert "is ignored" in shown


# --- what it would have decided -------------------------------------------------------------------------------------


def counted(client: Client, **said: str) -> dict[str, str]:
    answer = client.post(EDITOR, {**posted(client, **said), "do": "preview"})
    return {str(words): count for _level, words, count in answer.context["totals"]}


def test_the_preview_counts_the_conflicts_of_30_days_by_who_would_have_won(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    now = factories.now()
    disputes(connection, "company", 3, ours_at=now, theirs_at=now - timedelta(hours=1))
    disputes(connection, "company", 2, ours_at=now - timedelta(hours=1), theirs_at=now)
    disputes(connection, "title", 4)
    disputes(connection, "company", 7, created_at=now - timedelta(days=31))
    zero = {"for the dialer": "0", "for the CRM": "0", "joined": "0", "to a person": "0"}
    # The title's row says itself that the dialer wins, whatever the policy says.
    assert counted(client) == {**zero, "for the dialer": "4", "for the CRM": "5"}
    assert counted(client, default="manual") == {**zero, "for the dialer": "4", "to a person": "5"}
    assert counted(client, default="manual", rule__company="last_write_wins") == {
        **zero, "for the dialer": "7", "for the CRM": "2",
    }  # fmt: skip
    assert stored(tenant) is None


def test_lists_and_parts_are_joined_in_the_preview_where_they_fit(connection: CrmConnection) -> None:
    disputes(connection, "custom.tags", 2, base=[], ours=["a"], theirs=["b"])
    disputes(connection, "custom.tags", 1, base={}, ours={"a": 1}, theirs={"b": 2})
    disputes(connection, "custom.tags", 1, base={}, ours={"a": 1}, theirs={"a": 2})
    disputes(connection, "custom.tags", 1, base="x", ours="y", theirs="z")
    with tenancy.everyone():
        found = policy_preview.preview(connection.tenant_id, "field_level_merge", {})
    assert found.total == {"both": 3, "person": 2}
    assert found.conflicts == 5


def test_the_preview_counts_only_the_tenants_own(client: Client, connection: CrmConnection, stranger: Tenant) -> None:
    disputes(factories.connection(stranger), "company", 3)
    disputes(connection, "company", 1)
    assert counted(client)["for the CRM"] == "1"


def test_of_very_many_conflicts_the_newest_are_counted_and_it_says_so(
    client: Client, connection: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.policy_preview.MOST", 3)
    disputes(connection, "company", 5, ours_at=factories.now(), theirs_at=factories.now() - timedelta(hours=1))
    disputes(connection, "company", 2, ours_at=factories.now() - timedelta(hours=1), theirs_at=factories.now())
    found = counted(client, default="last_write_wins", rule__company="")
    assert (found["for the dialer"], found["for the CRM"]) == ("1", "2")
    assert "newest 3 conflicts" in pages.html(client, EDITOR)


def test_the_editor_takes_few_queries_however_many_conflicts_there_are(
    client: Client, connection: CrmConnection, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for field in ("company", "title", "email", "phone"):
        disputes(connection, field, 5)
    with django_assert_max_num_queries(15):
        client.get(EDITOR)


# --- trying it, and who may -----------------------------------------------------------------------------------------


def test_what_stands_in_the_form_can_be_rehearsed_before_it_is_saved(
    client: Client, tenant: Tenant, connection: CrmConnection
) -> None:
    answer = client.post(EDITOR, {**posted(client, default="manual", rule__company="crm_wins"), "do": "rehearse"})
    with tenancy.everyone():
        draft = Rehearsal.objects.get()
    assert answer["Location"] == pages.page(Rehearsal, "change", draft.pk)
    assert draft.policy == {"default": "manual", "overrides": {"company": "crm_wins"}}
    assert draft.connection_id == connection.pk
    assert stored(tenant) is None


def test_without_a_mapping_there_is_nothing_to_rehearse(client: Client, tenant: Tenant) -> None:
    answer = client.post(EDITOR, {**posted(client), "do": "rehearse"})
    assert "Connect a CRM first." in answer.content.decode()


def test_the_page_of_a_policy_is_its_editor(client: Client, tenant: Tenant, connection: CrmConnection) -> None:
    row = factories.policy(tenant)
    shown = pages.html(client, pages.page(ConflictPolicy, "change", row.pk))
    assert 'name="rule:lead_status"' in shown
    assert 'name="rule:company"' in pages.html(client, pages.page(ConflictPolicy, "add"))
    assert f'href="{EDITOR}"' in shown


def test_another_tenants_policy_is_not_there(client: Client, connection: CrmConnection, stranger: Tenant) -> None:
    row = factories.policy(stranger)
    assert client.get(pages.page(ConflictPolicy, "change", row.pk)).status_code == 404
    assert client.get(f"{EDITOR}?tenant={stranger.pk}").status_code == 404
    assert client.post(f"{EDITOR}?tenant={stranger.pk}", {"default": "manual", "do": "save"}).status_code == 404
    after = stored(stranger)
    assert after is not None
    assert after.default == row.default


def test_who_may_only_look_changes_nothing(tenant: Tenant, connection: CrmConnection, sign_in: SignIn) -> None:
    looker = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = sign_in(looker)
    assert 'value="save"' not in pages.html(client, EDITOR)
    assert client.post(EDITOR, {"default": "manual", "do": "save"}).status_code == 403
    assert stored(tenant) is None


def test_support_chooses_the_tenant_first(support_client: Client, connection: CrmConnection, tenant: Tenant) -> None:
    assert f"tenant={tenant.pk}" in pages.html(support_client, EDITOR)
    said = {"default": "manual", "seen": "", "do": "save"}
    assert support_client.post(f"{EDITOR}?tenant={tenant.pk}", said).status_code == 302
    row = stored(tenant)
    assert row is not None
    assert row.default == "manual"
