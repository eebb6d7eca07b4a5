"""Where everything lives on HubSpot's API host. One table, as HubSpot moves its families to dated paths one by one."""

from urllib.parse import quote

ENDPOINTS: dict[str, str] = {
    "account": "/account-info/v3/details",
    "token": "/oauth/v1/token",
    "owners": "/crm/v3/owners",
    "properties": "/crm/v3/properties/{type}",
    "property": "/crm/v3/properties/{type}/{name}",
    "property_groups": "/crm/v3/properties/{type}/groups",
    "objects": "/crm/v3/objects/{type}",
    "batch": "/crm/v3/objects/{type}/batch/{action}",
    "search": "/crm/v3/objects/{type}/search",
    "associations": "/crm/v4/objects/{type}/{id}/associations/{to_type}",
    "associate": "/crm/v4/objects/{type}/{id}/associations/default/{to_type}/{to_id}",
    "associate_batch": "/crm/v4/associations/{type}/{to_type}/batch/associate/default",
}

OBJECT_TYPE_IDS: dict[str, str] = {"contacts": "0-1", "calls": "0-48"}
"""HubSpot's numbers for object types, as its web pages use them."""


def path(name: str, /, **parts: str) -> str:
    return ENDPOINTS[name].format(**{key: quote(value, safe="") for key, value in parts.items()})
