"""What is asked with every request and hardly ever changes, remembered by this process for moments.

What this process saves is forgotten at once; what another one changed, a key that was revoked in the admin for instance, is in
force after KEPT_SECONDS at the latest. What is not there is not remembered: a new key works at once.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from time import monotonic
from typing import Any, Generic, TypeVar

from django.db.models.signals import post_delete, post_save

KEPT_SECONDS = 2.0
MOST = 10_000
CHANGES = ("integrations.ApiKey", "integrations.Tenant", "integrations.CrmConnection")
"""Models whose rows may be remembered."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """Answers of `find`, which gives those of the keys that are there; each for a moment."""

    _all: "list[Kept[Any, Any]]" = []

    def __init__(self, find: Callable[[Sequence[Key]], Mapping[Key, Value]]) -> None:
        self._find = find
        self._held: dict[Key, tuple[float, Value]] = {}
        self._all.append(self)

    def get(self, key: Key) -> Value | None:
        held = self._remembered(key)
        return self.fresh(key) if held is None else held

    def get_all(self, keys: Collection[Key]) -> dict[Key, Value]:
        """Those that are there. All that is not remembered is asked for at once."""
        held = {key: self._remembered(key) for key in keys}
        missing = [key for key, value in held.items() if value is None]
        found = self._ask(missing) if missing else {}
        return {**{key: value for key, value in held.items() if value is not None}, **found}

    def fresh(self, key: Key) -> Value | None:
        """Asked anew, whatever is remembered."""
        return self._ask([key]).get(key)

    def _remembered(self, key: Key) -> Value | None:
        until, value = self._held.get(key, (0.0, None))
        return value if until > monotonic() else None

    def _ask(self, keys: Sequence[Key]) -> Mapping[Key, Value]:
        found = self._find(keys)
        if len(self._held) >= MOST:
            self._held.clear()
        for key in keys:
            self._held.pop(key, None)
        until = monotonic() + KEPT_SECONDS
        self._held.update({key: (until, value) for key, value in found.items()})
        return found

    def forget(self) -> None:
        self._held.clear()


def forget(**_: Any) -> None:
    """Everything that is remembered, after a change that was made here."""
    for one in Kept._all:  # noqa: SLF001 - its own
        one.forget()


for _model in CHANGES:
    post_save.connect(forget, sender=_model, dispatch_uid=f"kept_saved_{_model}")
    post_delete.connect(forget, sender=_model, dispatch_uid=f"kept_deleted_{_model}")
