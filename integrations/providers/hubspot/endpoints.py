"""Where everything lives on HubSpot's API host. HubSpot moves its families of endpoints to dated paths one by one.

`ENDPOINTS` holds the classic paths. `FAMILIES` tells where each family lives in its other versions; which version is
used is the operator's choice: `HUBSPOT_API_VERSIONS=objects=2026-09,token=v3`.
"""

from collections.abc import Mapping
from urllib.parse import quote

from django.conf import settings

from integrations.errors import Standstill

ENDPOINTS: dict[str, str] = {
    "account": "/account-info/v3/details",
    "token": "/oauth/v1/token",
    "token_info": "/oauth/v1/access-tokens/{token}",
    # The next two exist from v3 on only; v1 has the address before and the one after.
    "token_introspection": "/oauth/v1/token/introspect",
    "token_revocation": "/oauth/v1/token/revoke",
    "refresh_token": "/oauth/v1/refresh-tokens/{token}",
    "owners": "/crm/v3/owners",
    "owner": "/crm/v3/owners/{id}",
    "properties": "/crm/v3/properties/{type}",
    "property": "/crm/v3/properties/{type}/{name}",
    "property_batch": "/crm/v3/properties/{type}/batch/{action}",
    "property_groups": "/crm/v3/properties/{type}/groups",
    "objects": "/crm/v3/objects/{type}",
    "object": "/crm/v3/objects/{type}/{id}",
    "merge": "/crm/v3/objects/{type}/merge",
    "erase": "/crm/v3/objects/{type}/gdpr-delete",
    "batch": "/crm/v3/objects/{type}/batch/{action}",
    "search": "/crm/v3/objects/{type}/search",
    "association_classic": "/crm/v3/objects/{type}/{id}/associations/{to_type}/{to_id}/{association}",
    "associations": "/crm/v4/objects/{type}/{id}/associations/{to_type}",
    "association": "/crm/v4/objects/{type}/{id}/associations/{to_type}/{to_id}",
    "associate": "/crm/v4/objects/{type}/{id}/associations/default/{to_type}/{to_id}",
    "associate_batch": "/crm/v4/associations/{type}/{to_type}/batch/associate/default",
    "association_batch": "/crm/v4/associations/{type}/{to_type}/batch/{action}",
    "association_labels": "/crm/v4/associations/{type}/{to_type}/labels",
    "dispositions": "/calling/v1/dispositions",
    "webhook_settings": "/webhooks/v3/{app}/settings",
    "webhook_subscriptions": "/webhooks/v3/{app}/subscriptions",
    "webhook_subscription_batch": "/webhooks/v3/{app}/subscriptions/batch/update",
    "timeline_event": "/integrators/timeline/v3/events",
    "timeline_events": "/integrators/timeline/v3/events/batch/create",
    "timeline_event_of": "/integrators/timeline/v3/events/{template}/{id}",
    "custom_event": "/events/v3/send",
    "custom_events": "/events/v3/send/batch",
}

DATES = ("2026-03", "2026-09", "2027-03")

Moves = Mapping[str, str]
"""Start of a classic path → start of the same path in another version."""

FAMILIES: Mapping[str, Mapping[str, Moves]] = {
    "objects": {"v3": {}, **{date: {"/crm/v3/objects": f"/crm/objects/{date}"} for date in DATES}},
    "properties": {"v3": {}, **{date: {"/crm/v3/properties": f"/crm/properties/{date}"} for date in DATES}},
    "owners": {"v3": {}, **{date: {"/crm/v3/owners": f"/crm/owners/{date}"} for date in DATES}},
    "associations": {
        "v4": {},
        **{
            date: {"/crm/v4/associations": f"/crm/associations/{date}", "/crm/v4/objects": f"/crm/objects/{date}"}
            for date in DATES
        },
    },
    "token": {"v1": {}, "v3": {"/oauth/v1": "/oauth/v3"}, "2026-09": {"/oauth/v1": "/oauth/2026-09"}},
    "webhooks": {
        "v3": {},
        "2026-03": {"/webhooks/v3": "/webhooks/2026-03"},
        "2026-09": {"/webhooks/v3": "/app-webhooks/2026-09"},
    },
    "events": {"v3": {}, "2026-09": {"/events/v3": "/events/custom/2026-09"}},
    "timeline": {
        "v3": {},
        "2026-03": {"/integrators/timeline/v3": "/integrators/timeline/2026-03"},
        "crm-v3": {"/integrators/timeline/v3": "/crm/v3/timeline"},
    },
}
"""Family → version → what moves. The first version of a family is the one that is used unless the operator chose another."""

OBJECT_TYPE_IDS: dict[str, str] = {
    "contacts": "0-1",
    "companies": "0-2",
    "deals": "0-3",
    "tickets": "0-5",
    "communications": "0-18",
    "tasks": "0-27",
    "notes": "0-46",
    "meetings": "0-47",
    "calls": "0-48",
    "emails": "0-49",
    "leads": "0-136",
}
"""HubSpot's numbers for object types, as its web pages use them."""


def path(name: str, /, **parts: str) -> str:
    """The path of an endpoint in the chosen version. Raises Standstill when the operator chose one that does not exist."""
    template = ENDPOINTS[name]
    for classic, moved in _moves():
        if template.startswith(classic + "/") or template == classic:
            template = moved + template.removeprefix(classic)
            break
    return template.format(**{key: quote(value, safe="") for key, value in parts.items()})


def version(family: str) -> str:
    """The chosen version of a family."""
    return _chosen().get(family) or next(iter(FAMILIES[family]))


def _moves() -> list[tuple[str, str]]:
    return [move for family, chosen in _chosen().items() for move in FAMILIES[family][chosen].items()]


def _chosen() -> dict[str, str]:
    chosen = {}
    for item in settings.HUBSPOT_API_VERSIONS:
        family, _, wanted = item.partition("=")
        if family not in FAMILIES:
            raise _unknown(item, f"The families are: {', '.join(FAMILIES)}.")
        if wanted not in FAMILIES[family]:
            raise _unknown(item, f"The versions of {family} are: {', '.join(FAMILIES[family])}.")
        chosen[family] = wanted
    return chosen


def _unknown(item: str, known: str) -> Standstill:
    return Standstill(
        f"HUBSPOT_API_VERSIONS names {item!r}, which does not exist. {known} Write it like objects=2026-09.",
        cause="unknown_version",
    )
