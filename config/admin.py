"""Pages of models that are not ours, in the same look and under the same rules: people, roles, and the task queue's tables.

Nobody can give away more than they have, nor change somebody who has more; only a superuser makes superusers.
"""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django_q.admin import FailAdmin, QueueAdmin, ScheduleAdmin, TaskAdmin
from django_q.models import Failure, OrmQ, Schedule, Success
from unfold.admin import TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from integrations.admin_base import AdminPage, ReadOnlyAdmin
from integrations.admin_html import ago_column, code_column
from integrations.models import Membership

admin.site.site_title = "Dialbridge"
admin.site.site_header = "Dialbridge"
admin.site.index_title = _("Health")

for model in (User, Group, Schedule, Success, Failure):
    admin.site.unregister(model)


class MembershipInline(TabularInline):
    """The tenants that a person may see."""

    model = Membership
    fields = ("tenant",)
    autocomplete_fields = ("tenant",)
    extra = 0
    verbose_name = _("tenant")
    verbose_name_plural = _("may see these tenants")


@admin.register(User)
class UserPage(UserAdmin, AdminPage):  # type: ignore[type-arg, misc]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = (
        "username",
        "email",
        "first_name",
        "last_name",
        "is_staff",
        "is_active",
        ago_column("last_login", _("last login")),
    )
    list_filter = ("is_staff", "is_superuser", "is_active", "groups")
    search_fields = ("username__istartswith", "email__istartswith", "last_name__istartswith")
    search_help_text = _("User name, e-mail or last name")
    inlines = (MembershipInline,)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        own = ["last_login", "date_joined"]
        return own if request.user.is_superuser else [*own, "is_superuser", "user_permissions"]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups" and not request.user.is_superuser:
            kwargs["queryset"] = Group.objects.filter(pk__in=_given_by(request.user))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_touch(request, obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_touch(request, obj) and super().has_delete_permission(request, obj)

    def _may_touch(self, request: HttpRequest, obj: Any) -> bool:
        """Each part of a page asks: while it is only looked at, it is found out once."""
        if request.method != "GET" or obj is None:
            return _may_touch(request.user, obj)
        known: dict[Any, bool] = request.__dict__.setdefault("_may_touch", {})
        if obj.pk not in known:
            known[obj.pk] = _may_touch(request.user, obj)
        return known[obj.pk]

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002 - Django's name
        self.found(request, id)
        return super().user_change_password(request, id, form_url)


def _may_touch(person: Any, other: Any) -> bool:
    """Nobody changes somebody who may do more than they may: with the password would come the power."""
    if person.is_superuser or other is None:
        return True
    held = Permission.objects.filter(Q(user=other) | Q(group__user=other))
    return not other.is_superuser and _names(held) <= person.get_all_permissions()


def _given_by(person: Any) -> list[int]:
    """The roles that let nobody do more than this person may. One query for all of them."""
    found: dict[int, set[str]] = {}
    rows = Group.objects.values_list("pk", "permissions__content_type__app_label", "permissions__codename")
    for pk, app, codename in rows:
        found.setdefault(pk, set()).update([f"{app}.{codename}"] if codename else [])
    mine = person.get_all_permissions()
    return [pk for pk, names in found.items() if names <= mine]


def _names(permissions: Any) -> set[str]:
    return {f"{app}.{codename}" for app, codename in permissions.values_list("content_type__app_label", "codename")}


@admin.register(Group)
class GroupPage(GroupAdmin, AdminPage):
    """The two roles are set anew by every migrate; what is changed here is for further ones."""


@admin.register(Schedule)
class SchedulePage(ScheduleAdmin, AdminPage):
    nothing_yet = _("No task is scheduled. The migrate command writes them all down again.")
    list_display = ("name", "func", "schedule_type", "minutes", "next_run", "get_last_run", "get_success")
    list_display_links = ("name",)
    list_filter = ("schedule_type",)

    @admin.display(description=_("last run"))
    def get_last_run(self, obj: Any) -> Any:
        return super().get_last_run(obj)


class TaskPage(ReadOnlyAdmin, AdminPage):
    """A task's row as it is. Arguments are only ids: what has to be done stands in the job table."""

    actions: Sequence[Any] = ()
    list_filter = ("group",)
    fields = ("name", "func", "arguments", "group", "started", "stopped", "time_taken", "attempt_count", "outcome")
    list_display = ("name", "func", "group", "started", "stopped", "attempt_count")
    arguments = staticmethod(code_column("args", _("arguments")))
    outcome = staticmethod(code_column("result", _("result")))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return list(self.fields)


@admin.register(Success)
class SuccessPage(TaskPage, TaskAdmin):
    nothing_yet = _("No worker finished a task yet. If this stays so, none runs: see the workers.")


@admin.register(Failure)
class FailurePage(TaskPage, FailAdmin):
    nothing_yet = _("No task of the queue has failed. What a CRM refuses stands under “Needs help”, not here.")


if admin.site.is_registered(OrmQ):
    admin.site.unregister(OrmQ)

    @admin.register(OrmQ)
    class QueuePage(ReadOnlyAdmin, QueueAdmin, AdminPage):
        nothing_yet = _("No task waits: the workers took them all.")
        list_display = ("id", "key", "name", "group", "func", "lock")
