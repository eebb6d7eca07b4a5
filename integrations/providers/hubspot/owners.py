"""Owner ids to e-mail addresses and back. A record names its owner by id, people are known by address."""

from collections.abc import Iterable

from integrations import errors
from integrations.providers.base import Api
from integrations.providers.hubspot.answers import body_of, next_after
from integrations.providers.hubspot.endpoints import path

PAGE = 100


class Owners:
    """Loaded when first needed and kept as long as the provider instance; a stranger's id makes it load once more."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._emails: dict[str, str] | None = None
        self._active: dict[str, str] = {}
        self._forbidden = False

    def emails(self, ids: Iterable[str]) -> dict[str, str] | None:
        """Lower-cased address of each known owner, archived ones too. None when this credential may not read owners."""
        wanted = set(ids)
        if self._emails is None or not wanted <= self._emails.keys():
            self._load()
        known = self._emails or {}
        return None if self._forbidden else {owner: known[owner] for owner in wanted if owner in known}

    def id_of(self, email: str) -> str:
        """The id of the active owner with this address, empty when there is none or we may not look."""
        if email and self._emails is None:
            self._load()
        return self._active.get(email.strip().lower(), "")

    def _load(self) -> None:
        if self._forbidden:
            return
        try:
            active = self._read(archived=False)
            self._emails = {**self._read(archived=True), **active}
        except errors.FixConfig:
            self._forbidden = True
        else:
            self._active = {email: owner for owner, email in active.items()}

    def _read(self, *, archived: bool) -> dict[str, str]:
        found: dict[str, str] = {}
        after = ""
        while True:
            params = {"limit": PAGE, "archived": str(archived).lower(), **({"after": after} if after else {})}
            body = body_of(self._api.request("GET", path("owners"), params=params))
            for owner in body.get("results", []):
                if owner.get("email"):
                    found[str(owner["id"])] = str(owner["email"]).lower()
            after = next_after(body)
            if not after:
                return found
