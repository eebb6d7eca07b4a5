"""What all admin pages have in common: the look, 404 for what isn't there for you, tables below a form, asking before acting.

Which rows exist is decided by the tenancy scope inside every query (see `integrations.tenancy`). These classes only make the
pages fit: who works for one tenant neither sees nor chooses a tenant, support sees the tenant as a column and a filter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar, cast
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin import ShowFacets, SimpleListFilter
from django.contrib.admin.checks import ModelAdminChecks
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Field, Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action
from unfold.enums import ActionVariant

from integrations import audit, tenancy
from integrations.access import OnlyToChange, may_change_in
from integrations.admin_forms import JsonText, TenantForm, Textarea
from integrations.admin_html import NOTHING, page_url
from integrations.admin_lists import CappedPaginator, ShortList, tick_box
from integrations.tenancy import InScope

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    ThemedAdmin: TypeAlias = ModelAdmin[Any]
else:
    from unfold.admin import ModelAdmin as ThemedAdmin

SECRET_COLUMNS = ("access_token", "refresh_token", "secrets")

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Panel:
    """A table below an object's form. Cells are escaped unless they are safe HTML already."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    empty: str
    more: tuple[str, str] | None = None
    """(address, words) of the full list."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked before something happens."""

    title: str
    lines: Sequence[str]
    button: str
    danger: bool = False


def page_action(description: object, *, icon: str, permission: str, danger: bool = False) -> Callable[[View], View]:
    """A button on an object's page. It is a link, so the method has to `ask` before it changes anything."""
    variant = ActionVariant.DANGER if danger else ActionVariant.DEFAULT
    made = action(description=description, icon=icon, permissions=[permission], variant=variant)
    return cast("Callable[[View], View]", made)


SECRET_FIELDS = frozenset(
    {
        "access_token",
        "refresh_token",
        "secrets",
        "secret",
        "key_hash",
        "state_hash",
        "webhook_token",
        "nonce",
        "password",
    }
)


class AdminPage(ThemedAdmin):
    """Base of every page. What isn't there for you, or isn't there at all, is a 404 everywhere."""

    checks_class = ModelAdminChecks  # the theme's own check asks the database, which may still be empty
    list_per_page = 50
    list_max_show_all = 50
    list_fullwidth = True
    list_filter_submit = True
    list_sections = ()
    """The theme asks for them in every row, and searching the page for what it lacks is slow."""
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator = CappedPaginator
    formfield_overrides = {models.JSONField: {"form_class": JsonText, "widget": Textarea(attrs={"rows": 4})}}
    change_form_outer_after_template = "admin/panels.html"
    nothing_yet: Any = ""
    """What a list without rows says: what would stand there, and what brings it."""
    nothing_fits: Any = gettext_lazy(
        "No row fits what you search and filter for. Take a filter away, or shorten the search."
    )
    exact_search: tuple[str, ...] = ()
    """Fields that the search compares as a whole, so that an index answers it."""

    # --- finding --------------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        linked = any(field.name == "connection" for field in self.opts.fields)
        return rows.defer(*(f"connection__{name}" for name in SECRET_COLUMNS)) if linked else rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The parts of a page each ask for its row: while it is only looked at, it is read once."""
        if request.method != "GET":
            return super().get_object(request, object_id, from_field)
        read: dict[Any, Any] = request.__dict__.setdefault("_rows_read", {})
        key = self.model, str(object_id), from_field
        if key not in read:
            read[key] = super().get_object(request, object_id, from_field)
        return read[key]

    def found(self, request: HttpRequest, object_id: str) -> Any:
        """The object. Raises Http404 also when it is another tenant's, or of a kind that this person may not see."""
        row = self.get_object(request, unquote(object_id)) if self.has_view_permission(request) else None
        if row is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        return row

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        raise Http404(f"There is no such {opts.verbose_name}.")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.found(request, object_id)
        context = {"panels": self.panels(request, row), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        self.found(request, object_id)
        return super().delete_view(request, object_id, extra_context)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        self.found(request, object_id)
        return super().history_view(request, object_id, extra_context)

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """No list is filtered by what is secret: it could be found out letter by letter."""
        if SECRET_FIELDS & set(lookup.split("__")):
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ShortList]:
        return ShortList

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return list(self.search_fields or self.exact_search)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not self.exact_search or not term:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(any_of(self.model, self.exact_search, term)), False

    # --- showing --------------------------------------------------------------------------------------------------

    @admin.display(description="")
    def action_checkbox(self, obj: Model) -> SafeString:
        return tick_box(obj.pk)

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        """Tables to show below the form."""
        return ()

    # --- acting ---------------------------------------------------------------------------------------------------

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        entry = super().log_addition(request, obj, message)
        audit.note(request, audit.ADDED, obj, entry.get_change_message())
        return entry

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        entry = super().log_change(request, obj, message)
        audit.note(request, audit.CHANGED, obj, entry.get_change_message())
        return entry

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for row in queryset:
            audit.note(request, audit.DELETED, row)
        return super().log_deletions(request, queryset)

    def ask(self, request: HttpRequest, row: Model | None, question: Question) -> TemplateResponse | None:
        """The page that asks, or None when the person has just said yes: only a POST, never a link, changes anything."""
        if request.method == "POST":
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": question.title,
            "subtitle": None,
            "question": question,
            "opts": self.opts,
            "original": row,
            "back": page_url(row) if row is not None else page_url(self.model, "changelist"),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/confirm_action.html", context)

    def answer(self, request: HttpRequest, row: Model, text: str, level: int = messages.SUCCESS) -> HttpResponse:
        """Back to the object's page with a message."""
        self.message_user(request, text, level)
        return redirect(page_url(row))


