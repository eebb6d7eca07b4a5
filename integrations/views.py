"""Base of the REST endpoints."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.views import APIView

from integrations import tenancy, tracing
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
        tracing.note(tenant=str(self.tenant.pk))

    @property
    def tenant(self) -> Tenant:
        key: Any = self.request.auth
        found: Tenant = key.tenant
        return found


def field_errors(faults: Any) -> list[dict[str, str]]:
    """The faults of a body as one entry for each field, nested ones with their path."""
    return [{"field": _sayable(name), "message": _sayable(text)} for name, text in _flatten(faults, "")]


def _sayable(text: str) -> str:
    """A fault may quote half a character, which no answer can hold."""
    return text.encode("utf-8", "replace").decode()


def _flatten(faults: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(faults, Mapping):
        for key, value in faults.items():
            name = "" if key == "non_field_errors" else str(key)
            yield from _flatten(value, f"{path}.{name}".strip(".") if name else path)
    elif isinstance(faults, Sequence) and not isinstance(faults, str):
        for position, item in enumerate(faults):
            nested = isinstance(item, Mapping | list)
            yield from _flatten(item, f"{path}[{position}]" if nested else path)
    else:
        yield path, str(faults)
