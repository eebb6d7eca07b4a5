"""What people did about failures, and which versions of our code ran: lists that are only looked at."""

from typing import ClassVar

from django.utils.translation import gettext_lazy

from integrations.admin_base import AdminPage, ReadOnlyAdmin, TenantScopedAdmin
from integrations.admin_html import ago_column


class FailureActionAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy("Nobody has tried failed work again, snoozed or dismissed it.")
    list_display = ("what", "about", "by", "reason", "jobs", "events", ago_column("asked_at", gettext_lazy("when")))
    list_filter = ("what",)
    ordering = ("-pk",)
    fields: ClassVar[tuple[str, ...]] = (
        "what", "about", "by", "reason", "jobs", "events", "left", "asked_at", "finished_at",
    )  # fmt: skip


class DeploymentAdmin(ReadOnlyAdmin, AdminPage):
    list_display = ("version", ago_column("seen_at", gettext_lazy("first seen")))
    ordering = ("-seen_at", "pk")
    fields = ("version", "seen_at")
