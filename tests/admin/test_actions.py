"""The buttons: a link only asks, a POST acts, and what became of it is said."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django_q.models import OrmQ

from activities.models import Call
from integrations import tenancy
from integrations.access import TENANT_ADMIN
from integrations.models import ApiKey, CrmConnection
from integrations.sandbox.server import SandboxServer
from mapping.models import FieldMapping, MappingVersion
from mapping.publishing import publish
from sync.models import SyncJob
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.factories import World
from tests.rows import reread

ACTIONS = [
    (CrmConnection, "sync_now"), (CrmConnection, "test"), (CrmConnection, "pause"), (CrmConnection, "resume"),
    (ApiKey, "revoke"), (MappingVersion, "restore_version"), (SyncJob, "try_again"), (Call, "log_again"),
]  # fmt: skip
IDS = [f"{model.__name__}.{name}" for model, name in ACTIONS]


def said(client: Client, url: str, data: Any = None) -> str:
    """The page after a POST, with its messages."""
    return client.post(url, data or {}, follow=True).content.decode()


@pytest.mark.parametrize(("model", "name"), ACTIONS, ids=IDS)
def test_a_link_only_asks_what_is_to_be_done(model: type[Any], name: str, admin_client: Client, ours: World) -> None:
    before = {key: reread(row).__dict__ for key, row in ours.items() if key in dict(ACTIONS)}
    jobs = OrmQ.objects.count()
    shown = pages.html(admin_client, pages.page(model, name, ours[model].pk))
    assert '<form method="post">' in shown
    assert "csrfmiddlewaretoken" in shown
    assert "Cancel" in shown
    assert OrmQ.objects.count() == jobs
    for key, old in before.items():
        new = reread(ours[key]).__dict__
        assert {k: v for k, v in new.items() if k != "_state"} == {k: v for k, v in old.items() if k != "_state"}


@pytest.mark.parametrize(("model", "name"), ACTIONS, ids=IDS)
def test_whoever_may_only_look_can_press_no_button(
    model: type[Any], name: str, ours: World, sign_in: SignIn, tenant: Any
) -> None:
    looker = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = sign_in(looker)
    assert client.get(pages.page(model, "change", ours[model].pk)).status_code == 200
    assert client.get(pages.page(model, name, ours[model].pk)).status_code == 403
    assert client.post(pages.page(model, name, ours[model].pk)).status_code == 403


def test_an_action_needs_the_forms_token(ours: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ours[User])
    assert client.post(pages.page(CrmConnection, "pause", ours[CrmConnection].pk)).status_code == 403
    assert reread(ours[CrmConnection]).status == "connected"


def test_a_pause_holds_the_connection_and_resuming_wakes_it(
    admin_client: Client, ours: World, django_capture_on_commit_callbacks: Any
) -> None:
    connection = ours[CrmConnection]
    assert "Paused. Work waits" in said(admin_client, pages.page(CrmConnection, "pause", connection.pk))
    row = reread(connection)
    assert row.status == "paused"
    assert row.status_reason == "Paused by admin-of-acme"
    queued = OrmQ.objects.count()
    assert "Resumed." in said(admin_client, pages.page(CrmConnection, "resume", connection.pk))
    row = reread(connection)
    assert (row.status, row.status_reason) == ("connected", "")
    assert OrmQ.objects.count() == queued + 1
    assert [entry.change_message for entry in LogEntry.objects.order_by("pk")] == [
        "connected → paused",
        "paused → connected",
    ]


def test_a_pause_that_comes_too_late_changes_nothing(admin_client: Client, ours: World) -> None:
    connection = ours[CrmConnection]
    with tenancy.everyone():
        CrmConnection.objects.filter(pk=connection.pk).update(status="needs_reconnecting", status_reason="Revoked.")
    assert "Nothing was changed: it is Needs reconnecting" in said(
        admin_client, pages.page(CrmConnection, "pause", connection.pk)
    )
    assert reread(connection).status_reason == "Revoked."


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        ("connected", {"Sync now", "Test connection", "Pause", "Connect again"}),
        ("paused", {"Test connection", "Resume", "Connect again"}),
        ("needs_reconnecting", {"Test connection", "Connect again"}),
        ("disconnected", {"Connect again"}),
    ],
)
def test_only_buttons_that_make_sense_are_offered(
    status: str, offered: set[str], admin_client: Client, ours: World
) -> None:
    connection = ours[CrmConnection]
    with tenancy.everyone():
        CrmConnection.objects.filter(pk=connection.pk).update(status=status)
    shown = pages.html(admin_client, pages.page(CrmConnection, "change", connection.pk))
    names = {
        "sync_now": "Sync now",
        "test": "Test connection",
        "pause": "Pause",
        "resume": "Resume",
        "reconnect": "Connect again",
    }
    found = {
        words for name, words in names.items() if f'href="{pages.page(CrmConnection, name, connection.pk)}"' in shown
    }
    assert found == offered


def test_sync_now_queues_a_pass_for_each_kind_of_record(
    admin_client: Client, ours: World, django_capture_on_commit_callbacks: Any
) -> None:
    connection = ours[CrmConnection]
    with tenancy.everyone():
        SyncJob.objects.all().delete()
    with django_capture_on_commit_callbacks(execute=True):
        assert "Queued: 1 passes" in said(admin_client, pages.page(CrmConnection, "sync_now", connection.pk))
    with tenancy.everyone():
        assert [(job.kind, job.key, job.state) for job in SyncJob.objects.all()] == [("pull", "contacts", "ready")]
    assert reread(connection).wake_requested_at is not None


def test_sync_now_starts_nothing_on_a_connection_that_does_not_work(admin_client: Client, ours: World) -> None:
    with tenancy.everyone():
        CrmConnection.objects.update(status="needs_reconnecting")
        before = SyncJob.objects.count()
    url = pages.page(CrmConnection, "sync_now", ours[CrmConnection].pk)
    assert "Nothing was started" in said(admin_client, url)
    with tenancy.everyone():
        assert SyncJob.objects.count() == before


def test_a_connection_that_works_says_whose_account_it_is(
    connection: CrmConnection, sign_in: SignIn, tenant: Any
) -> None:
    client = sign_in(factories.tenant_admin(tenant))
    assert "It works: Fake CRM knows us as Fake account." in said(
        client, pages.page(CrmConnection, "test", connection.pk)
    )


def test_a_connection_that_does_not_work_says_why(
    connection: CrmConnection, fake_crm: SandboxServer, sign_in: SignIn, tenant: Any
) -> None:
    fake_crm.service.store.put("tokens", "current", {"access": "x", "refresh": "y", "dead": True})
    client = sign_in(factories.tenant_admin(tenant))
    shown = said(client, pages.page(CrmConnection, "test", connection.pk))
    assert "It does not work: The fake CRM has revoked this connection." in shown


# --- API keys -------------------------------------------------------------------------------------------------------


def test_a_new_api_key_is_shown_once(admin_client: Client, ours: World) -> None:
    shown = said(admin_client, "/admin/integrations/apikey/add/", {"name": "Night dialer"})
    key = reread_key("Night dialer")
    [text] = set(re.findall(rf"dbk_{key.prefix}_[\w-]+", shown))
    assert text.startswith(f"dbk_{key.prefix}_")
    assert key.fits(text.split("_", 2)[2])
    secret = text.split("_", 2)[2]
    for url in (
        "/admin/integrations/apikey/",
        pages.page(ApiKey, "change", key.pk),
        pages.page(ApiKey, "history", key.pk),
    ):
        assert secret not in pages.html(admin_client, url)
    assert key.tenant_id == ours[ApiKey].tenant_id


def reread_key(name: str) -> ApiKey:
    with tenancy.everyone():
        found: ApiKey = ApiKey.objects.get(name=name)
        return found


def test_of_an_api_key_only_the_name_can_change(admin_client: Client, ours: World) -> None:
    key = ours[ApiKey]
    said(admin_client, pages.page(ApiKey, "change", key.pk), {"name": "Renamed", "prefix": "evil", "key_hash": "evil"})
    row = reread(key)
    assert (row.name, row.prefix, row.key_hash) == ("Renamed", key.prefix, key.key_hash)


def test_revoking_a_key_ends_it_once(admin_client: Client, ours: World) -> None:
    url = pages.page(ApiKey, "revoke", ours[ApiKey].pk)
    assert "The key is revoked." in said(admin_client, url)
    first = reread(ours[ApiKey]).revoked_at
    assert first is not None
    assert "had been revoked before" in said(admin_client, url)
    assert reread(ours[ApiKey]).revoked_at == first


def test_several_keys_are_revoked_from_the_list(admin_client: Client, ours: World, tenant: Any, theirs: World) -> None:
    chosen = [ours[ApiKey].pk, factories.api_key(tenant, "Other").pk, theirs[ApiKey].pk]
    shown = said(
        admin_client, pages.page(ApiKey, "changelist"), {"action": "revoke_selected", "_selected_action": chosen}
    )
    assert "2 keys are revoked." in shown
    assert reread(theirs[ApiKey]).revoked_at is None


# --- jobs and calls --------------------------------------------------------------------------------------------------


def test_a_dead_job_is_tried_again(admin_client: Client, ours: World) -> None:
    job = ours[SyncJob]
    assert "1 job is tried again." in said(admin_client, pages.page(SyncJob, "try_again", job.pk))
    row = reread(job)
    assert (row.state, row.attempts) == ("ready", 0)
    assert "None of these needed help" in said(admin_client, pages.page(SyncJob, "try_again", job.pk))


def test_dead_jobs_are_tried_again_from_the_list_and_others_left_alone(
    admin_client: Client, ours: World, theirs: World
) -> None:
    other = factories.dead_job(ours[CrmConnection], key="another")
    done = factories.job(ours[CrmConnection], key="finished", state="done")
    chosen = [ours[SyncJob].pk, other.pk, done.pk, theirs[SyncJob].pk]
    shown = said(
        admin_client, pages.page(SyncJob, "changelist"), {"action": "try_again_selected", "_selected_action": chosen}
    )
    assert "2 jobs are tried again." in shown
    states = [reread(job).state for job in (ours[SyncJob], other, done, theirs[SyncJob])]
    assert states == ["ready", "ready", "done", "dead"]


def test_a_call_is_logged_again_where_it_failed(admin_client: Client, ours: World) -> None:
    call = ours[Call]
    change = pages.page(Call, "change", call.pk)
    button = f'href="{pages.page(Call, "log_again", call.pk)}"'
    assert button in pages.html(admin_client, change)
    assert "1 job is tried again." in said(admin_client, pages.page(Call, "log_again", call.pk))
    assert button not in pages.html(admin_client, change)
    assert "HubSpot: waiting" in pages.html(admin_client, pages.page(Call, "changelist"))


def test_failed_calls_are_logged_again_from_the_list(admin_client: Client, ours: World) -> None:
    data = {"action": "log_again_selected", "_selected_action": [ours[Call].pk]}
    assert "1 job is tried again." in said(admin_client, pages.page(Call, "changelist"), data)


# --- people ----------------------------------------------------------------------------------------------------------


def test_support_can_make_nobody_a_superuser_nor_change_one(support_client: Client, ours: World) -> None:
    root = factories.superuser()
    assert support_client.post(pages.page(User, "change", root.pk), {"username": "root"}).status_code == 403
    assert support_client.post(f"/admin/auth/user/{root.pk}/password/", {}).status_code == 403
    person = ours[User]
    fields = {
        "username": person.username, "email": "new@example.com", "is_active": "on", "is_staff": "on", "is_superuser": "on",
        "user_permissions": ["1"], "memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0,
    }  # fmt: skip
    assert support_client.post(pages.page(User, "change", person.pk), fields).status_code == 302
    person.refresh_from_db()
    assert person.email == "new@example.com"
    assert not person.is_superuser
    assert not person.user_permissions.exists()


def test_support_can_neither_give_nor_take_over_more_power_than_it_has(support_client: Client, ours: World) -> None:
    strong = Group.objects.create(name="Owners")
    strong.permissions.set(Permission.objects.filter(codename="delete_tenant"))
    owner = factories.user("owner", "Owners", is_active=False)
    assert support_client.post(pages.page(User, "change", owner.pk), {"is_active": "on"}).status_code == 403
    assert support_client.post(f"/admin/auth/user/{owner.pk}/password/", {}).status_code == 403
    offered = pages.html(support_client, pages.page(User, "change", ours[User].pk))
    assert ">Tenant admin</option>" in offered
    assert ">Owners</option>" not in offered


def test_support_gives_a_new_person_a_role_and_a_tenant(support_client: Client, ours: World, tenant: Any) -> None:
    person = factories.user("newcomer", TENANT_ADMIN)
    assert "was added successfully" in said(
        support_client,
        "/admin/integrations/membership/add/",
        {"tenant": str(tenant.pk), "user": person.pk, "role": "admin"},
    )
    client = Client()
    client.force_login(person)
    assert "Hopper-acme" in pages.html(client, "/admin/sync/contact/")


def test_a_tenants_admin_can_change_its_name_but_not_switch_it_on_or_off(admin_client: Client, tenant: Any) -> None:
    fields = {"name": "Acme Inc", "region": "DE", "timezone": "Europe/Berlin", "slug": "evil"}
    said(admin_client, pages.page(type(tenant), "change", tenant.pk), fields)
    row = reread(tenant)
    assert (row.name, row.region, row.timezone, row.slug, row.is_active) == (
        "Acme Inc",
        "DE",
        "Europe/Berlin",
        "acme",
        True,
    )


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [("timezone", "Mars/Olympus", "There is no such time zone"), ("region", "QQ", "No country has this code")],
)
def test_a_place_that_does_not_exist_is_refused(
    field: str, value: str, problem: str, admin_client: Client, tenant: Any
) -> None:
    fields = {"name": "Acme", "region": "US", "timezone": "UTC", field: value}
    assert problem in said(admin_client, pages.page(type(tenant), "change", tenant.pk), fields)


# --- versions of a mapping -------------------------------------------------------------------------------------------


def test_an_earlier_mapping_is_brought_back(admin_client: Client, ours: World, tenant: Any) -> None:
    earlier = ours[MappingVersion]
    with tenancy.everyone():
        publish(tenant.pk, "hubspot")
    shown = said(admin_client, pages.page(MappingVersion, "restore_version", earlier.pk))
    assert "HubSpot v3 is in force now." in shown
    with tenancy.everyone():
        assert [row.dialer_field for row in FieldMapping.objects.all()] == ["company"]
        assert MappingVersion.objects.get(number=3).created_by == ours[User]


def test_an_earlier_mapping_that_works_no_more_is_not_brought_back(
    admin_client: Client, ours: World, tenant: Any
) -> None:
    row = {"dialer_field": "no_such_field", "crm_object": "contacts", "crm_field": "x", "direction": "inbound"}
    broken = factories.mapping_version(tenant, 2, rows=[row])
    shown = said(admin_client, pages.page(MappingVersion, "restore_version", broken.pk))
    assert "Nothing was saved" in shown
    assert "no_such_field" in shown
    with tenancy.everyone():
        assert [row.dialer_field for row in FieldMapping.objects.all()] == ["first_name"]


def test_only_an_earlier_version_offers_to_be_restored(admin_client: Client, ours: World, tenant: Any) -> None:
    newest = factories.mapping_version(tenant, 2)
    earlier = pages.html(admin_client, pages.page(MappingVersion, "change", ours[MappingVersion].pk))
    assert "Restore this version" in earlier
    assert "Restore this version" not in pages.html(admin_client, pages.page(MappingVersion, "change", newest.pk))
