"""The theme's templates as they should be: read from the package, then corrected where they fall short.

A copy of a template would have to be kept up to date by hand; a correction names what is wrong and what stands there instead,
and a test says when it no longer finds its place. Three things are corrected: what a strict Content-Security-Policy refuses
(inline styles), what a screen reader or a keyboard can't make sense of (icons that are words of a font, links and pictures that
act as buttons), and what makes a page slow for nothing.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.template import Origin
from django.template.loaders import app_directories

THEME = "/unfold/templates/"
ICON = re.compile(
    r'<(span|div)(?=[^>]*class="[^"]*material-symbols-outlined)(?![^>]*(?:aria-hidden|x-on:click|title=))'
)
INLINE_STYLE = re.compile(r"<style(?=[\s>])")
NONCE = '<style nonce="{{ request.csp_nonce }}"'


def _label(words: str) -> str:
    return 'aria-label="{% load i18n %}{% trans "' + words + '" %}"'


def _button(words: str) -> str:
    """For what acts as a button and is none: manners.js gives it the keys."""
    return f'role="button" tabindex="0" {_label(words)}'


def _hidden(words: str) -> str:
    return '<span class="db-hidden">{% load i18n %}{% trans "' + words + '" %}</span>'


def _before(place: str, opening: str, attributes: str) -> tuple[str, str]:
    """Attributes that a tag, found by how it begins, gets besides its own."""
    return f"{opening} {place}", f"{opening} {attributes} {place}"


def _only_with(what: str, include: str) -> tuple[str, str]:
    """A template that shows nothing without this is not rendered without it: each costs time, and lists have one in every row."""
    return include, "{% if " + what + " %}" + include + "{% endif %}"


SEARCH_HELP = (
    'aria-label="{% if cl.search_help_text %}{{ cl.search_help_text }}{% else %}{% trans "Search" %}{% endif %}"'
)
ICON_BUTTON = 'class="material-symbols-outlined'
FOLDS = 'x-on:click="navigationOpen = !navigationOpen"'
SHOW_ACTIONS = "extra_attrs=\"x-on:click='showActions = !showActions'\" %}"
MORE = '<span class="material-symbols-outlined">more_vert</span>'
HTMX = '<meta name="htmx-config" content=\'{"includeIndicatorStyles":false,"allowEval":false}\'>'
USER_BUTTON = 'role="button" tabindex="0" aria-haspopup="true" x-bind:aria-expanded="openUserLinks"'
NO_HISTORY = (
    "{% trans 'This object doesn’t have a change history. It probably wasn’t added via this admin site.' as message %}"
)
BACK = 'title="{% trans "Go back" %}"'
NAME = '{% if "@" in part.title|stringformat:"s" %}{{ part.title }}{% else %}{{ part.title|capfirst }}{% endif %}'
"""An e-mail address is written as it is."""
TOGGLE = 'title="{% translate "Toggle sorting" %}"'
UNSORT = 'title="{% translate "Remove from sorting" %}"'
BADGE = '{{% include "unfold/helpers/app_list_badge.html" with item={} %}}'
LANGUAGES = ("{% get_available_languages as LANGUAGES %}", "{% get_language_info_list for LANGUAGES as languages %}")
ROW_ACTIONS = "{% include 'unfold/helpers/actions_row.html' with actions=actions_row instance_pk=result.instance.pk %}"

CORRECTIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "unfold/layouts/skeleton.html": (("<head>", f"<head>{HTMX}"),),
    "admin/actions.html": (("\"'width: ' + changeListWidth + 'px'\"", "\"{width: changeListWidth + 'px'}\""),),
    "admin/change_list_results.html": (_only_with("actions_row", ROW_ACTIONS),),
    "admin/login.html": (('{% include "unfold/helpers/messages/errornote.html" with errors=form.errors %}', ""),),
    "admin/object_history.html": ((NO_HISTORY, "{% trans 'Nobody has changed this here.' as message %}"),),
    "admin/search_form.html": (
        ('id="searchbar-submit"', f'id="searchbar-submit" {_label("Search")}'),
        ('<input type="text"', f'<input type="text" {SEARCH_HELP}'),
    ),
    "unfold/helpers/app_list.html": (
        (FOLDS, f'{FOLDS} role="button" tabindex="0" x-bind:aria-expanded="navigationOpen"'),
        *(_only_with(f"{one}.badge", BADGE.format(one)) for one in ("group", "item")),
    ),
    "unfold/helpers/change_list_headers.html": (
        (TOGGLE, f"{TOGGLE} {_label('Toggle sorting')}"),
        (UNSORT, f"{UNSORT} {_label('Remove from sorting')}"),
    ),
    "unfold/helpers/command.html": (('id="command-submit"', f'id="command-submit" {_label("Search")}'),),
    "unfold/helpers/form_label.html": (("{{ field.label }}", "{{ field.label|capfirst }}"),),
    "unfold/helpers/header_title.html": (("{{ part.title|capfirst }}", NAME),),
    "unfold/helpers/header_back_button.html": ((BACK, f"{BACK} {_label('Go back')}"),),
    "unfold/helpers/language_switch.html": tuple(_only_with("show_languages", one) for one in LANGUAGES),
    "unfold/helpers/navigation.html": (
        ('<nav id="nav-sidebar-inner"', f'<nav id="nav-sidebar-inner" {_label("Main menu")}'),
    ),
    "unfold/helpers/navigation_header.html": (
        _before(f"{ICON_BUTTON} block cursor-pointer", "<span", _button("Close the menu")),
    ),
    "unfold/helpers/navigation_user.html": (
        ('<nav class="absolute', '<div class="absolute'),
        ("</nav>", "</div>"),
        _before('class="cursor-pointer flex flex-row', "<div", USER_BUTTON),
    ),
    "unfold/helpers/search.html": (("{% trans 'Search apps and models...' %}", "{% trans 'Pages and records' %}"),),
    "unfold/helpers/site_icon.html": (
        ('class="bg-primary-600 flex h-[38px]', f'{_label("Home")} class="bg-primary-600 flex h-[38px]'),
    ),
    "unfold/helpers/tab_actions.html": ((SHOW_ACTIONS, SHOW_ACTIONS + _hidden("Actions")),),
    "unfold/helpers/theme_switch_dropdown.html": (
        _before('class="block cursor-pointer h-[18px]', "<a", _button("Light or dark")),
    ),
    "unfold/helpers/welcomemsg.html": (
        _before(f"{ICON_BUTTON} hidden! xl:block!", "<span", _button("Show or hide the menu")),
        _before(f"{ICON_BUTTON} block! xl:hidden!", "<span", _button("Open the menu")),
    ),
    "unfold/widgets/password_toggle.html": (
        _before(f"{ICON_BUTTON} absolute", "<span", _button("Toggle password visibility")),
    ),
    "unfold/widgets/related_widget_wrapper.html": ((MORE, MORE + _hidden("More")),),
}
"""Template → (what the theme says, what it should say)."""


class Loader(app_directories.Loader):
    """Like Django's own for the templates of apps, with the corrections applied to the theme's."""

    def get_contents(self, origin: Origin) -> str:
        text: str = super().get_contents(origin)
        path = Path(origin.name).as_posix()
        return corrected(str(origin.template_name), text) if THEME in path else text


def corrected(name: str, text: str) -> str:
    for wrong, right in CORRECTIONS.get(name, ()):
        text = text.replace(wrong, right)
    text = INLINE_STYLE.sub(NONCE, text)
    return ICON.sub(r'<\1 aria-hidden="true"', text)


def misplaced(read: Any) -> list[str]:
    """The corrections that no longer find their place, with `read` giving a template's text by its name."""
    return [
        f"{name}: {wrong}" for name, pairs in CORRECTIONS.items() for wrong, _right in pairs if wrong not in read(name)
    ]
