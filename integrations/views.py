"""Base of the REST endpoints."""

from typing import Any

from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.views import APIView

from integrations import tenancy
from integrations.models import Tenant


class AlreadyUsed(APIException):
    """An id that was used for something else before."""

    status_code = 409
    default_code = "conflict"


class TenantView(APIView):
    """Base of every endpoint: the handler runs inside the scope of the key's tenant."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with tenancy.entered(None):
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        tenancy.narrow(frozenset({self.tenant.pk}))

    @property
    def tenant(self) -> Tenant:
        key: Any = self.request.auth
        found: Tenant = key.tenant
        return found
