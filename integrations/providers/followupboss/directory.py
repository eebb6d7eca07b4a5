"""Who we are and who else works in the account: the role behind a credential, and users by e-mail address and id."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss import listing
from integrations.records.connections import CrmUser
from integrations.transport.classify import json_of

SEES_EVERYBODY = frozenset({"owner", "admin", "broker"})
"""Roles that see all people and may log calls in another user's name."""


@dataclass(frozen=True, slots=True)
class Me:
    account_id: str
    account_name: str
    domain: str
    user_id: str
    email: str
    role: str
    """Lower case; "owner" for the account's owner, blank when it could not be read."""

    @property
    def sees_everybody(self) -> bool:
        return self.role in SEES_EVERYBODY


class Directory:
    """Looked up once per instance, and again when somebody new turns up."""

    def __init__(self, api: Api) -> None:
        self._api = api

    @cached_property
    def me(self) -> Me:
        # Not `/me`: its answer repeats the key that was used.
        body = json_of(self._api.request("GET", "/identity"))
        if not isinstance(body, dict) or not isinstance(body.get("account"), dict):
            raise errors.Retry("Follow Up Boss did not say whose key this is. We will ask again.")
        account, user = body["account"], body.get("user") or {}
        domain = str(account.get("domain") or "")
        return Me(
            account_id=str(account.get("id") or ""),
            account_name=str(account.get("name") or domain),
            domain=domain,
            user_id=str(user.get("id") or ""),
            email=str(user.get("email") or ""),
            role=self._role(str(user.get("id") or "")),
        )

    def _role(self, user_id: str) -> str:
        try:
            user = json_of(self._api.request("GET", f"/users/{user_id}"))
        except (errors.FixConfig, errors.Gone):
            return ""
        if not isinstance(user, dict):
            return ""
        return "owner" if user.get("isOwner") else str(user.get("role") or "").lower()

    @cached_property
    def users(self) -> list[dict[str, Any]]:
        return listing.everything(self._api, "users", {"includeDeleted": "true"})

    def emails(self, ids: Iterable[Any]) -> Mapping[int, str] | None:
        """User id → e-mail address. Asks again when an id is new; None when this credential may not see users."""
        try:
            known = self._emails()
            if not set(ids) - {None} <= known.keys():
                del self.users
                known = self._emails()
        except errors.FixConfig:
            return None
        return known

    def _emails(self) -> dict[int, str]:
        return {int(user["id"]): str(user.get("email") or "") for user in self.users if user.get("id")}

    def user_id(self, email: str) -> int | None:
        """The active user with this address."""
        found = self._active("email", email)
        return found[0] if found else None

    def active_id(self, user_id: str) -> int | None:
        """The same id as a number, if such a user is active."""
        found = (int(user["id"]) for user in self.users if str(user.get("id")) == user_id and is_active(user))
        return next(found, None) if user_id else None

    def user_id_by_name(self, name: str) -> int | None:
        """The only active user of this name; names are not unique."""
        found = self._active("name", name)
        return found[0] if len(found) == 1 else None

    def _active(self, key: str, value: str) -> list[int]:
        wanted = value.strip().lower()
        same = (user for user in self.users if str(user.get(key) or "").strip().lower() == wanted)
        return [int(user["id"]) for user in same if is_active(user)]

    def crm_users(self) -> list[CrmUser]:
        return [
            CrmUser(str(user["id"]), str(user.get("email") or ""), str(user.get("name") or ""), is_active(user))
            for user in self.users
            if user.get("id")
        ]


def is_active(user: Mapping[str, Any]) -> bool:
    return "deleted" not in str(user.get("status") or "").lower()
