"""Every page that the admin's registry has, among the rows of the bench's first tenant: lists with each filter and each way to
sort them, searches, and the pages of one row."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Model
from django.test import Client

from tests.bench_pages import FIRST
from tests.factories import World

TERMS = ("Carla", "p5@example.com", "+12025550005", "5", "no such thing")
"""What is searched for in each list."""
LATER = 100
"""The page that is looked at of a long list."""


def found(client: Client, known: set[str]) -> list[str]:
    """Addresses; some of them this person may not open."""
    from tests.admin import pages

    world = meet()
    made = [*pages.plain_urls(), *pages.row_urls(world)]
    made += [address for model in pages.registered() for address in _list(client, model, world)]
    return [one for one in dict.fromkeys(made) if one not in known and not one.endswith("/delete/")]


_made: World = {}


def meet() -> World:
    """A row of each model: one of the many where there are many. Makes the first tenant's admin, so call it before `people`."""
    from integrations import tenancy
    from integrations.models import Tenant
    from tests import factories
    from tests.admin import pages

    with tenancy.everyone():
        tenant = Tenant.objects.get(slug=FIRST)
        if not _made:
            _made.update(factories.world(tenant, "salesforce"))
            for model in pages.registered():
                rows = model._default_manager.order_by("pk")
                of_tenant = rows.filter(tenant=tenant) if _has(model, "tenant") else rows.none()
                _made[model] = of_tenant.first() or _made[model]
            _made[Tenant] = tenant
    return _made


def _has(model: type[Model], name: str) -> bool:
    return any(field.name == name for field in model._meta.get_fields())


def _list(client: Client, model: type[Model], world: World) -> Iterator[str]:
    from tests.admin import pages

    address = pages.page(model, "changelist")
    answer: Any = client.get(address)
    if answer.status_code != 200:
        return
    changes = answer.context_data["cl"]
    if changes.search_fields:
        yield from (f"{address}?q={term.replace('+', '%2B').replace(' ', '+')}" for term in TERMS)
    if changes.paginator.num_pages >= LATER:
        yield from (f"{address}?p={LATER}", f"{address}?p={changes.paginator.num_pages}")
    for number, name in enumerate(changes.list_display):
        if changes.get_ordering_field(name):
            yield from (f"{address}?o={number}", f"{address}?o=-{number}")
    for one in changes.filter_specs:
        yield from (address + query for query in _filtered(one, changes, world))


def _filtered(one: Any, changes: Any, world: World) -> Iterator[str]:
    """By each value that is offered; by the first tenant's own row where one is looked for."""
    from integrations.models import CrmConnection, Tenant

    rows: dict[str, Any] = {"tenant": world[Tenant], "connection": world[CrmConnection]}
    for choice in one.choices(changes):
        if "query_string" in choice:
            yield choice["query_string"]
        elif getattr(one, "field_path", None) in rows:
            yield f"?{one.lookup_kwarg}={rows[one.field_path].pk}"
