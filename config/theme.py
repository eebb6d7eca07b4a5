"""How the admin looks: names, colours, the side menu. Read by the theme from settings.UNFOLD."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse, reverse_lazy
from django.utils.functional import lazy
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

Item = dict[str, Any]
JOBS = "admin:sync_syncjob_changelist"


def permitted(permission: str, address: str) -> Callable[[HttpRequest], bool]:
    """Whether to show the entry: the person may, and the page exists (the task queue has none without a database broker)."""

    def allowed(request: HttpRequest) -> bool:
        if not request.user.has_perm(permission):
            return False
        try:
            return bool(reverse(address))
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
        "link": reverse_lazy(f"{pages}changelist"),
        "permission": permitted(f"{app}.view_{model}", f"{pages}changelist"),
        "active": lambda request: (
            _view_name(request).startswith(pages)
            and _view_name(request) not in (DISPOSITIONS, AGENTS)
            and not _is_dead_list(request)
            and not _is_review_list(request)
        ),
    }


def _view_name(request: HttpRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match else ""


def _is_dead_list(request: HttpRequest) -> bool:
    return _view_name(request) == JOBS and request.GET.get("state__exact") == "dead"


def _dead_address(_request: HttpRequest) -> str:
    return reverse(JOBS) + "?state__exact=dead"


NEEDS_HELP: Item = {
    "title": _("Needs help"),
    "icon": "emergency_home",
    "link": _dead_address,
    "permission": permitted("sync.view_syncjob", JOBS),
    "active": _is_dead_list,
}

CALLS = "admin:activities_call_changelist"


def _is_review_list(request: HttpRequest) -> bool:
    return _view_name(request) == CALLS and "waits" in request.GET


def _review_address(_request: HttpRequest) -> str:
    return reverse(CALLS) + "?waits=person"


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
    "link": reverse_lazy(f"{SETTINGS_PAGES}own"),
    "permission": permitted("activities.view_callsettings", f"{SETTINGS_PAGES}own"),
    "active": lambda request: _view_name(request).startswith(SETTINGS_PAGES) and _view_name(request) != NOTES_PAGE,
}


def _page(title: Any, icon: str, permission: str, address: str) -> Item:
    """A menu entry for a page that is no list."""
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(address),
        "permission": permitted(permission, address),
        "active": lambda request: _view_name(request) == address,
    }


DISPOSITIONS = "admin:activities_dispositionmap_coverage"
AGENTS = "admin:activities_agentoverride_report"

NAVIGATION: list[dict[str, Any]] = [
    {
        "title": _("Overview"),
        "items": [{"title": _("Health"), "icon": "monitor_heart", "link": reverse_lazy("admin:index")}],
    },
    {
        "title": _("People & calls"),
        "items": [
            _list(_("Contacts"), "person", "sync.contact"),
            _list(_("Calls"), "call", "activities.call"),
            NEEDS_PERSON,
            _list(_("Later stages of calls"), "stacks", "activities.callstage"),
            _list(_("Plays of recordings"), "headphones", "activities.recordingplay"),
            _list(_("Conflicts"), "call_split", "sync.conflict"),
            _list(_("Quarantine"), "shield", "sync.quarantine"),
            _list(_("Possible duplicates"), "group", "sync.matchreview"),
            _list(_("Changes"), "history", "sync.fieldchange"),
        ],
    },
    {
        "title": _("Connections & mapping"),
        "items": [
            _list(_("Connections"), "cable", "integrations.crmconnection"),
            _list(_("Consent attempts"), "login", "integrations.consentattempt"),
            _list(_("Field mappings"), "compare_arrows", "mapping.fieldmapping"),
            _list(_("Mapping versions"), "layers", "mapping.mappingversion"),
            _list(_("Rehearsals"), "science", "sync.rehearsal"),
            _list(_("CRM objects"), "category", "mapping.crmobject"),
            _list(_("CRM fields"), "list_alt", "mapping.crmfield"),
            _list(_("Changes in CRM fields"), "difference", "mapping.schemachange"),
            _page(_("Dispositions"), "label", "activities.view_dispositionmap", DISPOSITIONS),
            _list(_("Disposition maps"), "sell", "activities.dispositionmap"),
            _list(_("Effects of dispositions"), "bolt", "activities.dispositioneffect"),
            _page(_("Agents without a user"), "person_alert", "activities.view_agentoverride", AGENTS),
            _list(_("Agents by hand"), "support_agent", "activities.agentoverride"),
            _list(_("CRM users"), "groups", "activities.crmagent"),
            _page(_("Notes in the CRMs"), "edit_note", "activities.view_callsettings", NOTES_PAGE),
            CALL_SETTINGS,
            _list(_("Conflict policy"), "gavel", "mapping.conflictpolicy"),
        ],
    },
    {
        "title": _("Work & failures"),
        "items": [
            NEEDS_HELP,
            _list(_("Jobs"), "task_alt", "sync.syncjob"),
            _list(_("Sync runs"), "sync", "sync.syncrun"),
            _list(_("Certificates"), "verified", "sync.certificate"),
            _list(_("Forgotten for its age"), "auto_delete", "activities.retentionrun"),
            _list(_("Sync records"), "link", "sync.syncrecord"),
            _list(_("Inbox"), "inbox", "sync.inboxevent"),
            _list(_("Messages to the dialer"), "outbox", "activities.dialermessage"),
            _list(_("Cursors"), "bookmark", "sync.feedcursor"),
        ],
    },
    {
        "title": _("Administration"),
        "items": [
            _list(_("Tenants"), "domain", "integrations.tenant"),
            _list(_("Members"), "badge", "integrations.membership"),
            _list(_("API keys"), "key", "integrations.apikey"),
            _list(_("Webhooks to the dialer"), "webhook", "activities.dialerendpoint"),
            _list(_("Users"), "group", "auth.user"),
            _list(_("Roles"), "shield_person", "auth.group"),
        ],
    },
    {
        "title": _("Machinery"),
        "separator": True,
        "items": [
            _list(_("Workers"), "memory", "sync.workerbeat"),
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
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "8px",
    "STYLES": [lambda _request: static("dialbridge/admin.css")],
    "DASHBOARD_CALLBACK": "config.dashboard.fill",
    "SIDEBAR": {"show_search": True, "show_all_applications": False, "navigation": navigation},
    # A calm blue-green, and greys with a touch of it. The 600s carry white text, the 500s stand on the dark ground.
    "COLORS": {
        "base": {
            "50": "oklch(98.4% .003 220)",
            "100": "oklch(96.4% .005 220)",
            "200": "oklch(92.3% .008 220)",
            "300": "oklch(86.6% .012 220)",
            "400": "oklch(65.5% .022 222)",
            "500": "oklch(54.0% .024 224)",
            "600": "oklch(44.0% .026 226)",
            "700": "oklch(36.6% .028 228)",
            "800": "oklch(27.6% .027 230)",
            "900": "oklch(20.8% .024 232)",
            "950": "oklch(14.5% .020 234)",
        },
        "primary": {
            "50": "oklch(97.6% .014 205)",
            "100": "oklch(94.2% .030 205)",
            "200": "oklch(88.5% .055 207)",
            "300": "oklch(80.6% .085 209)",
            "400": "oklch(74.6% .105 212)",
            "500": "oklch(69.0% .110 215)",
            "600": "oklch(51.5% .095 220)",
            "700": "oklch(45.0% .085 223)",
            "800": "oklch(38.8% .072 226)",
            "900": "oklch(33.6% .058 228)",
            "950": "oklch(25.0% .045 230)",
        },
        "font": {
            "subtle-light": "var(--color-base-500)",
            "subtle-dark": "var(--color-base-400)",
            "default-light": "var(--color-base-600)",
            "default-dark": "var(--color-base-300)",
            "important-light": "var(--color-base-900)",
            "important-dark": "var(--color-base-100)",
        },
    },
}
