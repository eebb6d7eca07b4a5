"""What a credential may not do that we need: the role behind it, our registration, custom fields, webhooks. Only reads."""

from collections.abc import Iterator

from django.conf import settings

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss import account, failures, hooks
from integrations.providers.followupboss.custom_fields import WHERE, CustomFields, shape_of
from integrations.providers.followupboss.directory import Directory
from integrations.records.connections import Finding, Severity

ADMIN_KEY = (
    "Sign in to Follow Up Boss as the account's owner or as an admin, make a key under Admin, API, and connect with it; or "
    "have the role raised under Admin, Team."
)
OWNER_KEY = "Connect with the API key of the account's owner, or let the owner approve the connection."
OPERATOR = (
    "An operator registers the system with Follow Up Boss and sets FOLLOWUPBOSS_SYSTEM and FOLLOWUPBOSS_SYSTEM_KEY to the "
    "pair that comes back."
)
# path, subject, what goes without it
PROBES = (
    ("/people", "people", "People can't be read, so no contact is synced."),
    ("/calls", "calls", "Calls can't be read, so a call whose answer got lost can't be looked up."),
    ("/stages", "stages", "Stages can't be read, so the lead status is not written."),
    ("/users", "users", "Users can't be read, so owners are not synced and calls are logged in our own name."),
)


class Preflight:
    def __init__(self, api: Api, directory: Directory, custom_fields: CustomFields) -> None:
        self._api = api
        self._directory = directory
        self._custom_fields = custom_fields

    def findings(self) -> list[Finding]:
        try:
            me = self._directory.me
        except errors.FixConfig as refusal:
            return [_closed(refusal)]
        found = [*self._probed(), *self._system()]
        if any(finding.code == "account_expired" for finding in found):
            return [finding for finding in found if finding.code == "account_expired"][:1]
        return [
            *found,
            *self._role(me.email, me.role, sees=me.sees_everybody),
            *self._fields(),
            *self._webhooks(me.role),
        ]

    def _probed(self) -> Iterator[Finding]:
        for path, subject, message in PROBES:
            try:
                self._api.request("GET", path, params={"limit": 1})
            except errors.FixConfig as refusal:
                if refusal.cause == "account_expired":
                    yield _closed(refusal)
                    return
                severity = Severity.BLOCKING if subject == "people" else Severity.WARNING
                yield Finding("object_hidden", subject, message, ADMIN_KEY, severity)

    def _system(self) -> Iterator[Finding]:
        if not (settings.FOLLOWUPBOSS_SYSTEM and settings.FOLLOWUPBOSS_SYSTEM_KEY):
            message = "Our system is not registered here: half the requests are allowed, and webhooks can't be had."
            yield Finding("system_not_registered", "X-System", message, OPERATOR)
            return
        try:
            account.rate_limits(self._api)
        except errors.FixConfig as refusal:
            if refusal.cause == "system_not_registered":
                yield Finding("system_not_registered", "X-System-Key", failures.NOT_REGISTERED, OPERATOR)
        except errors.Gone:
            return  # an older service without this page

    def _role(self, email: str, role: str, *, sees: bool) -> Iterator[Finding]:
        if sees:
            return
        message = (
            f"{email} (role: {role or 'unknown'}) sees only people assigned to or shared with them. Everybody else is missing "
            "here, and calls are logged in this user's name."
        )
        yield Finding("narrow_view", role or "role", message, ADMIN_KEY)

    def _fields(self) -> Iterator[Finding]:
        try:
            missing, mismatches = self._custom_fields.missing(), self._custom_fields.mismatches()
        except errors.FixConfig:
            message = "Custom fields can't be read, so none is synced."
            yield Finding("object_hidden", "customFields", message, ADMIN_KEY)
            return
        for label, kind in missing:
            message = f'The custom field "{label}" is missing; mappings to it do nothing.'
            yield Finding("field_missing", label, message, f"Create it {WHERE}: {shape_of(label, kind)}.")
        for sentence in mismatches:
            label = sentence.split('"')[1]
            yield Finding(
                "field_unfit", label, sentence, f'Look at "{label}" {WHERE.replace(", Create Custom Field", "")}.'
            )

    def _webhooks(self, role: str) -> Iterator[Finding]:
        if role != "owner":
            yield Finding("webhooks_need_owner", "webhooks", hooks.OWNER_ONLY, OWNER_KEY)
            return
        try:
            ours = [hook for hook in hooks.Hooks(self._api).listed() if hooks.is_ours(hook, hooks.home())]
        except errors.FixConfig as refusal:
            if refusal.cause != "system_not_registered":
                yield Finding("webhooks_hidden", "webhooks", refusal.message, OWNER_KEY)
            return
        remedy = "Subscribe again (manage.py subscribe_webhooks), and see that our address answers within ten seconds."
        for hook in ours:
            if hook.get("status") != hooks.ACTIVE:
                message = (
                    f"Follow Up Boss has switched off its webhook for {hook.get('event')}: too many deliveries failed."
                )
                yield Finding("webhook_disabled", str(hook.get("event")), message, remedy)
        absent = [event for event in hooks.EVENTS if event not in {hook.get("event") for hook in ours}]
        if absent:
            message = f"No webhook of ours tells of: {', '.join(absent)}. Such changes arrive by the regular reading."
            yield Finding("webhook_missing", "webhooks", message, remedy, Severity.NOTE)


def _closed(refusal: errors.FixConfig) -> Finding:
    if refusal.cause == "account_expired":
        remedy = "The account's owner renews the subscription in Follow Up Boss under Admin, Billing."
        return Finding("account_expired", "account", failures.LAPSED, remedy, Severity.BLOCKING)
    return Finding("object_hidden", "identity", refusal.message, ADMIN_KEY, Severity.BLOCKING)
