"""A tenant's admin finds nothing of another tenant: on no page, in no list, by no button."""

from itertools import chain
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client

from integrations import tenancy
from integrations.access import TENANT_ADMIN
from integrations.models import ApiKey, CrmConnection, Membership, Tenant
from sync.models import Contact, Deployment, WorkerBeat
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.factories import World

MODELS = pages.registered()
OURS = ("integrations", "mapping", "sync", "activities")


@pytest.mark.thorough
def test_no_page_of_another_tenants_row_is_there(admin_client: Client, theirs: World) -> None:
    tried = list(pages.row_urls(theirs))
    for url in tried:
        answers = {
            "GET": admin_client.get(url, follow=True).status_code,
            "POST": admin_client.post(url, {"post": "yes"}, follow=True).status_code,
        }
        assert answers == {"GET": 404, "POST": 404}, f"{url} answered {answers}"
    assert len(tried) > 4 * len(MODELS), "Each model has at least the pages change, delete and history."


@pytest.mark.thorough
def test_no_page_of_a_row_that_never_was_is_there(support_client: Client, root_client: Client, ours: World) -> None:
    missing = "00000000-0000-0000-0000-000000000000"
    for model in MODELS:
        for name in ("change", "delete", "history"):
            url = pages.page(model, name, missing)
            assert root_client.get(url).status_code == 404, url
            assert support_client.get(url).status_code == 404, url


def test_a_tenants_own_rows_are_there(admin_client: Client, ours: World) -> None:
    for model in MODELS:
        if _may_view(ours[User], model):
            url = pages.page(model, "change", pages.sample(ours, model).pk)
            assert admin_client.get(url).status_code == 200, url


def test_no_list_shows_another_tenants_rows(admin_client: Client, ours: World, theirs: World) -> None:
    for model in MODELS:
        url = pages.page(model, "changelist")
        if not _may_view(ours[User], model):
            assert admin_client.get(url).status_code == 403, url
            continue
        theirs_page = pages.page(model, "change", pages.sample(theirs, model).pk)
        for query in ("", "?q=strange", f"?q={pages.sample(theirs, model).pk}"):
            shown = pages.html(admin_client, url + query)
            assert theirs_page not in shown, url + query
            assert "stranger" not in shown.lower(), url + query


OF_THE_SITE = (WorkerBeat, Deployment)
"""What belongs to no tenant."""


@pytest.mark.thorough
def test_whoever_may_view_everything_still_sees_only_the_own_tenant(
    ours: World, theirs: World, tenant: Tenant, sign_in: SignIn
) -> None:
    looker = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = sign_in(looker)
    for model in MODELS:
        if model._meta.app_label in OURS and model not in OF_THE_SITE:
            shown = pages.html(client, pages.page(model, "changelist"))
            assert pages.page(model, "change", ours[model].pk) in shown, model
            assert client.get(pages.page(model, "change", theirs[model].pk)).status_code == 404
            assert client.get(pages.page(model, "change", ours[model].pk)).status_code == 200


def test_a_list_filtered_by_connection_shows_the_rows_of_ones_own_and_none_of_anothers(
    admin_client: Client, ours: World, theirs: World
) -> None:
    linked = [model for model in MODELS if model._meta.app_label == "sync" and hasattr(model, "connection")]
    assert len(linked) > 8
    for model in linked:
        for rows in (ours, theirs):
            asked = {"connection__id__exact": rows[CrmConnection].pk}
            shown = pages.html(admin_client, f"{pages.page(model, 'changelist')}?{urlencode(asked)}")
            assert (pages.page(model, "change", rows[model].pk) in shown) == (rows is ours), model


def test_the_first_page_shows_only_the_tenants_own(admin_client: Client, ours: World, theirs: World) -> None:
    shown = pages.html(admin_client, "/admin/")
    assert "acme account" in shown
    assert "stranger" not in shown.lower()


