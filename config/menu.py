"""The side menu of one page, made of `config.theme.NAVIGATION`.

The theme would copy the whole menu for each page and make a class for each question about it, which cost a tenth of a page. What
an entry lacks is named here as nothing: a template that asks for what isn't there searches the whole object for it.
"""

from typing import Any

from django.http import HttpRequest

from config.theme import Item, navigation

_NO_GROUP: Item = {"badge": "", "collapsible": False, "separator": False}
_NO_ITEM: Item = {"badge": "", "badge_callback": "", "badge_style": "", "badge_variant": "", "link_callback": ""}


def menu(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups with the entries that this person may open; the one whose page this is is marked."""
    return [
        {**_NO_GROUP, **group, "items": [_entry(item, request) for item in group["items"] if _is_for(item, request)]}
        for group in navigation(request)
    ]


def _is_for(item: Item, request: HttpRequest) -> bool:
    return "permission" not in item or item["permission"](request)


def _entry(item: Item, request: HttpRequest) -> Item:
    link = item["link"](request) if callable(item["link"]) else str(item["link"])
    return {**_NO_ITEM, **item, "link": link, "active": item["active"](request), "has_permission": True}
