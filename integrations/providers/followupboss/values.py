"""Turns the values of a write into the body of a request: only what differs from the present person, in the service's words.

The lists that are replaced as a whole are completed from the present ones. `contacted` is never sent, since it pauses the
person's action plans.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrations import errors
from integrations.providers.followupboss import custom_values, entries
from integrations.providers.followupboss.directory import Directory
from integrations.providers.followupboss.schema import Schema
from integrations.records.connections import Connection

PLAIN = (
    *("firstName", "lastName", "price", "timeframeId", "background", "assignedLenderId", "assignedLenderName"),
    *("assignedPondId", "sourceUrl", "source"),
)
ONLY_ON_CREATE = ("source", "sourceUrl")
DERIVED = ("id", "name", "created", "updated", "createdVia", "lastActivity", "stageId", "picture", "contacted")
"""Set by the service itself, or not for programs to set: left out without a word."""


@dataclass(frozen=True, slots=True)
class Body:
    fields: Mapping[str, Any]
    merge_tags: bool = False
    """`tags` are additions: the service keeps the others."""


class Composer:
    def __init__(self, schema: Schema, directory: Directory, connection: Connection) -> None:
        self._schema = schema
        self._directory = directory
        self._connection = connection
        self._same_phone = entries.same_phone(connection.region)

    def body(
        self, values: Mapping[str, Any], present: Mapping[str, Any] | None, seen: Mapping[str, Any] | None = None
    ) -> Body:
        """`present` is the person as just read, None for a new one; `seen` the one that `values` were made from: an entry that
        was seen and is not in a list of `values` is taken away. Raises FixData.
        """
        now = present or {}
        fields: dict[str, Any] = {}
        for name, value in values.items():
            fields |= self._translated(name, value, now, seen or {})
        tags, merge = self._tags(values, now, seen or {})
        if present is None:
            return Body({key: value for key, value in {**fields, **tags}.items() if not _is_empty(value)})
        changed = {
            key: value
            for key, value in fields.items()
            if key not in ONLY_ON_CREATE and not _is_same(key, value, now.get(key))
        }
        return Body({**changed, **tags}, merge_tags=merge)

    def _translated(self, name: str, value: Any, now: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
        special: Mapping[str, Callable[[], dict[str, Any]]] = {
            "phones": lambda: {name: self._contacts(name, value, now, self._same_phone, seen)},
            "emails": lambda: {name: self._contacts(name, value, now, entries.same_email, seen)},
            "addresses": lambda: {name: self._addresses(value, now, seen)},
            "collaborators": lambda: {name: _with_collaborators(now.get(name) or (), value, seen.get(name) or ())},
            "stage": lambda: {name: self._stage(value)},
            "assignedTo": lambda: {"assignedUserId": self._user(value)},
            "assignedUserId": lambda: {name: value if value is None else int(value)},
            "customFields": lambda: self._custom(value or {}),
        }
        if name in special:
            return special[name]()
        if name in PLAIN:
            return {name: value}
        if name in DERIVED or name == "tags":
            return {}
        return self._custom({name: value})

    def _contacts(
        self, name: str, value: Any, now: Mapping[str, Any], same: entries.Same, seen: Mapping[str, Any]
    ) -> list[entries.Entry]:
        if value is None:
            return []
        present, wanted = _list(name, now.get(name)), _list(name, value)
        merged = entries.contacts(present, wanted, same, _list(name, seen.get(name)))
        return [{key: part for key, part in one.items() if part is not None} for one in merged]

    def _addresses(self, value: Any, now: Mapping[str, Any], seen: Mapping[str, Any]) -> list[entries.Entry]:
        if value is None:
            return []
        lists = (_list("addresses", given) for given in (now.get("addresses"), value, seen.get("addresses")))
        return entries.addresses(*lists)

    def _tags(
        self, values: Mapping[str, Any], now: Mapping[str, Any], seen: Mapping[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        """A list adds, and takes away what was seen; `{"add": [...], "remove": [...]}` says both; None takes all away."""
        if "tags" not in values:
            return {}, False
        wanted, present = values["tags"], [str(tag) for tag in now.get("tags") or ()]
        if wanted is None:
            return ({"tags": []} if present else {}), False
        if not isinstance(wanted, Mapping):
            wanted = {"add": wanted, "remove": entries.new_tags(_words(wanted), _words(seen.get("tags") or ()))}
        added = entries.new_tags(present, _words(wanted.get("add") or ()))
        left = entries.without_tags(present, _words(wanted.get("remove") or ()))
        if len(left) < len(present):
            return {"tags": [*left, *added]}, False
        return ({"tags": added} if added else {}), True

    def _stage(self, value: Any) -> str:
        """By name, as the account spells it. Stages are never created."""
        for name in self._schema.stages:
            if name.lower() == str(value or "").strip().lower():
                return name
        raise errors.FixData(
            f'Follow Up Boss has no stage "{value}". It has: {", ".join(self._schema.stages)}. Translate the value in the '
            "mapping, or create the stage there.",
            fields=["stage"],
            cause="unknown_choice",
        )

    def _user(self, value: Any) -> int | None:
        """Users are named by e-mail address; full names serve as long as they are unique."""
        if value in {None, ""}:
            return None
        found = self._directory.user_id(str(value)) or self._directory.user_id_by_name(str(value))
        if found is None:
            raise errors.FixData(
                f"Follow Up Boss has no active user {value}. Invite them there, or assign the contact to somebody else.",
                fields=["assignedTo"],
                cause="unknown_user",
            )
        return found

    def _custom(self, values: Mapping[str, Any]) -> dict[str, Any]:
        fields = self._schema.custom
        found = {name: custom_values.find(fields, name) for name in values}
        timezone = self._connection.timezone
        return {found[name].name: custom_values.fitted(found[name], value, timezone) for name, value in values.items()}


def _list(name: str, value: Any) -> Sequence[Mapping[str, Any]]:
    if value is None:
        return ()
    if isinstance(value, list | tuple) and all(isinstance(one, Mapping) for one in value):
        return value
    raise errors.FixData(
        f"{name} of a person in Follow Up Boss is a list of entries, each with a value.", fields=[name]
    )


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return [word.strip() for word in value.split(",")]
    return [str(word) for word in value]


def _with_collaborators(
    present: Sequence[Mapping[str, Any]], wanted: Any, seen: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    named = [one["id"] for one in _list("collaborators", wanted) if one.get("id")]
    gone = {one.get("id") for one in seen} - set(named)
    ids = [one["id"] for one in present if one.get("id") not in gone]
    return [{"id": one} for one in dict.fromkeys([*ids, *named])]


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [])


def _is_same(name: str, value: Any, present: Any) -> bool:
    if _is_empty(value) and _is_empty(present):
        return True
    if name in {"phones", "emails"}:
        return bool(value == [{k: v for k, v in one.items() if v is not None} for one in entries.plain(present or ())])
    if name == "addresses":
        return bool(value == entries.plain_addresses(present or ()))
    if name == "collaborators":
        return bool([one["id"] for one in value] == [one.get("id") for one in present or ()])
    return bool(value == present)