def test_autocompletion_offers_only_the_tenants_own(admin_client: Client, ours: World, theirs: World) -> None:
    asked = {"app_label": "sync", "model_name": "syncjob", "field_name": "connection", "term": ""}
    offered = admin_client.get("/admin/autocomplete/", asked).json()["results"]
    assert [one["id"] for one in offered] == [str(ours[CrmConnection].pk)]


def test_a_tenant_admin_neither_sees_nor_chooses_a_tenant(admin_client: Client, ours: World) -> None:
    for url in (
        pages.page(Contact, "changelist"),
        "/admin/mapping/fieldmapping/add/",
        "/admin/integrations/apikey/add/",
    ):
        shown = pages.html(admin_client, url)
        assert 'name="tenant"' not in shown
        assert "column-tenant" not in shown


def test_support_sees_every_tenant_and_whose_each_row_is(support_client: Client, ours: World, theirs: World) -> None:
    shown = pages.html(support_client, pages.page(Contact, "changelist"))
    assert "column-tenant" in shown
    assert "Hopper-acme" in shown
    assert "Hopper-stranger" in shown


def test_somebody_with_two_tenants_sees_both_and_chooses(tenant: Tenant, stranger: Tenant, sign_in: SignIn) -> None:
    factories.contact(tenant)
    factories.contact(stranger)
    third = factories.contact(factories.tenant("third"))
    client = sign_in(factories.tenant_admin(tenant, stranger))
    shown = pages.html(client, pages.page(Contact, "changelist"))
    assert "Hopper-acme" in shown
    assert "Hopper-stranger" in shown
    assert "Hopper-third" not in shown
    assert client.get(pages.page(Contact, "change", third.pk)).status_code == 404
    assert 'name="tenant"' in pages.html(client, "/admin/integrations/apikey/add/")


def test_a_row_cannot_be_made_for_another_tenant(
    tenant: Tenant, stranger: Tenant, sign_in: SignIn, admin_client: Client, ours: World
) -> None:
    third = factories.tenant("third")
    url = "/admin/integrations/apikey/add/"
    both = sign_in(factories.tenant_admin(tenant, stranger))
    refused = both.post(url, {"name": "sneaky", "tenant": str(third.pk)})
    assert refused.status_code == 200
    assert "not one of the available choices" in refused.content.decode()
    assert admin_client.post(url, {"name": "mine", "tenant": str(third.pk)}).status_code == 302
    with tenancy.everyone():
        assert {key.tenant.slug for key in ApiKey.objects.exclude(name__contains=" of ")} == {"acme"}


def test_whoever_is_no_member_of_any_tenant_sees_no_rows(ours: World, sign_in: SignIn) -> None:
    nobody = sign_in(factories.user("nobody", TENANT_ADMIN))
    assert "Hopper" not in pages.html(nobody, pages.page(Contact, "changelist"))
    assert nobody.get(pages.page(Contact, "change", ours[Contact].pk)).status_code == 404


def test_whoever_was_removed_from_a_tenant_sees_it_no_more(admin_client: Client, ours: World) -> None:
    url = pages.page(Contact, "change", ours[Contact].pk)
    assert admin_client.get(url).status_code == 200
    with tenancy.everyone():
        Membership.objects.filter(user=ours[User]).delete()
    assert admin_client.get(url).status_code == 404


def test_every_model_of_ours_is_in_the_admin() -> None:
    ours = chain.from_iterable(
        apps.get_app_config(label).get_models() for label in ("integrations", "mapping", "sync", "activities")
    )
    # On the pages of what they belong to.
    elsewhere = {
        "mapping.MappingDraft", "sync.RecordSnapshot", "sync.SentValue", "sync.UndoItem", "sync.FailureCause", "sync.FailureHour",
        "sync.AlertDelivery", "sync.ConnectionHour", "integrations.GuessCount", "sync.Restore",
    }  # fmt: skip
    shown = {model._meta.label for model in admin.site._registry} | elsewhere
    assert {model._meta.label for model in ours} <= shown


def _may_view(person: User, model: type[Model]) -> bool:
    return User.objects.get(pk=person.pk).has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")
