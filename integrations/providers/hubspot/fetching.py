"""Records by their ids: a hundred in a request, and for those that are not there, where they went.

A batch read leaves out what was archived and what was merged away. The recycle bin is asked for all of them together, and a
read of a single one follows a merge to the record that survived it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from integrations import errors
from integrations.providers.hubspot.answers import by_category, problem_of
from integrations.providers.hubspot.objects import BATCH, Objects, Record
from integrations.providers.hubspot.shaping import Shaper, chunks, property_names
from integrations.records.remote import Fetched, RemoteRecord


class Fetcher:
    def __init__(self, objects: Objects, shaper: Shaper) -> None:
        self._objects = objects
        self._shaper = shaper

    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        """Archived records come back as deleted, merged ones as deleted with `moved_to` and the survivor's values."""
        names = property_names(object_type, paths)
        records: list[RemoteRecord] = []
        missing: list[str] = []
        for asked in chunks(list(dict.fromkeys(ids)), BATCH):
            found = read_batch(self._objects, object_type, asked, names)
            absent = _without(asked, found)
            archived = read_batch(self._objects, object_type, absent, names, archived=True) if absent else []
            records += self._shaper.records(object_type, [*found, *archived], names)
            for record_id in _without(absent, archived):
                moved = self._follow(object_type, record_id, names)
                records += moved
                missing += [] if moved else [record_id]
        return Fetched(records, missing)

    def _follow(self, object_type: str, record_id: str, names: Sequence[str]) -> list[RemoteRecord]:
        try:
            raw = self._objects.read(object_type, record_id, names)
        except (errors.Gone, errors.FixData):  # a 400 for what is no id at all
            return []
        (found,) = self._shaper.records(object_type, [raw], names)
        if found.id == record_id:
            return [found]
        return [replace(found, id=record_id, deleted=True, moved_to=(object_type, found.id))]


def read_batch(
    objects: Objects, object_type: str, ids: Sequence[str], names: Sequence[str], *, archived: bool = False
) -> list[Record]:
    """Those of at most 100 records that exist, in our order. Absence counts only if nothing else went wrong."""
    body = objects.batch_read(object_type, ids, names, archived=archived)
    _require_only_absence(body)
    place = {record_id: number for number, record_id in enumerate(ids)}
    return sorted(body.get("results", []), key=lambda record: place.get(str(record["id"]), len(place)))


def _require_only_absence(body: dict[str, Any]) -> None:
    for entry in body.get("errors") or []:
        problem = problem_of(entry)
        if not problem.gone:
            raise by_category(problem) or errors.Retry(
                "HubSpot could not read some records. We will try again.", detail=problem.detail
            )


def _without(ids: Sequence[str], found: Sequence[Record]) -> list[str]:
    present = {str(record["id"]) for record in found}
    return [record_id for record_id in ids if record_id not in present]
