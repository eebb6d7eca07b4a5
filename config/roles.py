"""The roles and what each may do. They are created, and brought up to date, by every `migrate`."""

from typing import Any

from integrations.access import SUPPORT, TENANT_ADMIN, VIEWER

VIEW, CHANGE, ADD, DELETE = "view", "change", "add", "delete"

READ_ONLY = (VIEW,)
EDIT = (VIEW, CHANGE)
FULL = (VIEW, ADD, CHANGE, DELETE)

HISTORY = {
    "integrations.auditentry": READ_ONLY,
    "integrations.apiexchange": READ_ONLY,
    "sync.alert": EDIT,
    "sync.alertsettings": (VIEW, ADD, CHANGE),
    "sync.syncrecord": READ_ONLY,
    "sync.syncrun": EDIT,
    "sync.certificate": READ_ONLY,
    "sync.inboxevent": READ_ONLY,
    "sync.feedcursor": READ_ONLY,
    "sync.fieldchange": READ_ONLY,
    "sync.conflictdecision": READ_ONLY,
    "sync.failureaction": READ_ONLY,
    "mapping.mappingversion": READ_ONLY,
    "mapping.crmfield": READ_ONLY,
    "mapping.schemachange": READ_ONLY,
    "mapping.crmobject": READ_ONLY,
    "activities.callstage": READ_ONLY,
    "activities.recordingplay": READ_ONLY,
    "activities.retentionrun": READ_ONLY,
    "activities.crmagent": READ_ONLY,
    "activities.agentoverride": FULL,
    "activities.callsettings": (VIEW, ADD, CHANGE),
}

ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    TENANT_ADMIN: {
        **HISTORY,
        "integrations.tenant": EDIT,
        "integrations.apikey": FULL,
        "integrations.membership": EDIT,
        "integrations.invitation": (VIEW, ADD, CHANGE),
        "integrations.crmconnection": EDIT,
        "mapping.fieldmapping": FULL,
        "mapping.conflictpolicy": FULL,
        "sync.contact": EDIT,
        "sync.syncjob": EDIT,
        "sync.matchreview": EDIT,
        "sync.conflict": EDIT,
        "sync.quarantine": EDIT,
        "sync.rehearsal": (VIEW, ADD, CHANGE),
        "sync.undo": (VIEW, ADD, CHANGE),
        "activities.call": EDIT,
        "activities.dispositionmap": FULL,
        "activities.dispositioneffect": FULL,
        "activities.dialerendpoint": FULL,
        "activities.dialermessage": EDIT,
    },
    SUPPORT: {
        **HISTORY,
        "integrations.tenant": (VIEW, ADD, CHANGE),
        "integrations.apikey": FULL,
        "integrations.membership": (VIEW, ADD, CHANGE),
        "integrations.invitation": (VIEW, ADD, CHANGE),
        "integrations.crmconnection": EDIT,
        "integrations.ratewindow": READ_ONLY,
        "integrations.circuitbreaker": READ_ONLY,
        "integrations.apiusage": READ_ONLY,
        "mapping.fieldmapping": FULL,
        "mapping.conflictpolicy": FULL,
        "sync.contact": EDIT,
        "sync.syncjob": EDIT,
        "sync.matchreview": EDIT,
        "sync.conflict": EDIT,
        "sync.quarantine": EDIT,
        "sync.rehearsal": (VIEW, ADD, CHANGE),
        "sync.undo": (VIEW, ADD, CHANGE),
        "sync.workerbeat": READ_ONLY,
        "sync.deployment": READ_ONLY,
        "activities.call": EDIT,
        "activities.dispositionmap": FULL,
        "activities.dispositioneffect": FULL,
        "activities.dialerendpoint": FULL,
        "activities.dialermessage": EDIT,
        "auth.user": (VIEW, ADD, CHANGE),
        "django_q.schedule": READ_ONLY,
        "django_q.failure": READ_ONLY,
        "django_q.success": READ_ONLY,
        "django_q.ormq": READ_ONLY,
    },
}

HIDDEN_FROM_VIEWERS = frozenset({"integrations.apikey", "integrations.invitation", "integrations.consentattempt"})
"""What is there to let somebody in."""
ROLES[VIEWER] = {label: READ_ONLY for label in ROLES[TENANT_ADMIN] if label not in HIDDEN_FROM_VIEWERS}


def create(sender: Any, using: str = "default", **_: Any) -> None:
    """Runs after each app's migrations; acts once, after the last app, when all permissions exist."""
    from django.apps import apps
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group, Permission

    installed = [config for config in apps.get_app_configs() if config.models_module]
    if sender.name != installed[-1].name:
        return
    for config in installed:
        create_permissions(config, verbosity=0, using=using)
    for name, rights in ROLES.items():
        wanted = {
            f"{verb}_{label.split('.')[1]}": label.split(".")[0] for label, verbs in rights.items() for verb in verbs
        }
        found = [
            permission
            for permission in Permission.objects.using(using).filter(codename__in=wanted).select_related("content_type")
            if wanted[permission.codename] == permission.content_type.app_label
        ]
        group, _created = Group.objects.using(using).get_or_create(name=name)
        group.permissions.set(found)
