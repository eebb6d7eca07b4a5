"""Makes the app send its webhooks here: one address and one set of subscriptions for all portals that installed it.

It is done with the developer account's key and once per app; a tenant has nothing to set up. A subscription to a property
that some portal lacks does no harm there. Portals that are connected by a private token are told nothing and are polled.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot.answers import body_of
from integrations.providers.hubspot.defaults import MAPPINGS
from integrations.providers.hubspot.endpoints import path
from integrations.records.connections import Credential
from integrations.transport.classify import json_of

LIFECYCLE = ("creation", "deletion", "merge", "restore", "privacyDeletion")
"""What may happen to a contact as a whole. Other objects are not kept here, so nothing is asked of them."""
CONCURRENT_REQUESTS = 10
MOST = 1_000
"""Subscriptions that an app may have."""

Kind = tuple[str, str]
"""Type of an event, and the property where one is watched."""


def wanted() -> list[Kind]:
    """Properties that only we write would send our own writes back."""
    watched = dict.fromkeys(row.crm_field for row in MAPPINGS if row.direction != "outbound")
    return [(f"contact.{what}", "") for what in LIFECYCLE] + [("contact.propertyChange", name) for name in watched]


def credential() -> Credential:
    needed = {
        "HUBSPOT_APP_ID": str(settings.HUBSPOT_APP_ID),
        "HUBSPOT_DEVELOPER_API_KEY": str(settings.HUBSPOT_DEVELOPER_API_KEY),
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise errors.FixConfig(
            f"The webhooks of the HubSpot app cannot be set up without {' and '.join(missing)}. Both stand in the "
            "developer account: the app's id under Apps, the key under Keys."
        )
    return Credential(auth="developer", access_token=needed["HUBSPOT_DEVELOPER_API_KEY"])


def subscribe(api: Api, url: str) -> list[str]:
    """Safe to repeat: reads what there is and changes the difference. Others' subscriptions stay as they are."""
    desk = _Desk(api, credential())
    done = desk.point_to(url)
    there = desk.subscriptions()
    new = [kind for kind in wanted() if kind not in there]
    if len(there) + len(new) > MOST:
        raise errors.FixConfig(
            f"The HubSpot app has {len(there)} of {MOST} webhook subscriptions; {len(new)} more do not fit. "
            "Delete those that nobody uses in the app's webhook settings."
        )
    asleep = [kind for kind in wanted() if kind in there and not there[kind].get("active")]
    done += [desk.create(kind) for kind in new]
    return done + desk.wake([(kind, there[kind]["id"]) for kind in asleep])


class _Desk:
    """The app's webhook settings. The key travels in the query, as HubSpot wants it: errors are told without the address."""

    def __init__(self, api: Api, developer: Credential) -> None:
        self._api = api
        self._key = {"hapikey": developer.access_token}

    def point_to(self, url: str) -> list[str]:
        answer = self._ask("GET", "webhook_settings", accept=(404,))
        current = json_of(answer) if answer.status_code == 200 else {}
        if isinstance(current, dict) and current.get("targetUrl") == url:
            return []
        throttling = (current or {}).get("throttling") or {"maxConcurrentRequests": CONCURRENT_REQUESTS}
        self._ask("PUT", "webhook_settings", {"targetUrl": url, "throttling": throttling})
        return [f"The app sends its webhooks to {url} now. It takes HubSpot up to five minutes to follow."]

    def subscriptions(self) -> dict[Kind, Mapping[str, Any]]:
        found = body_of(self._ask("GET", "webhook_subscriptions")).get("results") or []
        return {_kind_of(one): one for one in sorted(found, key=lambda one: bool(one.get("active")))}

    def create(self, kind: Kind) -> str:
        event_type, name = kind
        order = {"eventType": event_type, **({"propertyName": name} if name else {}), "active": True}
        self._ask("POST", "webhook_subscriptions", order)
        return f"Subscribed to {_words(kind)}."

    def wake(self, asleep: Iterable[tuple[Kind, Any]]) -> list[str]:
        """All in one request."""
        kinds = list(asleep)
        if not kinds:
            return []
        inputs = [{"id": number, "active": True} for _, number in kinds]
        self._ask("POST", "webhook_subscription_batch", {"inputs": inputs})
        return [f"Switched {_words(kind)} on again." for kind, _ in kinds]

    def _ask(self, method: str, name: str, order: Any = None, *, accept: tuple[int, ...] = ()) -> Any:
        address = path(name, app=str(settings.HUBSPOT_APP_ID))
        try:
            return self._api.request(method, address, params=self._key, json=order, repeatable=True, accept=accept)
        except (errors.Reconnect, errors.FixConfig, errors.Gone) as error:
            raise errors.FixConfig(
                "HubSpot does not let us manage the app's webhooks. Check HUBSPOT_APP_ID and HUBSPOT_DEVELOPER_API_KEY; "
                "they have to belong to the same developer account.",
                status=error.status,
                cause="app_registration",
            ) from None


def _kind_of(subscription: Mapping[str, Any]) -> Kind:
    return str(subscription.get("eventType") or ""), str(subscription.get("propertyName") or "")


def _words(kind: Kind) -> str:
    return " of ".join(part for part in kind if part)
