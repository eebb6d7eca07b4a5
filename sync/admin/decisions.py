"""The pages of what people decided about conflicts: what it was, and the way to take it back."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations.admin_base import AdminPage, Panel, Question, ReadOnlyAdmin, TenantScopedAdmin, page_action
from integrations.admin_html import ago, ago_column, badge, page_link, page_url, plain
from mapping.compiled import MappingError
from mapping.fields import field_name
from sync import conflict_undoing
from sync.admin.stories import FieldFilter, person_name
from sync.models import Conflict, ConflictDecision

DECIDE = "sync.change_conflict"
SHOWN = 50
"""Conflicts of a decision that its page lists."""
OFFERED_FOR = timedelta(hours=12)
"""So long the desk offers to take the newest decision back. Its page does so always."""


class ConflictDecisionAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "what",
        "connection",
        "choice",
        "scale",
        "state",
        "made_by",
        ago_column("made_at", gettext_lazy("decided")),
    )
    list_filter = ("choice", "alike", FieldFilter)
    list_select_related = ("connection",)
    ordering = ("-made_at", "-pk")
    fields: ClassVar[Any] = (
        "what", "connection", "choice", "scale", "rule", "state", "made_by", "made_at", "undone_by", "undone_at",
    )  # fmt: skip
    only_if_filled = ("undone_by", "undone_at")
    nothing_yet = gettext_lazy(
        "Nobody has decided a conflict yet. What is decided on the desk is listed here, and can be undone."
    )
    actions_detail = ("take_back",)

    @admin.display(description=gettext_lazy("field"), ordering="field")
    def what(self, row: ConflictDecision) -> str:
        return field_name(row.field)

    @admin.display(description=gettext_lazy("conflicts"), ordering="count")
    def scale(self, row: ConflictDecision) -> str:
        return _("all alike: %(count)s") % {"count": f"{row.count:,}"} if row.alike else f"{row.count:,}"

    @admin.display(description=gettext_lazy("rule"))
    def rule(self, row: ConflictDecision) -> str:
        if not row.rule_in:
            return _("It made no rule.")
        before = row.get_rule_before_display() if row.rule_before else _("as the conflict policy says")
        facts = {"where": row.get_rule_in_display(), "before": before, "after": row.get_rule_after_display()}
        return _("%(where)s: %(after)s (before: %(before)s)") % facts

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: ConflictDecision) -> str:
        if row.undone_at is None:
            return badge(_("In force"), "good")
        if row.undone < row.count:
            return badge(
                _("%(some)s of %(all)s taken back") % {"some": f"{row.undone:,}", "all": f"{row.count:,}"}, "warning"
            )
        return badge(_("Taken back"), "muted")

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        held = row.conflicts.select_related("contact").order_by("pk")
        rows = list(held[:SHOWN])
        reasons = conflict_undoing.why_not(rows) if row.undone_at and rows else {}
        title = _("Stays as it is") if row.undone_at else _("Decided by it")
        headers = [
            _("Contact"),
            _("Before"),
            _("Kept"),
            _("Of the CRM"),
            _("Decided"),
            *([_("Why it stays")] if reasons else []),
        ]
        cells = [
            [
                page_link(one.contact), plain(one.ours), plain(one.value), plain(one.theirs), ago(one.decided_at),
                *([reasons.get(one.pk, "")] if reasons else []),
            ]
            for one in rows
        ]  # fmt: skip
        more = (page_url(Conflict, "changelist", decision=row.pk), _("All of them")) if len(rows) == SHOWN else None
        return [Panel(title, headers, cells, _("Every conflict of this decision is open again, or gone."), more)]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered if row is not None and row.conflicts.exists() else []

    @page_action(gettext_lazy("Undo"), icon="undo", permission=DECIDE)
    def take_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: ConflictDecision = self.found(request, object_id)
        question = Question(
            title=_("Undo this decision?"), lines=_what_happens(row), button=_("Undo"), danger=row.alike
        )
        page = self.ask(request, row, question)
        if page:
            return page
        after_taking_back(self, request, row)
        return redirect(page_url(row))


def latest_of(tenant_id: UUID, by: str) -> ConflictDecision | None:
    """What this person decided last, if it is lately and not taken back."""
    lately = ConflictDecision.objects.filter(
        tenant_id=tenant_id, made_by=by[:200], undone_at=None, made_at__gte=timezone.now() - OFFERED_FOR
    )
    found: ConflictDecision | None = lately.order_by("-made_at").first()
    return found


def decision_words(row: ConflictDecision) -> str:
    """A decision in one sentence."""
    facts = {"field": field_name(row.field), "kept": row.get_choice_display(), "count": row.count}
    if not row.alike:
        return _("Your last decision: %(field)s, %(kept)s.") % facts
    text = ngettext(
        "Your last decision: %(field)s, %(kept)s, for %(count)d conflict and as a rule.",
        "Your last decision: %(field)s, %(kept)s, for %(count)d conflicts and as a rule.",
        row.count,
    )
    return text % facts


def after_taking_back(page: AdminPage, request: HttpRequest, row: ConflictDecision) -> int:
    """Takes it back and says what became of it. Returns how many stay, because they were edited since."""
    try:
        found = conflict_undoing.take_back(row, person_name(request), user_id=request.user.pk)
    except MappingError as error:
        text = _("Nothing was undone, because the mapping before can't be used. %(problems)s") % {"problems": error}
        page.message_user(request, text, messages.ERROR)
        return row.count
    page.message_user(request, _undone_words(found), messages.SUCCESS if found.reopened else messages.WARNING)
    return found.kept


def _undone_words(found: conflict_undoing.TakenBack) -> str:
    told = ngettext(
        "Undone: %(count)d conflict is open again.", "Undone: %(count)d conflicts are open again.", found.reopened
    ) % {"count": found.reopened}
    if found.rule_restored:
        told += " " + _("The rule before is in force again.")
    if found.kept:
        told += " " + ngettext(
            "%(count)d value stays, because it was edited since.",
            "%(count)d values stay, because they were edited since.",
            found.kept,
        ) % {"count": found.kept}
    return told


def _what_happens(row: ConflictDecision) -> list[str]:
    count = row.conflicts.count()
    lines = [
        ngettext(
            "%(count)d conflict is opened again: the field gets the value that it had before the decision.",
            "%(count)d conflicts are opened again: the field gets the value that it had before the decision.",
            count,
        )
        % {"count": count},
        _(
            "If the decided value is in the CRM already, the CRM gets its own value back. Other CRMs get the earlier value, too."
        ),
        _("What was edited since stays as it is, and is listed afterwards."),
    ]
    if row.rule_in and row.rule_before != row.rule_after:
        before = row.get_rule_before_display() if row.rule_before else _("as the conflict policy says")
        lines.insert(
            1, _("The rule that it made goes as well. The field's rule is then again: %(rule)s.") % {"rule": before}
        )
    return lines
