"""How the admin looks: names, colours, the side menu. Read by the theme from settings.UNFOLD."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse, reverse_lazy
from django.utils.functional import lazy
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from config.palette import COLORS

Item = dict[str, Any]
HOME = "admin:index"
JOBS = "admin:sync_syncjob_changelist"
CAUSES = "admin:sync_syncjob_causes"


@cache
def address(name: str) -> str:
    """Of a page, found once: the menu asks for each on every page. Raises NoReverseMatch."""
    return reverse(name)


_address = lazy(address, str)


def permitted(permission: str, name: str) -> Callable[[HttpRequest], bool]:
    """Whether to show the entry: the person may, and the page exists (the task queue has none without a database broker)."""

    def allowed(request: HttpRequest) -> bool:
        if not request.user.has_perm(permission):
            return False
        try:
            return bool(address(name))
        except NoReverseMatch:
            return False

    return allowed


def _list(title: Any, icon: str, label: str) -> Item:
    """A menu entry for a model's list, shown to whoever may view the model."""
    app, model = label.split(".")
    pages = f"admin:{app}_{model}_"
    return {
        "title": title,
        "icon": icon,
        "link": _address(f"{pages}changelist"),
        "permission": permitted(f"{app}.view_{model}", f"{pages}changelist"),
        "active": lambda request: (
            _view_name(request).startswith(pages)
            and _view_name(request) not in (DISPOSITIONS, AGENTS, FIND)
            and not _is_dead_list(request)
            and not _is_review_list(request)
        ),
    }


