"""Finds every page of the admin by itself: from the registry and from the URL patterns."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from integrations.models import CrmConnection
from tests.factories import World

CONNECTION = {"connection_id"}
"""The parameter that names the connection whose page it is."""
ROW = {"object_id", "id"}
"""Parameters that name a row of the model whose page it is."""
ANY_ROW = {"content_type_id", "object_id"}
"""Parameters that name a row of any model."""
NO_ROW: tuple[set[str], ...] = (set(), {"app_label"}, {"url"})
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


def pairs(name: str, values: Any) -> dict[str, list[str]]:
    """What the browser sends of a table of names and values."""
    told = list(values.items()) if isinstance(values, dict) else list(values)
    return {f"{name}-key": [key for key, _value in told], f"{name}-value": [str(value) for _key, value in told]}


def registered() -> list[type[Model]]:
    return sorted(admin.site._registry, key=lambda model: model._meta.label)


def sample(world: World, model: type[Model]) -> Any:
    if model not in world:
        pytest.fail(f"{model._meta.label} is new in the admin: add a row of it to `world` in tests/factories.py.")
    return world[model]


def page(model: type[Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=[quote(one) for one in args])


def row_urls(world: World) -> Iterator[str]:
    """The address of every page that shows or changes one row, for the world's row of that model."""
    for prefix, pattern in _patterns(admin.site.get_urls(), ""):
        text, parameters = prefix + str(pattern.pattern), set(_PARAMETER.findall(str(pattern.pattern)))
        if parameters == ANY_ROW:
            yield from (_filled(text, sample(world, model)) for model in registered())
        elif len(parameters) == 1 and parameters <= ROW:
            yield _filled(text, sample(world, _model(pattern, prefix)))
        elif parameters == CONNECTION:
            yield "/admin/" + _PARAMETER.sub(str(sample(world, CrmConnection).pk), text)
        elif parameters not in NO_ROW:
            pytest.fail(f"The admin's address {text} takes {parameters}: say in {__name__} which row that names.")


APPS = ("integrations", "mapping", "sync", "activities", "auth", "django_q")


def plain_urls() -> Iterator[str]:
    """The address of every page that needs no row: the first page, lists, pages to add, pages of their own."""
    for prefix, pattern in _patterns(admin.site.get_urls(), ""):
        text, parameters = prefix + str(pattern.pattern), set(_PARAMETER.findall(str(pattern.pattern)))
        if parameters == {"app_label"} or "app_label" in text:
            yield from (f"/admin/{label}/" for label in APPS)
        elif not parameters and "(?P<" not in text and pattern.name not in NO_PAGES:
            yield "/admin/" + text


NO_PAGES = {"logout", "jsi18n", "search", "autocomplete", "login"}
"""Answers to programs, and what a signed-in person only passes through."""


def _filled(text: str, row: Model) -> str:
    kind = ContentType.objects.get_for_model(row, for_concrete_model=False)
    values = {"content_type_id": kind.pk, "object_id": quote(row.pk), "id": row.pk}
    return "/admin/" + _PARAMETER.sub(lambda found: str(values[found[1]]), text)


def _patterns(urls: Any, prefix: str) -> Iterator[tuple[str, URLPattern]]:
    for one in urls:
        if isinstance(one, URLResolver):
            yield from _patterns(one.url_patterns, prefix + str(one.pattern))
        else:
            yield prefix, one


def _model(pattern: URLPattern, prefix: str) -> type[Model]:
    """Whose page it is: the admin's own views know their page, others stand below the model's address."""
    owner = getattr(pattern.callback, "model_admin", None)
    if owner is not None:
        return owner.model  # type: ignore[no-any-return]
    return next(one for one in registered() if prefix == f"{one._meta.app_label}/{one._meta.model_name}/")


def leaving(response: Any) -> str:
    """Where a page of ours sends the browser on to."""
    found: str = response["Refresh"].partition("url=")[2]
    return found


def html(client: Client, url: str) -> str:
    """The page without its tokens, in which any short name may stand by chance."""
    response = client.get(url)
    assert response.status_code == 200, f"{url} answered {response.status_code}"
    return re.sub(r"\b[A-Za-z0-9]{64}\b", "", response.content.decode())