class ReadOnlyAdmin:
    """Mixed in before a page: history is looked at, never edited."""

    only_if_filled: ClassVar[Sequence[str]] = ()
    """Fields of the page that are left out where they hold nothing."""

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        own = super().get_fieldsets(request, obj)  # type: ignore[misc]
        if obj is None or not self.only_if_filled:
            return own
        return [
            (name, {**options, "fields": [one for one in options["fields"] if not self._is_blank(one, obj)]})
            for name, options in own
        ]

    def _is_blank(self, name: Any, row: Any) -> bool:
        if name not in self.only_if_filled:
            return False
        value = getattr(self, name)(row) if hasattr(self, name) else getattr(row, name)
        return value in (None, "", NOTHING)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class TenantScopedAdmin(AdminPage):
    """For rows of one tenant. Subclasses name their `fields` or `fieldsets` without the tenant."""

    form = TenantForm
    autocomplete_fields: ClassVar[Any] = ("tenant",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _is_no_viewer(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _is_no_viewer(request, obj)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        first, *others = super().get_list_display(request)
        return [first, "tenant", *others] if sees_several() else [first, *others]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        own = list(super().get_list_filter(request))
        return [("tenant", AutocompleteSelectFilter), *own] if sees_several() else own

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        own = super().get_list_select_related(request)
        chosen = [] if isinstance(own, bool) else list(own)
        return ["tenant", *chosen] if sees_several() else chosen

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        own = list(super().get_fieldsets(request, obj))
        if not sees_several() or "tenant" in flatten_fieldsets(own):
            return own
        name, options = own[0]
        return [(name, {**options, "fields": ["tenant", *options["fields"]]}), *own[1:]]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        own = list(super().get_readonly_fields(request, obj))
        return [*own, "tenant"] if obj else own

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.owner_id = None if obj else only_tenant_id()
        return form


class ThroughConnection(AdminPage):
    """For rows that belong to a tenant by way of their connection."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(InScope(F("connection__tenant_id")))


class RecentValues(SimpleListFilter):
    """The values that the newest rows have in a field: a list of all values would read the whole table.

    Subclasses name `title` and `parameter_name`, which is the field.
    """

    newest = 1000

    named: Callable[[str], str] = staticmethod(str)
    """What a value is called."""

    def rows(self, model_admin: Any) -> "QuerySet[Any]":
        found: QuerySet[Any] = model_admin.model._default_manager.all()
        return found

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        values = self.rows(model_admin).order_by("-pk").values_list(str(self.parameter_name), flat=True)[: self.newest]
        found = {str(value) for value in values} - {""}
        return sorted(((value, self.named(value)) for value in found), key=lambda one: one[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


def _is_no_viewer(request: HttpRequest, row: Any) -> bool:
    return row is None or may_change_in(request.user, getattr(row, "tenant_id", None))


def sees_several() -> bool:
    """Whether the person at work may see more than one tenant."""
    scope = tenancy.current_scope()
    several = isinstance(scope, OnlyToChange) or (isinstance(scope, frozenset) and len(scope) > 1)
    return scope is tenancy.EVERYONE or several


def only_tenant_id() -> UUID | None:
    """The tenant of somebody who works for exactly one."""
    scope = tenancy.current_scope()
    only = isinstance(scope, frozenset) and len(scope) == 1 and not isinstance(scope, OnlyToChange)
    return next(iter(scope)) if isinstance(scope, frozenset) and only else None


def any_of(model: type[Model], fields: Sequence[str], term: str) -> Q:
    """Rows where one of the fields is exactly the term; fields that can't hold such a text are left out."""
    found = Q(pk__in=[])
    for name in fields:
        try:
            value = cast("Field[Any, Any]", model._meta.get_field(name)).to_python(term)
        except ValidationError:
            continue
        found |= Q(**{name: value})
    return found