def _view_name(request: HttpRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match else ""


def _is_dead_list(request: HttpRequest) -> bool:
    by_cause = _view_name(request).startswith(CAUSES.removesuffix("s"))
    return by_cause or (_view_name(request) == JOBS and request.GET.get("state__exact") == "dead")


NEEDS_HELP: Item = {
    "title": _("Needs help"),
    "icon": "emergency_home",
    "link": _address(CAUSES),
    "permission": permitted("sync.view_syncjob", JOBS),
    "active": _is_dead_list,
}

CALLS = "admin:activities_call_changelist"


def _is_review_list(request: HttpRequest) -> bool:
    return _view_name(request) == CALLS and "waits" in request.GET


def _review_address(_request: HttpRequest) -> str:
    return address(CALLS) + "?waits=person"


NEEDS_PERSON: Item = {
    "title": _("Calls that need a person"),
    "icon": "person_search",
    "link": _review_address,
    "permission": permitted("activities.view_call", CALLS),
    "active": _is_review_list,
}

SETTINGS_PAGES = "admin:activities_callsettings_"
NOTES_PAGE = "admin:activities_callsettings_notes"
CALL_SETTINGS: Item = {
    "title": _("Call settings"),
    "icon": "tune",
    "link": _address(f"{SETTINGS_PAGES}own"),
    "permission": permitted("activities.view_callsettings", f"{SETTINGS_PAGES}own"),
    "active": lambda request: _view_name(request).startswith(SETTINGS_PAGES) and _view_name(request) != NOTES_PAGE,
}


def _page(title: Any, icon: str, permission: str, name: str) -> Item:
    """A menu entry for a page that is no list."""
    return {
        "title": title,
        "icon": icon,
        "link": _address(name),
        "permission": permitted(permission, name),
        "active": lambda request: _view_name(request) == name,
    }


CONFLICTS = "admin:sync_conflict_"
DESK: Item = {
    "title": _("Conflicts"),
    "icon": "call_split",
    "link": _address(f"{CONFLICTS}desk"),
    "permission": permitted("sync.view_conflict", f"{CONFLICTS}desk"),
    "active": lambda request: _view_name(request).startswith(CONFLICTS),
}
POLICIES = "admin:mapping_conflictpolicy_"
POLICY: Item = {
    "title": _("Conflict policy"),
    "icon": "gavel",
    "link": _address(f"{POLICIES}editor"),
    "permission": permitted("mapping.view_conflictpolicy", f"{POLICIES}editor"),
    "active": lambda request: _view_name(request).startswith(POLICIES),
}
ALERT_SETTINGS_PAGES = "admin:sync_alertsettings_"
ALERT_SETTINGS: Item = {
    "title": _("Alert settings"),
    "icon": "notification_settings",
    "link": _address(f"{ALERT_SETTINGS_PAGES}own"),
    "permission": permitted("sync.view_alertsettings", f"{ALERT_SETTINGS_PAGES}own"),
    "active": lambda request: _view_name(request).startswith(ALERT_SETTINGS_PAGES),
}

FIND = "admin:sync_contact_find"
DISPOSITIONS = "admin:activities_dispositionmap_coverage"
AGENTS = "admin:activities_agentoverride_report"

MAPPING_PAGES = "admin:mapping_fieldmapping_"
FIELD_MAPPINGS: Item = {
    "title": _("Field mappings"),
    "icon": "compare_arrows",
    "link": _address(f"{MAPPING_PAGES}editor_start"),
    "permission": permitted("mapping.view_fieldmapping", f"{MAPPING_PAGES}editor_start"),
    "active": lambda request: _view_name(request).startswith(MAPPING_PAGES),
}

NAVIGATION: list[dict[str, Any]] = [
    {
        "title": _("Overview"),
        "items": [
            {
                "title": _("Health"),
                "icon": "monitor_heart",
                "link": _address(HOME),
                "active": lambda request: _view_name(request) == HOME,
            },
            _list(_("Alerts"), "notifications_active", "sync.alert"),
            NEEDS_HELP,
        ],
    },
    {
        "title": _("People & calls"),
        "items": [
            _page(_("Find a record"), "search", "sync.view_contact", FIND),
            _list(_("Contacts"), "person", "sync.contact"),
            _list(_("Calls"), "call", "activities.call"),
            NEEDS_PERSON,
            DESK,
            _list(_("Possible duplicates"), "group", "sync.matchreview"),
        ],
    },
    {
        "title": _("Setup"),
        "items": [
            _list(_("Connections"), "cable", "integrations.crmconnection"),
            FIELD_MAPPINGS,
            POLICY,
            _page(_("Dispositions"), "label", "activities.view_dispositionmap", DISPOSITIONS),
            _page(_("Agents"), "support_agent", "activities.view_agentoverride", AGENTS),
            CALL_SETTINGS,
            ALERT_SETTINGS,
            _list(_("API keys"), "key", "integrations.apikey"),
            _list(_("Webhooks to the dialer"), "webhook", "activities.dialerendpoint"),
        ],
    },
    {
        "title": _("Administration"),
        "items": [
            _list(_("Tenants"), "domain", "integrations.tenant"),
            _list(_("Members"), "badge", "integrations.membership"),
            _list(_("Audit log"), "policy", "integrations.auditentry"),
            _list(_("Users"), "manage_accounts", "auth.user"),
            _list(_("Roles"), "shield_person", "auth.group"),
        ],
    },
    {
        "title": _("What was done"),
        "collapsible": True,
        "items": [
            _list(_("Sync runs"), "sync", "sync.syncrun"),
            _list(_("Rehearsals"), "science", "sync.rehearsal"),
            _list(_("Undone"), "undo", "sync.undo"),
            _list(_("Changes of contacts"), "history", "sync.fieldchange"),
            _list(_("Decisions"), "task", "sync.conflictdecision"),
            _list(_("What was done about failures"), "assignment_turned_in", "sync.failureaction"),
            _list(_("Quarantine"), "shield", "sync.quarantine"),
            _list(_("Certificates"), "verified", "sync.certificate"),
            _list(_("Later stages of calls"), "stacks", "activities.callstage"),
            _list(_("Plays of recordings"), "headphones", "activities.recordingplay"),
            _list(_("Forgotten for its age"), "auto_delete", "activities.retentionrun"),
            _list(_("Invitations"), "mail", "integrations.invitation"),
            _list(_("Consent attempts"), "login", "integrations.consentattempt"),
        ],
    },
    {
        "title": _("Behind it"),
        "collapsible": True,
        "items": [
            _list(_("Jobs"), "task_alt", "sync.syncjob"),
            _list(_("Requests to CRMs"), "swap_horiz", "integrations.apiexchange"),
            _list(_("Inbox"), "inbox", "sync.inboxevent"),
            _list(_("Messages to the dialer"), "outbox", "activities.dialermessage"),
            _list(_("Sync records"), "link", "sync.syncrecord"),
            _list(_("Cursors"), "bookmark", "sync.feedcursor"),
            _list(_("Mapping versions"), "layers", "mapping.mappingversion"),
            _list(_("CRM objects"), "category", "mapping.crmobject"),
            _list(_("CRM fields"), "list_alt", "mapping.crmfield"),
            _list(_("Changes in CRM fields"), "difference", "mapping.schemachange"),
            _list(_("Disposition maps"), "sell", "activities.dispositionmap"),
            _page(_("Notes in the CRMs"), "edit_note", "activities.view_callsettings", NOTES_PAGE),
            _list(_("Effects of dispositions"), "bolt", "activities.dispositioneffect"),
            _list(_("Agents by hand"), "person_edit", "activities.agentoverride"),
            _list(_("CRM users"), "groups", "activities.crmagent"),
        ],
    },
    {
        "title": _("Machinery"),
        "collapsible": True,
        "items": [
            _list(_("Workers"), "memory", "sync.workerbeat"),
            _list(_("Deployments"), "rocket_launch", "sync.deployment"),
            _list(_("Circuit breakers"), "electric_bolt", "integrations.circuitbreaker"),
            _list(_("Rate windows"), "speed", "integrations.ratewindow"),
            _list(_("API usage"), "bar_chart", "integrations.apiusage"),
            _list(_("Schedules"), "schedule", "django_q.schedule"),
            _list(_("Queued tasks"), "pending_actions", "django_q.ormq"),
            _list(_("Failed tasks"), "report", "django_q.failure"),
            _list(_("Finished tasks"), "done_all", "django_q.success"),
        ],
    },
]
"""By what people do: what is asked for daily stands open, the rest folds away."""


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The side menu, with the number of jobs that need help; it is counted when the menu is drawn, and 0 shows nothing."""
    badge = lazy(lambda: import_string("config.dashboard.dead_jobs")(request), str)()
    return [
        {**group, "items": [{**item, "badge": badge} if item is NEEDS_HELP else item for item in group["items"]]}
        for group in NAVIGATION
    ]


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Dialbridge",
    "SITE_HEADER": "Dialbridge",
    "SITE_SUBHEADER": _("Dialer and CRM in step"),
    "SITE_SYMBOL": "sync_alt",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("dialbridge/favicon.svg")}
    ],
    "SITE_URL": None,
    "LOGIN": {"form": "integrations.sign_in.GuardedLogin"},
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "8px",
    "STYLES": [lambda _request: static("dialbridge/admin.css")],
    "SCRIPTS": [lambda _request: static("dialbridge/live.js"), lambda _request: static("dialbridge/manners.js")],
    "ACCOUNT": {
        "navigation": [
            {"title": _("Your profile and time zone"), "link": reverse_lazy("profile")},
            {"title": _("Change password"), "link": reverse_lazy("admin:password_change")},
        ]
    },
    "DASHBOARD_CALLBACK": "config.dashboard.fill",
    "COMMAND": {"search_callback": "sync.admin.records_pages.command_results"},
    "SIDEBAR": {"show_search": True, "show_all_applications": False},
    "COLORS": COLORS,
}
