"""Merges two records, which cannot be undone. Asked for again, it finds that it is done."""

from integrations import errors
from integrations.providers.hubspot.objects import Objects


def merge(objects: Objects, object_type: str, winner: str, loser: str) -> str:
    """Id of the record that is left, which may be a new one. Raises FixData or Gone when either does not exist."""
    try:
        return str(objects.merge(object_type, winner, loser)["id"])
    except (errors.FixData, errors.Gone) as error:
        survivor = _survivor(objects, object_type, winner)
        if survivor and survivor == _survivor(objects, object_type, loser) and winner != loser:
            return survivor
        raise error


def _survivor(objects: Objects, object_type: str, record_id: str) -> str:
    """A read follows merges."""
    try:
        return str(objects.read(object_type, record_id, [])["id"])
    except (errors.Gone, errors.FixData):
        return ""
