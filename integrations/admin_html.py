"""Small pieces of safe HTML that the admin pages share. Everything that comes from outside is escaped or redacted here."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.db.models import Model
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext

from integrations.redaction import redact

NOTHING = "–"
LONGEST_CODE = 20_000
"""Characters of a stored payload that are shown."""

ICONS = {
    "good": "check_circle",
    "warning": "schedule",
    "bad": "error",
    "info": "sync",
    "muted": "radio_button_unchecked",
}


def badge(text: object, level: str) -> SafeString:
    """A state: its colour says good, warning, bad, info or muted, and its words say the same."""
    return format_html(
        '<span class="db-badge db-badge--{}"><span class="material-symbols-outlined" aria-hidden="true">{}</span>{}</span>',
        level,
        ICONS[level],
        text if isinstance(text, SafeString) else capfirst(str(text)),
    )


def badge_column(
    field: str, description: object, levels: Mapping[Any, str], *, ordering: str = ""
) -> Callable[[Any], SafeString | str]:
    """A column, for lists and pages, that shows a field with choices as a badge. Unknown values are muted."""

    def column(row: Any) -> SafeString | str:
        value = getattr(row, field)
        if value in ("", None):
            return NOTHING
        return badge(getattr(row, f"get_{field}_display")(), levels.get(value, "muted"))

    column.__name__ = f"{field}_badge"
    return admin.display(column, description=description, ordering=ordering or field)  # type: ignore[call-overload, no-any-return]


def yes_column(field: str, description: object) -> Callable[[Any], str]:
    """For a quality that a row may have: a red cross for its absence would look like a fault."""

    def column(row: Any) -> str:
        return gettext("yes") if getattr(row, field) else NOTHING

    column.__name__ = f"{field}_word"
    return admin.display(column, description=description, ordering=field)  # type: ignore[call-overload, no-any-return]


def ago(moment: datetime | None, nothing: str = NOTHING) -> SafeString | str:
    """How long ago, with the exact time for whoever points at it and for programs."""
    if moment is None:
        return nothing
    at = timezone.localtime(moment)
    exact = f"{formats.date_format(at)}, {formats.time_format(at)} {zone_name()}"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, naturaltime(moment))


def zone_name() -> str:
    """The zone that times are shown in."""
    return timezone.get_current_timezone_name()


def ago_column(field: str, description: object) -> Callable[[Any], SafeString | str]:
    def column(row: Any) -> SafeString | str:
        return ago(getattr(row, field))

    column.__name__ = f"{field}_ago"
    return admin.display(column, description=description, ordering=field)  # type: ignore[call-overload, no-any-return]


def duration(milliseconds: float | None) -> str:
    """A length of time to read at a glance: 850 ms, 2.4 s, 3 min, 5 h."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.0f} h"


def plain(value: Any) -> str:
    """A JSON value for people: text as it is, nothing as a dash, a list with commas. Only what is nested deeper stays JSON."""
    if value in (None, "", [], {}):
        return NOTHING
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, Mapping) and not any(map(_is_nested, value.values())):
        return ", ".join(f"{name}: {plain(one)}" for name, one in value.items())
    if isinstance(value, list | tuple) and not any(map(_is_nested, value)):
        return ", ".join(map(plain, value))
    return json.dumps(value, ensure_ascii=False, default=str)


def spaced(word: str) -> str:
    """A stored word that has no name of its own."""
    text = word.replace("_", " ")
    return text[:1].upper() + text[1:]


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | tuple | Mapping)


def code(value: Any) -> SafeString | str:
    """JSON or text as a block, without secrets and phone numbers."""
    if value in (None, "", {}, []):
        return NOTHING
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)
    text = redact(text)
    if len(text) > LONGEST_CODE:
        text = text[:LONGEST_CODE] + "\n" + gettext("… cut here")
    return format_html('<pre class="db-code" tabindex="0">{}</pre>', text)


def told(value: Any) -> SafeString | str:
    """What we keep as JSON, as a list of names and values where it is flat, without secrets and phone numbers."""
    if isinstance(value, Mapping) and value and not any(map(_is_nested, value.values())):
        return bullets(redact(f"{spaced(name)}: {plain(one)}") for name, one in value.items())
    return code(value)


def told_column(field: str, description: object) -> Callable[[Any], SafeString | str]:
    def column(row: Any) -> SafeString | str:
        return told(getattr(row, field))

    column.__name__ = f"{field}_told"
    return admin.display(column, description=description)  # type: ignore[call-overload, no-any-return]


def code_column(field: str, description: object) -> Callable[[Any], SafeString | str]:
    def column(row: Any) -> SafeString | str:
        return code(getattr(row, field))

    column.__name__ = f"{field}_code"
    return admin.display(column, description=description)  # type: ignore[call-overload, no-any-return]


def shown_once(text: str) -> SafeString:
    """A secret that can't be shown again, with a button that copies it."""
    return format_html(
        '<code class="db-key" id="shown-once">{}</code> '
        '<button type="button" class="db-button" data-copy="shown-once" data-copied="{}" hidden>{}</button>',
        text,
        gettext("Copied"),
        gettext("Copy"),
    )


def prose(text: str) -> SafeString | str:
    """Somebody's text with its line breaks."""
    return format_html('<div class="db-prose">{}</div>', text) if text else NOTHING


def bullets(items: Iterable[object]) -> SafeString | str:
    rows = format_html_join("", "<li>{}</li>", ((item,) for item in items))
    return format_html('<ul class="db-list">{}</ul>', rows) if rows else NOTHING


def link(url: str, text: object) -> SafeString:
    return format_html('<a class="db-link" href="{}">{}</a>', url, text)


def outward(url: str | None, text: object) -> SafeString | str:
    """A link that leaves for another site; only the text when the address is none of the web's."""
    if not url or not url.startswith(("https://", "http://")):
        return format_html("{}", text)
    return format_html(
        '<a class="db-link" href="{}" target="_blank" rel="noopener noreferrer">{}'
        '<span class="material-symbols-outlined" aria-hidden="true">open_in_new</span></a>',
        url,
        text,
    )


def page_url(row: Model | type[Model], page: str = "change", **query: object) -> str:
    """The address of an admin page: of an object, or of a model's list with filters."""
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}"
    address = reverse(name) if isinstance(row, type) else reverse(name, args=[quote(row.pk)])
    return f"{address}?{urlencode({key: str(value) for key, value in query.items()})}" if query else address


def page_link(row: Model, text: object = None) -> SafeString:
    return link(page_url(row), text if text is not None else row)


def progress(done: int, expected: int | None, label: str) -> SafeString | str:
    """A bar with its numbers as text. Without a known end only the text."""
    numbers = f"{done:,} / {expected:,}" if expected else f"{done:,}"
    if not expected:
        return numbers
    return format_html(
        '<span class="db-progress"><progress max="{}" value="{}" aria-label="{}"></progress> <span>{}</span></span>',
        expected,
        min(done, expected),
        label,
        numbers,
    )
