import pytest
from django.contrib.auth.models import User

from integrations.models import Tenant
from tests import factories

PASSWORD = "a-long-password-4-tests"


@pytest.fixture
def ann(tenant: Tenant) -> User:
    """An administrator of the tenant who can log in."""
    person = factories.tenant_admin(tenant)
    person.set_password(PASSWORD)
    person.save()
    return person
