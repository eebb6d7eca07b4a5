from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations.models import Tenant
from tests import factories
from tests.factories import World

SignIn = Callable[[User], Client]


@pytest.fixture
def admin_client(ours: World, sign_in: SignIn) -> Client:
    """The tenant admin of `ours`, who is nothing else."""
    return sign_in(ours[User])


@pytest.fixture
def support_client(db: None, sign_in: SignIn) -> Client:
    return sign_in(factories.support())


@pytest.fixture
def root_client(db: None, sign_in: SignIn) -> Client:
    return sign_in(factories.superuser())


@pytest.fixture
def client(tenant: Tenant, sign_in: SignIn) -> Client:
    """An administrator of the tenant, which has nothing yet."""
    return sign_in(factories.tenant_admin(tenant))
