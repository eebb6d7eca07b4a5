from itertools import chain

import pytest
from django.apps import apps

from integrations import tenancy
from integrations.models import ApiKey, Tenant


def test_a_query_without_a_scope_is_refused(tenant: Tenant) -> None:
    with pytest.raises(tenancy.ScopeRequired):
        ApiKey.objects.count()


def test_a_queryset_made_in_one_scope_and_run_in_another_obeys_the_other(tenant: Tenant, stranger: Tenant) -> None:
    with tenancy.everyone():
        ApiKey.issue(tenant, "ours")
        ApiKey.issue(stranger, "theirs")
        lazy = ApiKey.objects.order_by("name")
    with tenancy.scope(tenant.pk):
        assert [key.name for key in lazy] == ["ours"]


def test_support_sees_all_tenants_and_others_their_own(tenant: Tenant, stranger: Tenant) -> None:
    with tenancy.everyone():
        assert Tenant.objects.count() == 2
    with tenancy.scope(tenant.pk):
        assert list(Tenant.objects.all()) == [tenant]
    with tenancy.scope(tenant.pk, stranger.pk):
        assert Tenant.objects.count() == 2
    with tenancy.scope():
        assert not Tenant.objects.exists()


def test_updates_and_deletes_stay_inside_the_scope(tenant: Tenant, stranger: Tenant) -> None:
    with tenancy.everyone():
        ApiKey.issue(tenant, "ours")
        ApiKey.issue(stranger, "theirs")
    with tenancy.scope(tenant.pk):
        assert ApiKey.objects.update(name="renamed") == 1
        assert ApiKey.objects.all().delete()[0] == 1
    with tenancy.everyone():
        assert [key.name for key in ApiKey.objects.all()] == ["theirs"]


def test_a_row_of_another_tenant_cannot_be_written(tenant: Tenant, stranger: Tenant) -> None:
    with tenancy.scope(tenant.pk):
        with pytest.raises(tenancy.ScopeRequired):
            ApiKey(tenant_id=stranger.pk, name="x", prefix="p", key_hash="h").save()
        with pytest.raises(tenancy.ScopeRequired):
            ApiKey.objects.bulk_create([ApiKey(tenant_id=stranger.pk, name="x", prefix="p", key_hash="h")])


def test_the_scope_ends_with_its_block(tenant: Tenant) -> None:
    with tenancy.everyone(), tenancy.scope(tenant.pk):
        pass
    assert tenancy.current_scope() is None


def test_every_model_that_names_a_tenant_is_scoped() -> None:
    ours = [apps.get_app_config(label).get_models() for label in ("integrations", "mapping", "sync", "activities")]
    owned = [
        model for model in chain.from_iterable(ours) if any(field.name == "tenant" for field in model._meta.fields)
    ]
    assert len(owned) > 15
    for model in owned:
        assert issubclass(model, tenancy.TenantOwned), model
        assert isinstance(model._default_manager, tenancy.ScopedManager), model
        with pytest.raises(tenancy.ScopeRequired):
            model._default_manager.exists()
