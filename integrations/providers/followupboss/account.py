"""What an account of Follow Up Boss says of itself: smart lists, and the limits of our registered system."""

from typing import Any

from integrations.contract.ports import Api
from integrations.providers.followupboss import listing
from integrations.transport.classify import json_of


def smart_lists(api: Api) -> list[dict[str, Any]]:
    """All of them: without being asked the service gives those of the older kind alone."""
    return listing.everything(api, "smartLists", {"all": "true", "fub2": "true"})


def rate_limits(api: Api) -> dict[str, Any]:
    """What our system is allowed, as the service tells it. Raises FixConfig for a system that is not registered."""
    told = json_of(api.request("GET", "/rateLimit/limits"))
    return told if isinstance(told, dict) else {}
