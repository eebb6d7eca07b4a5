"""Owner ids to e-mail addresses and back. A record names its owner by id, people are known by address."""

from collections.abc import Iterable
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot.answers import body_of, next_after
from integrations.providers.hubspot.endpoints import path
from integrations.records.connections import CrmUser

PAGE = 100

Owner = dict[str, Any]


class Owners:
    """Loaded when first needed and kept as long as the provider instance; a stranger makes it load once more, not again."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._all: dict[str, Owner] | None = None
        self._active: dict[str, str] = {}
        self._strangers: set[str] = set()
        self.forbidden = False
        """Whether this credential may not read owners, as far as anybody asked."""

    def emails(self, ids: Iterable[str]) -> dict[str, str] | None:
        """Lower-cased address of each known owner, archived ones too. None when this credential may not read owners."""
        wanted = set(ids)
        unknown = wanted - (self._all or {}).keys() - self._strangers
        if self._all is None or unknown:
            self._load()
            self._strangers |= unknown - (self._all or {}).keys()
        known = self._all or {}
        return None if self.forbidden else {one: _email(known[one]) for one in wanted if one in known}

    def id_of(self, email: str) -> str:
        """The id of the active owner with this address, empty when there is none or we may not look."""
        wanted = email.strip().lower()
        if wanted and wanted not in self._active and wanted not in self._strangers:
            self._load()
            self._strangers |= {wanted} - self._active.keys()
        return self._active.get(wanted, "")

    def users(self) -> list[CrmUser]:
        """Those who left, too: records may still point to them. Raises FixConfig when owners may not be read."""
        self._all = self._read_all()
        return [
            CrmUser(one, _email(owner), _name(owner), active=not owner.get("archived"))
            for one, owner in self._all.items()
        ]

    def one(self, owner_id: str, *, id_property: str = "id", archived: bool = False) -> Owner:
        """`id_property` is id or userId, which are different numbers. Raises Gone for nobody."""
        params = {"idProperty": id_property, "archived": str(archived).lower()}
        return body_of(self._api.request("GET", path("owner", id=owner_id), params=params))

    def _load(self) -> None:
        if self.forbidden:
            return
        try:
            self._all = self._read_all()
        except errors.FixConfig:
            self.forbidden = True

    def _read_all(self) -> dict[str, Owner]:
        active = self._read(archived=False)
        self._active = {_email(owner): one for one, owner in active.items()}
        return {**self._read(archived=True), **active}

    def _read(self, *, archived: bool) -> dict[str, Owner]:
        found: dict[str, Owner] = {}
        after = ""
        while True:
            params = {"limit": PAGE, "archived": str(archived).lower(), **({"after": after} if after else {})}
            body = body_of(self._api.request("GET", path("owners"), params=params))
            found |= {str(owner["id"]): owner for owner in body.get("results", []) if owner.get("email")}
            after = next_after(body)
            if not after:
                return found


def _email(owner: Owner) -> str:
    return str(owner["email"]).lower()


def _name(owner: Owner) -> str:
    return " ".join(str(owner[part]) for part in ("firstName", "lastName") if owner.get(part))
